"""What a layer contains: entries of a root file system, collected from several origins without contradiction."""

import hashlib
import io
import posixpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

Kind = Literal["file", "directory", "symlink", "hardlink"]


class LayerError(Exception):
    """A layer that cannot be made. The message says what failed, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory or link of a layer.

    Attributes:
      path: where it goes, relative to the root of the image ("usr/bin/x"; no leading slash).
      kind: file, directory, symlink or hardlink.
      mode: permission bits, set-id and sticky bits included.
      uid: owner, numeric.
      gid: group, numeric.
      target: what a symlink says, or the path (as `path`) of the file that a hardlink shares.
      size: bytes of a file; 0 for everything else.
      open: opens a file's content; None for everything else.
      origin: who brought it, for error messages ("wheel click 8.1.8", "package libc6").
    """

    path: str
    kind: Kind = "file"
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    target: str = ""
    size: int = 0
    open: Callable[[], BinaryIO] | None = None
    origin: str = "unknown"


def bytes_entry(path: str, content: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0, origin: str) -> Entry:
    """A file whose content is at hand."""
    return Entry(path, "file", mode, uid, gid, size=len(content), open=lambda: io.BytesIO(content), origin=origin)


def checked_path(path: str, origin: str) -> str:
    """`path` in its one canonical form, relative to the root of the image.

    Raises:
      LayerError: for a path that leaves the root, is empty, or holds a NUL or what is not UTF-8.
    """
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise LayerError(
            f"cannot place {path!r} (from {origin}) in a layer: it is not UTF-8, "
            "which archives, listings and SBOMs are written in. Rename it."
        ) from error
    parts = [part for part in path.split("/") if part not in ("", ".")]
    remedy = ""
    if not parts:
        remedy = "Name a file or a folder, such as '/etc/x': the root itself is in every image."
    elif ".." in parts:
        remedy = "Give a path without '..'."
    elif "\0" in path:
        remedy = "Give a path without a NUL."
    if remedy:
        raise LayerError(
            f"cannot place {path!r} (from {origin}) in a layer: "
            f"it does not name a place below the root of the image. {remedy}"
        )
    return "/".join(parts)


class Tree:
    """Entries by path. Two origins may bring the same path only if they agree on it.

    Equal entries (kind, owner, mode, target and content) are kept once; of two directories the first one stays, as dpkg
    does it. Anything else is an error that names both origins. Parents are not implied: a layer that creates
    `tmp/x` must not change the mode of the image's `tmp`.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: dict[str, Entry] = {}
        for entry in entries:
            self.add(entry)

    def __contains__(self, path: str) -> bool:
        return path in self._entries

    def get(self, path: str) -> Entry | None:
        """The entry at `path`, in the canonical form, or None."""
        return self._entries.get(path)

    def add(self, entry: Entry) -> None:
        """Adds one entry.

        Raises:
          LayerError: for a path outside the root, or one that another origin has taken with something else.
        """
        path = checked_path(entry.path, entry.origin)
        if path != entry.path:
            entry = replace(entry, path=path)
        present = self._entries.get(path)
        if present is None:
            self._entries[path] = entry
        elif not _agree(present, entry):
            raise LayerError(
                f"two different things at /{path}: a {present.kind} (mode {present.mode:o}) from {present.origin}, "
                f"and a {entry.kind} (mode {entry.mode:o}) from {entry.origin}. Leave one of them out."
            )

    def entries(self) -> list[Entry]:
        """All entries, a directory before what is in it, in an order that depends on nothing but the paths.

        Raises:
          LayerError: when something lies below a path that is not a directory.
        """
        for path, entry in self._entries.items():
            parent = posixpath.dirname(path)
            while parent:
                above = self._entries.get(parent)
                if above is not None and above.kind != "directory":
                    remedy = (
                        "Place it at the path that the link points to"
                        if above.kind == "symlink"
                        else "Only a directory can hold it: place it elsewhere"
                    )
                    raise LayerError(
                        f"cannot place /{path} (from {entry.origin}): "
                        f"/{parent} is a {above.kind} (from {above.origin}). {remedy}, or leave one of them out."
                    )
                parent = posixpath.dirname(parent)
        ordered = [self._entries[path] for path in sorted(self._entries, key=lambda path: path.split("/"))]
        return _files_before_their_links(ordered)


def _files_before_their_links(entries: list[Entry]) -> list[Entry]:
    """A tar archive can link only to what it already holds, so the first of several names is written as the file."""
    files = {entry.path: entry for entry in entries if entry.kind == "file"}
    written: dict[str, str] = {}
    result = []
    for entry in entries:
        name = entry.target if entry.kind == "hardlink" else entry.path
        if entry.kind not in ("file", "hardlink") or (entry.kind == "file" and name not in written):
            result.append(entry)
            written.setdefault(name, entry.path)
        elif name in written:
            result.append(
                replace(files[name], path=entry.path, kind="hardlink", target=written[name], size=0, open=None)
            )
        elif name in files:
            result.append(replace(files[name], path=entry.path))
            written[name] = entry.path
        else:
            raise LayerError(
                f"cannot link /{entry.path} (from {entry.origin}) to /{name}: the layer has no such file. "
                "Add the file to the same layer, or make it a symbolic link."
            )
    return result


def _agree(one: Entry, other: Entry) -> bool:
    if one.kind == other.kind == "directory":
        return True
    facts_agree = replace(one, open=None, origin="") == replace(other, open=None, origin="")
    return facts_agree and (one.kind != "file" or _digest(one) == _digest(other))


def _digest(entry: Entry) -> bytes:
    if entry.open is None:
        return b""
    found = hashlib.sha256()
    with entry.open() as content:
        while chunk := content.read(1 << 20):
            found.update(chunk)
    return found.digest()
