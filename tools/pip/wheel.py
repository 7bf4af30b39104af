"""The files of a wheel, as they lie in a site-packages folder (binary distribution format, PyPA specifications).

The members of a wheel's `.data` folder go where `pip install --target` puts them: `scripts` to `bin/`, `headers` to
`include/NAME/`, `data` beside the packages, `purelib` and `platlib` among them.
"""

from __future__ import annotations

import io
import re
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tools.pip.errors import PipError

_PYTHON_SHEBANG = re.compile(rb"\A#!pythonw?(?=[ \t\r\n])")
_REMEDY = "do not use this wheel: pin another version of the package"


@dataclass(frozen=True, slots=True)
class WheelEntry:
    """A regular file: its path relative to site-packages, mode 0o644 or 0o755, size in bytes, and its content."""

    path: str
    mode: int
    size: int
    open: Callable[[], BinaryIO]


def wheel_entries(path: Path) -> list[WheelEntry]:
    """The files of the wheel at `path`, sorted by path; raises PipError for a hostile or broken one.

    The archive stays open as long as an entry is referred to.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise PipError(f"cannot open the wheel {path.name}", str(error), _REMEDY) from error
    entries: dict[str, WheelEntry] = {}
    for member in archive.infolist():
        _check(member, path)
        if member.is_dir():
            continue
        entry = _entry(archive, member, path)
        if entry.path in entries:
            raise _refusal(path, entry.path, "two members have this path")
        entries[entry.path] = entry
    for name in entries:
        for parent in PurePosixPath(name).parents:
            if str(parent) in entries:
                raise _refusal(path, name, f"{parent} is a file, so nothing can lie in it")
    return [entries[name] for name in sorted(entries)]


def _check(member: zipfile.ZipInfo, wheel: Path) -> None:
    # ZipInfo cuts a name at its first NUL and keeps what the archive said in orig_filename.
    name = member.orig_filename
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise _refusal(wheel, name, "the path is absolute")
    if ".." in parts:
        raise _refusal(wheel, name, "the path leads out of the folder")
    if "" in parts or "." in parts or "\\" in name or "\0" in name or "\n" in name:
        raise _refusal(wheel, name, "the path is not in its plain form")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refusal(wheel, name, "it is a symbolic link or a special file, which no wheel may have")
    if member.flag_bits & 0x1:
        raise _refusal(wheel, name, "it is encrypted")


def _entry(archive: zipfile.ZipFile, member: zipfile.ZipInfo, wheel: Path) -> WheelEntry:
    path, is_script = _installed(member.filename, wheel)
    executable = is_script or (member.external_attr >> 16) & 0o111
    mode = 0o755 if executable else 0o644
    if is_script:
        content = _PYTHON_SHEBANG.sub(b"#!/usr/bin/env python3", archive.read(member), count=1)
        if content.startswith(b"#!/usr/bin/env python3"):
            return WheelEntry(path, mode, len(content), lambda: io.BytesIO(content))
    return WheelEntry(path, mode, member.file_size, lambda: _opened(archive, member))


def _opened(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    return archive.open(member)  # type: ignore[return-value]  # an IO[bytes] that is only read


def _installed(name: str, wheel: Path) -> tuple[str, bool]:
    """Where a member goes, and whether it is a script."""
    match = re.fullmatch(r"(?P<distribution>[^/-]+)-[^/]+\.data/(?P<scheme>[^/]+)/(?P<rest>.+)", name)
    if not match:
        return name, False
    rest = match["rest"]
    match match["scheme"]:
        case "purelib" | "platlib" | "data":
            return rest, False
        case "scripts":
            return f"bin/{rest}", True
        case "headers":
            return f"include/{match['distribution']}/{rest}", False
    raise _refusal(wheel, name, f"the wheel format knows no folder `{match['scheme']}` there")


def _refusal(wheel: Path, member: str, why: str) -> PipError:
    return PipError(f"the wheel {wheel.name} has a bad member {member!r}", why, _REMEDY)
