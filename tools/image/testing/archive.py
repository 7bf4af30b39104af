"""What is in a layer: read from its listing where there is one, else from the archive itself."""

import gzip
import json
import tarfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"

_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.GNUTYPE_SPARSE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
    tarfile.FIFOTYPE: "pipe",
}


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """One entry of a layer's archive.

    Attributes:
      path: as in the archive.
      kind: file, directory, symlink or hardlink; in layers made elsewhere also a device or a pipe.
      sha256: hexadecimal, of a file's content; empty where nobody has read it yet.
      target: what a link says.
    """

    path: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int = 0
    sha256: str = ""
    target: str = ""


def read_listing(path: Path) -> Iterator[LayerEntry]:
    """The entries that a layer's listing names, in the order of the archive."""
    with path.open("rb") as lines:
        for line in lines:
            fields = json.loads(line)
            fields["mode"] = int(fields["mode"], 8)
            for key in ("format", "interpreter", "loader"):  # about starting it
                fields.pop(key, None)
            yield LayerEntry(**fields)


def read_archive(blob: Path) -> Iterator[LayerEntry]:
    """The entries of a layer, read from the layer."""
    with _opened(blob) as archive:
        for member in archive:
            yield LayerEntry(
                path=member.name,
                kind=_KINDS.get(member.type, "unknown thing"),
                mode=member.mode,
                uid=member.uid,
                gid=member.gid,
                size=member.size if member.isreg() else 0,
                target=member.linkname,
            )


def read_files(blob: Path, paths: Collection[str]) -> dict[str, bytes]:
    """The content of the files of these (canonical) paths, in one pass over the layer."""
    found = {}
    with _opened(blob) as archive:
        for member in archive:
            path = canonical(member.name)
            if path in paths and member.isreg() and (content := archive.extractfile(member)) is not None:
                found[path] = content.read()
    return found


def canonical(path: str) -> str:
    """A path of an archive without what does not matter: `./usr//bin/` is `usr/bin`, and the root is empty."""
    return "/".join(part for part in path.split("/") if part not in ("", "."))


@contextmanager
def _opened(blob: Path) -> Iterator[tarfile.TarFile]:
    """A layer of any media type as a tar archive to be read from front to end."""
    with blob.open("rb") as compressed:
        start = compressed.read(4)
        compressed.seek(0)
        content: gzip.GzipFile | zstandard.ZstdDecompressionReader | BinaryIO
        if start.startswith(_GZIP):
            content = gzip.open(compressed)  # noqa: SIM115 - closed with what it reads
        elif start == _ZSTD:
            content = zstandard.ZstdDecompressor().stream_reader(compressed, read_across_frames=True)
        else:
            content = compressed
        with tarfile.open(fileobj=content, mode="r|") as archive:
            yield archive
