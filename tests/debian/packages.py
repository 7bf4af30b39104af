"""Packages for the tests: by dpkg-deb where it would make them, by hand where it would refuse."""

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.support.tools import tool

Member = tuple[tarfile.TarInfo, bytes]


def build_deb(
    folder: Path,
    name: str,
    *,
    version: str = "1.0",
    architecture: str = "amd64",
    fields: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    control: Mapping[str, str] | None = None,
    compression: str = "xz",
) -> Path:
    """A package as dpkg-deb makes it.

    Args:
      folder: where it goes.
      name: of the package.
      version: of the package.
      architecture: of the package.
      fields: further fields of its control file.
      files: what it installs: content by path.
      control: further control files: content by name.
      compression: as `dpkg-deb -Z` takes it.
    """
    tree = folder / f"{name}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    tree.chmod(0o755)
    facts = {
        "Package": name,
        "Version": version,
        "Architecture": architecture,
        "Maintainer": "Nobody <nobody@localhost>",
        "Description": f"{name}, for a test\n It has a second line.",
        **(fields or {}),
    }
    texts = {
        # As dh_md5sums does it for Debian's packages; dpkg would otherwise work it out when it installs.
        "md5sums": "".join(
            f"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}  {path}\n"
            for path, text in (files or {}).items()
        ),
        **(control or {}),
        "control": "".join(f"{field}: {value}\n" for field, value in facts.items()),
    }
    for file, text in texts.items():
        (tree / "DEBIAN" / file).write_text(text)
        (tree / "DEBIAN" / file).chmod(0o755 if text.startswith("#!") else 0o644)
    for path, text in (files or {}).items():
        place = tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(0o644)
    for folder_of_files in tree.rglob("*/"):
        folder_of_files.chmod(0o755)
    deb = folder / f"{name}_{version.partition(':')[2] or version}_{architecture}.deb"
    subprocess.run(
        [*tool("dpkg-deb"), "--root-owner-group", f"-Z{compression}", "--build", str(tree), str(deb)],
        check=True,
        capture_output=True,
    )
    return deb


def raw_deb(
    folder: Path,
    name: str,
    members: Iterable[Member] = (),
    *,
    version: str = "1.0",
    architecture: str = "amd64",
    control: Mapping[str, bytes] | None = None,
) -> Path:
    """A package with exactly these members, whatever they are."""
    fields = f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n".encode()
    files = {"control": fields, **(control or {})}
    deb = folder / f"{name.replace('/', '-')}_{version}_{architecture}.deb"
    write_ar(
        deb,
        {
            "debian-binary": b"2.0\n",
            "control.tar": _tar(file(f"./{path}", content) for path, content in files.items()),
            "data.tar": _tar(members),
        },
    )
    return deb


def write_ar(path: Path, members: Mapping[str, bytes]) -> None:
    """An ar archive, as deb(5) describes it."""
    with path.open("wb") as out:
        out.write(b"!<arch>\n")
        for name, content in members.items():
            out.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
            out.write(content + b"\n" * (len(content) % 2))


def _tar(members: Iterable[Member]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def file(path: str, content: bytes = b"", *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Member:
    info = tarfile.TarInfo(path)
    info.mode, info.uid, info.gid, info.size = mode, uid, gid, len(content)
    return info, content


def directory(path: str, *, mode: int = 0o755) -> Member:
    return special(path, tarfile.DIRTYPE, mode=mode)


def symlink(path: str, target: str) -> Member:
    return special(path, tarfile.SYMTYPE, target=target)


def hardlink(path: str, target: str) -> Member:
    return special(path, tarfile.LNKTYPE, target=target)


def special(path: str, kind: bytes, *, target: str = "", mode: int = 0o755) -> Member:
    info = tarfile.TarInfo(path)
    info.type, info.linkname, info.mode = kind, target, mode
    return info, b""
