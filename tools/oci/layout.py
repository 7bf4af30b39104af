"""OCI image layouts, as a folder or as a tar archive (OCI image-spec, image-layout.md): writing them."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from tools.oci.manifest import Descriptor

MARKER = "oci-layout"
INDEX = "index.json"
REF_NAME = "org.opencontainers.image.ref.name"
"""Annotation of an entry of the index: what it is called within the layout."""

_PIECE = 1 << 20

Open = Callable[[], BinaryIO]


def opened(paths: Mapping[str, Path]) -> dict[str, Open]:
    """Files by digest, as the functions below take them."""
    return {digest: partial(_open_file, path) for digest, path in paths.items()}


def write_layout_directory(
    entries: Sequence[Descriptor], blobs: Mapping[str, Open], out: Path, more: Mapping[str, bytes] | None = None
) -> None:
    """Writes a layout into the folder `out`.

    Args:
      entries: of its index.
      blobs: all content, by digest.
      out: where to.
      more: further files, by name, which no other tool knows of.
    """
    for name, source in _layout_files(entries, blobs, more or {}):
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with _open(source) as content, target.open("wb") as file:
            shutil.copyfileobj(content, file, _PIECE)


def write_layout_archive(
    entries: Sequence[Descriptor], blobs: Mapping[str, Open], out: BinaryIO, more: Mapping[str, bytes] | None = None
) -> None:
    """Writes the same layout as a tar archive."""
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, source in _layout_files(entries, blobs, more or {}):
            info = tarfile.TarInfo(name)
            with _open(source) as content:
                info.size = content.seek(0, io.SEEK_END)
                content.seek(0)
                archive.addfile(info, content)


def _open_file(path: Path) -> BinaryIO:
    return path.open("rb")


def _open(source: bytes | Open) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source()


def _layout_files(
    entries: Sequence[Descriptor], blobs: Mapping[str, Open], more: Mapping[str, bytes]
) -> Iterator[tuple[str, bytes | Open]]:
    index = {"schemaVersion": 2, "manifests": [entry.to_json() for entry in entries]}
    yield MARKER, b'{"imageLayoutVersion":"1.0.0"}'
    yield INDEX, json.dumps(index, separators=(",", ":")).encode()
    yield from sorted(more.items())
    yield from ((blob_name(digest), blob) for digest, blob in sorted(blobs.items()))


def blob_name(digest: str) -> str:
    """Where a layout keeps a blob."""
    return f"blobs/{digest.replace(':', '/')}"
