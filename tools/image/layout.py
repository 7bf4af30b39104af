"""OCI image layouts, as a folder or as a tar archive (OCI image-spec, image-layout.md)."""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from tools.oci.manifest import Descriptor


def write_layout_directory(descriptor: Descriptor, blobs: Sequence[Path], out: Path) -> None:
    """Writes the layout of the index that `descriptor` names, whose blobs are `blobs`, into the folder `out`."""
    for name, source in _layout_files(descriptor, blobs):
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            target.write_bytes(source)
        else:
            shutil.copyfile(source, target)


def read_layout_directory(folder: Path) -> tuple[Descriptor, dict[str, Path]]:
    """The descriptor of the one index that a layout names, and its blobs by digest."""
    (index,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    blobs = {f"{blob.parent.name}:{blob.name}": blob for blob in folder.glob("blobs/*/*")}
    return Descriptor.from_json(index), blobs


def write_layout_archive(descriptor: Descriptor, blobs: Sequence[Path], out: BinaryIO) -> None:
    """Writes the same layout as a tar archive."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, source in _layout_files(descriptor, blobs):
            info = tarfile.TarInfo(name)
            if isinstance(source, bytes):
                info.size = len(source)
                archive.addfile(info, io.BytesIO(source))
            else:
                info.size = source.stat().st_size
                with source.open("rb") as content:
                    archive.addfile(info, content)


def _layout_files(descriptor: Descriptor, blobs: Sequence[Path]) -> Iterator[tuple[str, bytes | Path]]:
    """The files of a layout by name; platforms share layers, so a digest may come more than once in `blobs`."""
    index = {"schemaVersion": 2, "manifests": [descriptor.to_json()]}
    yield "oci-layout", b'{"imageLayoutVersion":"1.0.0"}'
    yield "index.json", json.dumps(index, separators=(",", ":")).encode()
    yield from ((blob_name(digest), blob) for digest, blob in sorted(_by_digest(blobs).items()))


def _by_digest(blobs: Iterable[Path]) -> dict[str, Path]:
    """Files by the digest of their content: a build names its blobs by target, a registry by digest."""
    found = {}
    for blob in blobs:
        with blob.open("rb") as content:
            found[f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"] = blob
    return found


def blob_name(digest: str) -> str:
    """Where a layout keeps a blob."""
    return f"blobs/{digest.replace(':', '/')}"
