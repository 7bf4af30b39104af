"""Writes a layer: a compressed tar archive whose bytes depend on its entries alone (OCI image-spec, layer.md)."""

import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tools.image.compression import GzipWriter
from tools.image.entries import Entry, LayerError

LAYER_MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

_TAR_TYPES = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
}

# e_machine of the ELF header (System V ABI, "ELF Header") for each architecture by its OCI name.
ELF_MACHINES = {"amd64": 62, "arm64": 183}

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What a manifest and a config need to know of a layer (OCI image-spec, descriptor.md and config.md).

    Attributes:
      media_type: of the blob.
      digest: "sha256:..." of the blob.
      size: bytes of the blob.
      diff_id: "sha256:..." of the uncompressed archive.
    """

    media_type: str
    digest: str
    size: int
    diff_id: str


def write_layer(
    entries: Iterable[Entry], out: BinaryIO, *, machine: str | None, threads: int | None = None
) -> LayerFacts:
    """Writes `entries`, in the order given, as one layer.

    Args:
      entries: what to write; `Tree.entries()` gives the one order that every layer of this project has.
      out: where the blob goes.
      machine: architecture by its OCI name ("amd64") that every ELF file must be for; None: any.
      threads: how many threads compress; never changes the bytes.

    Raises:
      LayerError: an ELF file for another machine, or a file whose size is not what its entry says.
    """
    with GzipWriter(out, threads) as blob:
        position = 0
        for entry in entries:
            header = _header(entry)
            blob.write(header)
            padding = -entry.size % tarfile.BLOCKSIZE
            _copy(entry, blob, machine)
            blob.write(bytes(padding))
            position += len(header) + entry.size + padding
        blob.write(bytes(2 * tarfile.BLOCKSIZE))
        position += 2 * tarfile.BLOCKSIZE
        blob.write(bytes(-position % tarfile.RECORDSIZE))
    return LayerFacts(LAYER_MEDIA_TYPE, blob.digest, blob.size, blob.content_digest)


def write_metadata(path: Path, facts: LayerFacts, created_by: str) -> None:
    """Writes what the manifest action reads instead of the layer itself: the JSON of `LayerInfo.metadata`."""
    document = {
        "mediaType": facts.media_type,
        "digest": facts.digest,
        "size": facts.size,
        "diffID": facts.diff_id,
        "createdBy": created_by,
    }
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")


def _header(entry: Entry) -> bytes:
    """A ustar header, preceded by a pax one only where ustar cannot say it (long or non-ASCII names, huge files)."""
    info = tarfile.TarInfo(entry.path)
    info.type = _TAR_TYPES[entry.kind]
    info.mode = entry.mode
    info.uid, info.gid = entry.uid, entry.gid
    info.size = entry.size
    info.linkname = entry.target
    return info.tobuf(tarfile.PAX_FORMAT)


def _copy(entry: Entry, blob: GzipWriter, machine: str | None) -> None:
    if entry.open is None:
        return
    written = 0
    with entry.open() as content:
        while chunk := content.read(_CHUNK):
            if written == 0 and machine is not None:
                _check_machine(entry, chunk, machine)
            written += len(chunk)
            blob.write(chunk)
    if written != entry.size:
        raise LayerError(
            f"cannot write /{entry.path} (from {entry.origin}): it has {written} bytes where {entry.size} "
            "were announced. The file changed while it was read; build again."
        )


def _check_machine(entry: Entry, start: bytes, machine: str) -> None:
    if start[:4] != b"\x7fELF" or len(start) < 20:
        return
    found = int.from_bytes(start[18:20], "little" if start[5] == 1 else "big")
    if found != ELF_MACHINES[machine]:
        names = {number: name for name, number in ELF_MACHINES.items()}
        raise LayerError(
            f"/{entry.path} (from {entry.origin}) is a program for {names.get(found, f'ELF machine {found}')}, "
            f"and this layer is for {machine}. Build it for the target platform, "
            f"or take a package that exists for {machine}."
        )
