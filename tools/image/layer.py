"""Writes a layer: a compressed tar archive whose bytes depend on its entries alone (OCI image-spec, layer.md)."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tools.image.compression import COMPRESSIONS, CompressedWriter
from tools.image.entries import Entry, LayerError
from tools.image.interpreter import InterpreterReader
from tools.image.tar_header import archive_end, padding, tar_header

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
      machine: architecture by its OCI name that the ELF files in it are for; None: it has none, or none was checked.
    """

    media_type: str
    digest: str
    size: int
    diff_id: str
    machine: str | None


def write_layer(
    entries: Iterable[Entry],
    out: BinaryIO,
    *,
    machine: str | None,
    compression: str = "gzip",
    threads: int | None = None,
    listing: BinaryIO | None = None,
) -> LayerFacts:
    """Writes `entries`, in the order given, as one layer. No file is read twice.

    Args:
      entries: what to write; `Tree.entries()` gives the one order that every layer of this project has.
      out: where the blob goes.
      machine: architecture by its OCI name ("amd64") that every ELF file must be for; None: any.
      compression: a name of `COMPRESSIONS`.
      threads: how many threads compress; never changes the bytes.
      listing: where one JSON object a line goes for each entry.

    Raises:
      LayerError: an ELF file for another machine, or a file whose size is not what its entry says.
    """
    way = COMPRESSIONS[compression]
    programs = False
    with CompressedWriter(out, way, threads) as blob:
        for entry in entries:
            header = tar_header(entry)
            blob.write(header)
            content_hash = hashlib.sha256() if listing is not None and entry.kind == "file" else None
            start = InterpreterReader() if content_hash is not None and entry.mode & 0o111 else None
            for number, chunk in enumerate(_chunks(entry)):
                if number == 0 and machine is not None and _is_elf(chunk):
                    _check_machine(entry, chunk, machine)
                    programs = True
                if content_hash is not None:
                    content_hash.update(chunk)
                if start is not None:
                    start.feed(chunk)
                blob.write(chunk)
            blob.write(padding(entry.size))
            if listing is not None:
                sha256 = content_hash.hexdigest() if content_hash is not None else None
                listing.write(_listed(entry, sha256, start.found() if start is not None else {}))
        blob.write(archive_end(blob.content_size))
    return LayerFacts(way.media_type, blob.digest, blob.size, blob.content_digest, machine if programs else None)


def write_metadata(path: Path, facts: LayerFacts, created_by: str, packages: Sequence[Mapping[str, Any]] = ()) -> None:
    """Writes what other actions read instead of the layer itself: the JSON of `LayerInfo.metadata`."""
    document = {
        "mediaType": facts.media_type,
        "digest": facts.digest,
        "size": facts.size,
        "diffID": facts.diff_id,
        "createdBy": created_by,
        "machine": facts.machine,
        "packages": list(packages),
    }
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")


def _chunks(entry: Entry) -> Iterator[bytes]:
    """The content of a file, in pieces."""
    read = 0
    if entry.open is not None:
        with entry.open() as content:
            while chunk := content.read(_CHUNK):
                read += len(chunk)
                yield chunk
    if read != entry.size:
        raise LayerError(
            f"cannot write /{entry.path} (from {entry.origin}): it has {read} bytes where {entry.size} "
            "were announced. The file changed while it was read; build again."
        )


def _listed(entry: Entry, sha256: str | None, needs: Mapping[str, str]) -> bytes:
    """The line of a listing for one entry. The path comes first, so that a reader can find a line by its beginning."""
    line: dict[str, str | int] = {
        "path": entry.path,
        "kind": entry.kind,
        "mode": f"{entry.mode:04o}",
        "uid": entry.uid,
        "gid": entry.gid,
    }
    if sha256 is not None:
        line |= {"size": entry.size, "sha256": sha256}
        line.update(needs)
    if entry.kind in ("symlink", "hardlink"):
        line["target"] = entry.target
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _is_elf(start: bytes) -> bool:
    return start[:4] == b"\x7fELF" and len(start) >= 20


def _check_machine(entry: Entry, start: bytes, machine: str) -> None:
    found = int.from_bytes(start[18:20], "little" if start[5] == 1 else "big")
    if found != ELF_MACHINES[machine]:
        names = {number: name for name, number in ELF_MACHINES.items()}
        raise LayerError(
            f"/{entry.path} (from {entry.origin}) is a program for {names.get(found, f'ELF machine {found}')}, "
            f"and this layer is for {machine}. Build it for the target platform, "
            f"or take a package that exists for {machine}."
        )
