"""Reads a tar archive that somebody else has made, as entries of a layer.

Nothing in it is believed before it is checked. The content of files stays where it is until it is asked for. What is
compressed is decompressed once, into a temporary file without a name: it takes its place on the disk as long as one of
the entries lives, and is gone with the last one, however the process ends.
"""

import io
import lzma
import os
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Protocol

from tools.image.entries import Entry, LayerError, checked_path
from tools.image.tar_header import BLOCK

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Compressed bytes that a decompressor gets at once: zstd can make 32 KiB out of each.
_PIECE = 4096

# The highest number of an owner on Linux; the one after it stands for "leave it as it is".
_LAST_OWNER = 2**32 - 2

_REFUSED = {
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
}

_CAPABILITIES = "SCHILY.xattr.security.capability"

# What tarfile raises for archives that are not well-formed, meant to or not.
_NOT_WELL_FORMED = (tarfile.TarError, ArithmeticError, LookupError, RecursionError, ValueError)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class _Archive:
    """The open file of a plain archive; closed when nothing refers to it any more."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __del__(self) -> None:
        self.file.close()

    def read_into(self, buffer: memoryview, at: int) -> int:
        return os.preadv(self.file.fileno(), [buffer], at)

    def read(self, length: int, at: int) -> bytes:
        return os.pread(self.file.fileno(), length, at)

    def size(self) -> int:
        return os.fstat(self.file.fileno()).st_size


def archive_entries(path: Path, origin: str) -> Iterator[Entry]:
    """What a tar archive extracts to. It may be plain, or compressed by gzip, xz or zstd; its content says which.

    Of several members with one path the last one counts. Owners and modes are kept; times and the names of owners are
    not. Whiteouts are files like others. The root folder itself is left out: an image has one already.

    Args:
      path: the archive.
      origin: who brought it, for error messages.

    Raises:
      LayerError: for what is no tar archive or a damaged one, and for a member that a layer cannot hold.
    """
    archive = _plain(path, origin)
    present: dict[str, Entry] = {}
    for member in _members(archive, origin):
        _check(member, origin)
        if not (member.isdir() and set(member.name.split("/")) <= {"", "."}):
            place = checked_path(member.name, origin)
            present[place] = _entry(member, place, archive, present, origin)
    yield from _with_links(present)


def _plain(path: Path, origin: str) -> _Archive:
    """The archive itself, or a temporary file with what it was compressed from."""
    source = _Archive(path.open("rb"))
    start = source.read(6, 0)
    make = next((make for magic, make in _DECOMPRESSORS.items() if start.startswith(magic)), None)
    if make is None:
        return source
    plain = _Archive(tempfile.TemporaryFile())  # noqa: SIM115
    try:
        _decompress(source.file, make, plain.file)
    except ModuleNotFoundError:
        # Only the tool for zstd brings the library: see LAYER_TOOL_ATTRS in private/layer.bzl.
        raise _unreadable(origin, "zstd compressed it, and its name does not say so. Call it .tar.zst") from None
    except _damage() as error:
        raise _unreadable(origin, f"its compression is damaged: {error}") from error
    plain.file.seek(0)
    return plain


def _decompress(source: IO[bytes], make: Callable[[], _Decompressor], plain: IO[bytes]) -> None:
    """All members, frames or streams of a compressed file, one after the other; zeros may stand between them."""
    decompressor = make()
    while piece := source.read(_PIECE):
        while piece:
            if decompressor.eof:
                piece = piece.lstrip(b"\0")
                if not piece:
                    break
                decompressor = make()
            plain.write(decompressor.decompress(piece))
            piece = decompressor.unused_data if decompressor.eof else b""
    if not decompressor.eof:
        raise EOFError("it ends too early")


def _damage() -> tuple[type[Exception], ...]:
    """What decompressors raise for bytes that make no sense to them."""
    zstd = sys.modules.get("zstandard")
    return (EOFError, lzma.LZMAError, zlib.error, *([zstd.ZstdError] if zstd else []))


def _zstd() -> _Decompressor:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


_DECOMPRESSORS: dict[bytes, Callable[[], _Decompressor]] = {
    b"\x1f\x8b": partial(zlib.decompressobj, zlib.MAX_WBITS | 16),
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
    b"\x28\xb5\x2f\xfd": _zstd,
    # A frame that says something else comes first in what pzstd writes.
    **{bytes([first]) + b"\x2a\x4d\x18": _zstd for first in range(0x50, 0x60)},
}


def _members(archive: _Archive, origin: str) -> Iterator[tarfile.TarInfo]:
    """All members, each checked to lie within the archive."""
    size = archive.size()
    try:
        with tarfile.open(fileobj=archive.file, mode="r:", encoding="utf-8", errors="surrogateescape") as reader:
            last = -1
            while (member := reader.next()) is not None:
                # tarfile would keep every member, though nothing asks for it again.
                reader.members.clear()  # type: ignore[attr-defined]
                stored = sum(length for _, length in _extents(member))
                if member.offset <= last or member.offset_data + stored > size:
                    raise _unreadable(origin, f"the size of {member.name!r} is wrong")
                last = member.offset
                yield member
            # tarfile takes a damaged header for the end.
            if archive.read(BLOCK, reader.offset).strip(b"\0"):
                raise _unreadable(origin, f"what stands at byte {reader.offset} is no header")
    except _NOT_WELL_FORMED as error:
        raise _unreadable(origin, str(error)) from error


def _extents(member: tarfile.TarInfo) -> list[tuple[int, int]]:
    """Where in its file each stored piece of a member belongs, and how long it is."""
    if member.sparse is not None:
        return member.sparse  # type: ignore[return-value]  # typeshed says bytes
    return [(0, member.size)] if member.isreg() else []


def _check(member: tarfile.TarInfo, origin: str) -> None:
    if kind := _REFUSED.get(member.type):
        raise _refused(member, origin, f"it is {kind}", "Leave it out: containers get theirs from the engine.")
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise _refused(
            member, origin, f"type {member.type!r} is not known", "Make the archive with --format=pax, in one volume."
        )
    if not (0 <= member.uid <= _LAST_OWNER and 0 <= member.gid <= _LAST_OWNER):
        raise _refused(
            member, origin, f"there is no owner {member.uid}:{member.gid}", "Make the archive with --owner=0 --group=0."
        )
    if _CAPABILITIES in member.pax_headers:
        raise _refused(
            member,
            origin,
            "it has capabilities (an extended attribute), which layers of this project do not keep",
            "Give the container the capability instead, and make the archive with "
            "--xattrs-exclude=security.capability.",
        )
    if member.issym() and not (member.linkname and "\0" not in member.linkname and _is_utf8(member.linkname)):
        raise _refused(
            member, origin, f"it links to {member.linkname!r}, which is no path in UTF-8", "Let it name a path."
        )
    end = 0
    for offset, length in _extents(member):
        if length < 0 or offset < end or offset + length > member.size:
            raise _unreadable(origin, f"the pieces of {member.name!r} do not make up a file")
        end = offset + length


def _entry(member: tarfile.TarInfo, place: str, archive: _Archive, present: dict[str, Entry], origin: str) -> Entry:
    """A member as an entry. A link to what is there already is just that, under one more path: see `_with_links`."""
    entry = Entry(place, mode=member.mode & 0o7777, uid=member.uid, gid=member.gid, origin=origin)
    if member.isdir():
        return replace(entry, kind="directory")
    if member.issym():
        return replace(entry, kind="symlink", target=member.linkname)
    if member.islnk():
        target = checked_path(member.linkname, origin)
        return present.get(target) or replace(entry, kind="hardlink", target=target)
    pieces = []
    at = member.offset_data
    for offset, length in _extents(member):
        pieces.append((offset, at, length))
        at += length
    return replace(entry, size=member.size, open=partial(_open, archive, member.size, tuple(pieces)))


def _with_links(present: dict[str, Entry]) -> Iterator[Entry]:
    """The entries by path, where several paths may have one and the same file, as one file and links to it."""
    names = {id(entry): path for path, entry in present.items() if entry.path == path}
    for path, entry in present.items():
        found = _followed(entry, present)
        if found.kind == "directory" and found.path != path:
            raise LayerError(
                f"cannot link /{path} (from {found.origin}) to /{found.path}: that is a directory. "
                "Make it a symbolic link."
            )
        if found.kind == "file" and names.setdefault(id(found), path) != path:
            yield replace(found, path=path, kind="hardlink", target=names[id(found)], size=0, open=None)
        else:
            yield replace(found, path=path)


def _followed(entry: Entry, present: dict[str, Entry]) -> Entry:
    """What a link leads to; the link itself where that is not in the archive, for the layer may have it."""
    found = entry
    for _ in present:
        if found.kind != "hardlink" or found.target not in present:
            break
        found = present[found.target]
    return found


class _Content(io.RawIOBase):
    """The content of one file of an archive, front to back. Between its pieces (offset, place, length) are zeros."""

    def __init__(self, archive: _Archive, size: int, pieces: tuple[tuple[int, int, int], ...]) -> None:
        self._archive = archive
        self._size = size
        self._pieces = iter([*pieces, (size, 0, 0)])
        self._piece = next(self._pieces)
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        offset, place, length = self._piece
        while self._position == offset + length < self._size:
            offset, place, length = self._piece = next(self._pieces)
        if self._position < offset:
            count = min(len(view), offset - self._position)
            view[:count] = bytes(count)
        else:
            inside = self._position - offset
            count = self._archive.read_into(view[: length - inside], place + inside)
        self._position += count
        return count


def _open(archive: _Archive, size: int, pieces: tuple[tuple[int, int, int], ...]) -> BinaryIO:
    return io.BufferedReader(_Content(archive, size, pieces))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(member: tarfile.TarInfo, origin: str, why: str, advice: str) -> LayerError:
    return LayerError(f"cannot place {member.name!r} (from {origin}) in a layer: {why}. {advice}")


def _unreadable(origin: str, why: str) -> LayerError:
    return LayerError(
        f"cannot read {origin} as a tar archive: {why}. Give a whole one, plain or compressed by gzip, xz or zstd."
    )
