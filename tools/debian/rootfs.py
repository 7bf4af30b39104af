"""A root file system out of opened packages: what they ship, dpkg's database, and what their scripts would do."""

import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial

from tools.debian.configure import configure
from tools.debian.database import database
from tools.debian.deb import Deb
from tools.debian.errors import DebianError
from tools.image.entries import Entry, Tree, checked_path

# Directories that Debian has merged into others: what a package ships under the first name belongs under the second.
# The texts of the links are those that base-files makes.
_MERGED = {
    "bin": "usr/bin",
    "sbin": "usr/sbin",
    "lib": "usr/lib",
    "lib32": "usr/lib32",
    "lib64": "usr/lib64",
    "libx32": "usr/libx32",
    "var/run": "/run",
    "var/lock": "/run/lock",
}

# What nobody reads in a container. The copyright files stay: licences ask for it, and scanners read them.
_LEFT_OUT = (
    "usr/share/applications",
    "usr/share/bash-completion",
    "usr/share/bug",
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/gtk-doc",
    "usr/share/i18n",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
    "usr/share/pixmaps",
    "usr/share/zsh",
)

_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
}


def root_file_system(debs: Sequence[Deb], exclude: Sequence[str] = ()) -> Tree:
    """The tree of a system with these packages installed.

    Args:
      debs: the packages.
      exclude: patterns of further paths to leave out, as of dpkg's path-exclude: "/usr/lib/*/gconv/*".

    Raises:
      DebianError: for packages of two architectures or twice the same one, or something that an image cannot hold.
      LayerError: for packages that contradict each other, or a path outside the root.
    """
    _check_set(debs)
    # dpkg, too, lets the first directory decide on the mode; by name, base-files is before what stands on it.
    tree = Tree(entry for deb in sorted(debs, key=lambda deb: deb.name) for entry in _shipped(deb, exclude))
    for path, text in _MERGED.items():
        if text.lstrip("/") in tree:
            tree.add(Entry(path, "symlink", 0o777, target=text, origin="Debian's merged directories"))
    configure(tree)
    for entry in database(debs):
        tree.add(entry)
    return tree


def architecture(debs: Sequence[Deb]) -> str | None:
    """The one architecture that packages with programs are for; None where all are for every architecture."""
    return next((deb.architecture for deb in debs if deb.architecture != "all"), None)


def _check_set(debs: Sequence[Deb]) -> None:
    what = "cannot install these Debian packages together"
    names = [deb.name for deb in debs]
    if repeated := next((name for name in sorted(names) if names.count(name) > 1), None):
        versions = " and ".join(sorted(deb.version for deb in debs if deb.name == repeated))
        remedy = "Leave one of them out; layers that stand on each other take their packages from one lock."
        raise DebianError(what, f"{repeated} is there more than once ({versions})", remedy)
    by_architecture = {deb.architecture: deb.name for deb in debs if deb.architecture != "all"}
    if len(by_architecture) > 1:
        why = ", ".join(f"{name} is for {arch}" for arch, name in sorted(by_architecture.items()))
        raise DebianError(what, why, "Give packages of one architecture, chosen by a select() on the platform's CPU.")


def _shipped(deb: Deb, exclude: Sequence[str]) -> Iterator[Entry]:
    origin = str(deb)
    paths = {_place(member.name, origin) for member in deb.members if not _is_root(member.name)}
    for member in deb.members:
        if _is_root(member.name):
            continue
        path = _place(member.name, origin)
        if _is_left_out(path, member, paths) or any(fnmatchcase(f"/{path}", pattern) for pattern in exclude):
            continue
        kind = _KINDS.get(member.type)
        mode = member.mode & 0o7777  # with the set-id and sticky bits
        if kind == "file":
            content = partial(deb.open, member)
            yield Entry(path, "file", mode, member.uid, member.gid, size=member.size, open=content, origin=origin)
        elif kind == "directory":
            yield Entry(path, "directory", mode, member.uid, member.gid, origin=origin)
        elif kind == "hardlink":
            target = _place(member.linkname, origin)
            yield Entry(path, "hardlink", mode, member.uid, member.gid, target=target, origin=origin)
        elif kind == "symlink":
            if not _is_link_of_merged(member):
                target = member.linkname
                yield Entry(path, "symlink", 0o777, member.uid, member.gid, target=target, origin=origin)
        else:
            raise DebianError(
                f"cannot place /{path} (from {origin}) in an image",
                f"it is a device, a pipe or something else of type {member.type!r}",
                "Leave the package out: what runs a container makes its devices.",
            )


def _is_root(name: str) -> bool:
    return name.strip("/") in ("", ".")


def _place(name: str, origin: str) -> str:
    """Where a path of a package is in the image, canonical, with merged directories followed."""
    path = checked_path(name, origin)
    for merged, text in _MERGED.items():
        if path == merged or path.startswith(f"{merged}/"):
            return text.lstrip("/") + path.removeprefix(merged)
    return path


def _is_link_of_merged(member: tarfile.TarInfo) -> bool:
    """Whether this is the very link that makes a merged directory, as base-files ships it."""
    path = member.name.removeprefix("./")
    if path not in _MERGED:
        return False
    return posixpath.join("/", posixpath.dirname(path), member.linkname) == posixpath.join("/", _MERGED[path])


def _is_left_out(path: str, member: tarfile.TarInfo, paths: set[str]) -> bool:
    if not path.startswith(tuple(f"{folder}/" for folder in _LEFT_OUT)):
        return False
    parts = path.split("/")
    in_doc = parts[:3] == ["usr", "share", "doc"]
    if in_doc and len(parts) == 4:
        return not (member.issym() or f"{path}/copyright" in paths)
    return not (in_doc and len(parts) == 5 and parts[4] == "copyright")
