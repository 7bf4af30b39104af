"""OCI image layouts, as a folder or as a tar archive (OCI image-spec, image-layout.md)."""

import io
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from tools.oci.manifest import Descriptor


def write_layout_directory(descriptor: Descriptor, blobs: Mapping[str, Path], out: Path) -> None:
    """Writes the layout of the index that `descriptor` names into the folder `out`; `blobs` are by digest."""
    for name, source in _layout_files(descriptor, blobs):
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            target.write_bytes(source)
        else:
            shutil.copyfile(source, target)


def write_layout_archive(descriptor: Descriptor, blobs: Mapping[str, Path], out: BinaryIO) -> None:
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


def _layout_files(descriptor: Descriptor, blobs: Mapping[str, Path]) -> Iterator[tuple[str, bytes | Path]]:
    index = {"schemaVersion": 2, "manifests": [descriptor.to_json()]}
    yield "oci-layout", b'{"imageLayoutVersion":"1.0.0"}'
    yield "index.json", json.dumps(index, separators=(",", ":")).encode()
    yield from ((blob_name(digest), blob) for digest, blob in sorted(blobs.items()))


def blob_name(digest: str) -> str:
    """Where a layout keeps a blob."""
    return f"blobs/{digest.replace(':', '/')}"
