"""Reads Debian packages: an ar archive of a version, a tar of control files and a tar of what is installed (deb(5))."""

import gzip
import hashlib
import io
import lzma
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from tools.debian.control import Stanza, parse_stanza
from tools.debian.errors import DebianError

_MAGIC = b"!<arch>\n"
_AR_HEADER = 60
_CHUNK = 1 << 20
_DAMAGED = "Fetch it again; if that does not help, renew the lock."


class _Part(io.RawIOBase):
    """A stretch of a file, read as a file of its own."""

    def __init__(self, file: io.BufferedReader, start: int, size: int) -> None:
        self._file = file
        self._position = start
        self._end = start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._position)
        content = self._file.read(min(len(buffer), self._end - self._position))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)


_DECOMPRESSORS: dict[str, Callable[[io.BufferedReader], io.BufferedIOBase]] = {
    "": lambda file: file,
    ".gz": gzip.open,
    ".xz": lzma.open,
}


@dataclass(frozen=True, slots=True)
class Deb:
    """An opened package.

    Attributes:
      fields: its control file.
      control: its other control files by name (conffiles, md5sums, postinst, ...).
      members: what it installs, in the order of the archive; names as they are there ("./usr/bin/x").
      open: opens the content of a regular member.
      sha256: of the package file, in hexadecimal.
    """

    fields: Stanza
    control: dict[str, bytes]
    members: tuple[tarfile.TarInfo, ...]
    open: Callable[[tarfile.TarInfo], BinaryIO]
    sha256: str

    @property
    def name(self) -> str:
        return self.fields["Package"]

    @property
    def version(self) -> str:
        return self.fields["Version"]

    @property
    def architecture(self) -> str:
        return self.fields["Architecture"]

    def __str__(self) -> str:
        return f"package {self.name} {self.version}"


def read_deb(path: Path) -> Deb:
    """Opens a package. What it installs lies in a temporary file until nothing refers to it any more, never in memory.

    Raises:
      DebianError: when the file is no package, is damaged, or is compressed in a way that cannot be read.
    """
    what = f"cannot read the Debian package {path.name}"
    try:
        with path.open("rb") as file:
            return _read(file, what)
    except OSError as error:
        raise DebianError(what, error.strerror or str(error), _DAMAGED) from error
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError, KeyError) as error:
        raise DebianError(what, f"{type(error).__name__}: {error}", _DAMAGED) from error


def _read(file: io.BufferedReader, what: str) -> Deb:
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    parts = _ar_members(file)
    version = parts["debian-binary"].read(4) if "debian-binary" in parts else b""
    if not version.startswith(b"2."):
        raise ValueError(f"its format is {version!r}, not 2.0")
    with tarfile.TarFile(fileobj=_uncompressed(parts, "control.tar", what)) as control:
        files = {
            member.name.removeprefix("./"): cast(BinaryIO, control.extractfile(member)).read()
            for member in control.getmembers()
            if member.isfile()
        }
    fields = parse_stanza(files.pop("control").decode("utf-8"))
    for field in ("Package", "Version", "Architecture"):
        if field not in fields:
            raise ValueError(f"its control file has no {field}")
    data = tarfile.TarFile(fileobj=_uncompressed(parts, "data.tar", what))
    members = tuple(data.getmembers())
    return Deb(fields, files, members, lambda member: cast(BinaryIO, data.extractfile(member)), sha256)


def _ar_members(file: io.BufferedReader) -> dict[str, io.BufferedReader]:
    """The members of an ar archive, still compressed: names of 16 characters, sizes in decimal, padded to even."""
    end = os.fstat(file.fileno()).st_size
    file.seek(0)
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is not an ar archive")
    members: dict[str, io.BufferedReader] = {}
    while header := file.read(_AR_HEADER):
        if len(header) != _AR_HEADER or header[58:] != b"`\n":
            raise ValueError("its ar archive is damaged")
        name = header[:16].decode("ascii").rstrip().removesuffix("/")
        start, size = file.tell(), int(header[48:58])
        if size < 0 or start + size > end:
            raise EOFError("it ends too early")
        members[name] = io.BufferedReader(_Part(file, start, size))
        file.seek(start + size + size % 2)
    return members


def _uncompressed(parts: dict[str, io.BufferedReader], stem: str, what: str) -> BinaryIO:
    """A seekable file with the tar archive in it."""
    name = next((name for name in parts if name == stem or name.startswith(f"{stem}.")), None)
    if name is None:
        raise ValueError(f"it has no {stem}")
    suffix = name.removeprefix(stem)
    decompress = _DECOMPRESSORS.get(suffix)
    if decompress is None:
        raise DebianError(
            what,
            f"its {name} is compressed as {suffix.removeprefix('.')}, which this reader does not know",
            "Debian's own packages use xz: take the package from Debian, or repack it with `dpkg-deb -Zxz`.",
        )
    target = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the package is
    with decompress(parts[name]) as content:
        shutil.copyfileobj(content, target, _CHUNK)
    target.seek(0)
    return cast(BinaryIO, target)
