"""Reads Debian packages: an ar archive of a version, a tar of control files and a tar of what is installed (deb(5))."""

import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from tools.debian.control import Stanza, parse_stanza
from tools.debian.errors import DebianError

_MAGIC = b"!<arch>\n"
_AR_HEADER = 60
_UNCOMPRESSED_IN_MEMORY = 1 << 20
_DAMAGED = "Fetch it again; if that does not help, renew the lock."

_DECOMPRESSORS: dict[str, Callable[[io.BytesIO], io.BufferedIOBase]] = {
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
    """

    fields: Stanza
    control: dict[str, bytes]
    members: tuple[tarfile.TarInfo, ...]
    open: Callable[[tarfile.TarInfo], BinaryIO]

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
    """Opens a package. What it installs lies in a temporary file until nothing refers to it any more, not in memory.

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


def _read(file: BinaryIO, what: str) -> Deb:
    parts = _ar_members(file)
    version = parts.get("debian-binary", b"")
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
    return Deb(fields, files, members, lambda member: cast(BinaryIO, data.extractfile(member)))


def _ar_members(file: BinaryIO) -> dict[str, bytes]:
    """The members of an ar archive, still compressed: names of 16 characters, sizes in decimal, padded to even."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is not an ar archive")
    members = {}
    while header := file.read(_AR_HEADER):
        if len(header) != _AR_HEADER or header[58:] != b"`\n":
            raise ValueError("its ar archive is damaged")
        name = header[:16].decode("ascii").rstrip().removesuffix("/")
        size = int(header[48:58])
        content = file.read(size)
        if size < 0 or len(content) != size:
            raise EOFError("it ends too early")
        members[name] = content
        file.read(size % 2)
    return members


def _uncompressed(parts: dict[str, bytes], stem: str, what: str) -> BinaryIO:
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
    target = tempfile.SpooledTemporaryFile(_UNCOMPRESSED_IN_MEMORY)  # noqa: SIM115 - open as long as the package is
    with decompress(io.BytesIO(parts.pop(name))) as content:
        shutil.copyfileobj(content, target, 1 << 20)
    target.seek(0)
    return cast(BinaryIO, target)
