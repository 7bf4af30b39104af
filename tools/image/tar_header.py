"""What stands before each entry of a tar archive (POSIX.1-2017, pax: "ustar Interchange Format", "pax Header Block").

Written by hand, since the bytes of a layer must not depend on the version of Python, whose `tarfile` is free to change
its own; and since `tarfile` takes longer for the header of a small file than zstd for its content.
"""

from tools.image.entries import Entry

BLOCK = 512
"""An archive consists of blocks of this many bytes; the content of a file is filled up to whole ones."""

_RECORD = 20 * BLOCK

_TYPES = {"file": b"0", "directory": b"5", "symlink": b"2", "hardlink": b"1"}
_PAX = b"x"
_PAX_NAME = b"././@PaxHeader"

_TEXT_LIMIT = 100
_OWNER_LIMIT = 8**7
_SIZE_LIMIT = 8**11

# "ustar", its version, no names of owners, no device, no prefix.
_AFTER_TARGET = b"ustar\x0000".ljust(255, b"\0")


def tar_header(entry: Entry) -> bytes:
    """A ustar header, preceded by a pax one only where ustar cannot say it (long or non-ASCII names, huge files)."""
    path = entry.path + "/" if entry.kind == "directory" else entry.path
    uid, gid, size = entry.uid, entry.gid, entry.size
    records = b""
    if not _is_plain(path):
        records += _record("path", path)
    if not _is_plain(entry.target):
        records += _record("linkpath", entry.target)
    if uid >= _OWNER_LIMIT:
        records += _record("uid", str(uid))
        uid = 0
    if gid >= _OWNER_LIMIT:
        records += _record("gid", str(gid))
        gid = 0
    if size >= _SIZE_LIMIT:
        records += _record("size", str(size))
        size = 0
    header = _ustar(_fallback(path), entry.mode, uid, gid, size, _TYPES[entry.kind], _fallback(entry.target))
    if not records:
        return header
    return _ustar(_PAX_NAME, 0, 0, 0, len(records), _PAX, b"") + records + padding(len(records)) + header


def padding(size: int) -> bytes:
    """What fills `size` bytes up to whole blocks."""
    return bytes(-size % BLOCK)


def archive_end(size: int) -> bytes:
    """What ends an archive of `size` bytes: two empty blocks, and as many as make whole records, as tar writes it."""
    end = 2 * BLOCK
    return bytes(end + -(size + end) % _RECORD)


def _ustar(name: bytes, mode: int, uid: int, gid: int, size: int, kind: bytes, target: bytes) -> bytes:
    # The time is the epoch: what a layer holds has no other.
    before = name.ljust(100, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode & 0o7777, uid, gid, size, 0)
    after = kind + target.ljust(100, b"\0") + _AFTER_TARGET
    # The sum of all bytes of the header, with spaces in the place of the sum itself.
    checksum = sum(before) + 8 * ord(" ") + sum(after)
    return before + b"%06o\0 " % checksum + after


def _is_plain(text: str) -> bool:
    return text.isascii() and len(text) <= _TEXT_LIMIT


def _fallback(text: str) -> bytes:
    """What a reader that does not know pax sees."""
    return text.encode("ascii", "replace")[:_TEXT_LIMIT]


def _record(key: str, value: str) -> bytes:
    """A line that begins with its own length in bytes, these digits included."""
    rest = f" {key}={value}\n".encode()
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest
