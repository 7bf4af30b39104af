"""The file system that a container of an image sees: its layers, one on top of the other (OCI image-spec, layer.md)."""

import difflib
import posixpath
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tools.image.testing.archive import LayerEntry, canonical

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
# What the kernel allows on the way to one file (path_resolution(7)).
_MAX_LINKS = 40


class NothingThere(Exception):
    """A path that leads nowhere; the message says where it ends, and why."""


@dataclass(frozen=True, slots=True)
class Node:
    """What is at one path.

    Attributes:
      path: its real path, relative to the root.
      kind: file, directory, symlink, or a device or pipe of a layer that was made elsewhere. A hard link is the file
        that it shares.
      sha256: hexadecimal, of a file; empty where nobody has read it yet.
      target: what a symlink says.
      layer: number of the layer, from 0, that brought it.
      content: for a file, number of the layer and path in it that have its bytes.
    """

    path: str
    kind: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    size: int = 0
    sha256: str = ""
    target: str = ""
    layer: int = 0
    content: tuple[int, str] = (0, "")


@dataclass(slots=True)
class _Place:
    node: Node
    children: "dict[str, _Place]" = field(default_factory=dict)


class Glob:
    """A pattern of paths: `*` and `?` within a name, `[...]` for one of some characters, `**` for any folders.

    `**/*.pem` is every such file; `/app/**` is all that is below /app, without /app itself.

    Attributes:
      text: as it was written.
      folder: the names before the first one with a pattern in it; always without the last one.

    Raises:
      ValueError: `**` as a part of a name, or an empty pattern.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        parts = canonical(text).split("/")
        for part in parts:
            if not part or part == ".." or ("**" in part and part != "**"):
                raise ValueError(f"{text!r} is not a pattern of paths; it is like /etc/*.conf, **/*.pem or /app/**")
        literal = next((n for n, part in enumerate(parts) if re.search(r"[*?[]", part)), len(parts) - 1)
        self.folder = "/".join(parts[:literal])
        self._rest = re.compile(_translated(parts[literal:]), re.DOTALL)
        self._whole = re.compile(_translated(parts), re.DOTALL)

    def names(self, path: str) -> bool:
        """Whether this names `path`."""
        return self._whole.fullmatch(path) is not None

    def names_in_folder(self, path: str) -> bool:
        """Whether this names `path`, which is relative to `folder`."""
        return self._rest.fullmatch(path) is not None


class FileSystem:
    """Files by path, each known by what the layers say of it.

    Attributes:
      problems: what engines would not agree on, or cannot do, in words.
    """

    def __init__(self) -> None:
        self._root = _Place(Node("", "directory"))
        self.problems: list[str] = []

    @classmethod
    def overlay(cls, layers: Sequence[Iterable[LayerEntry]], names: Sequence[str]) -> "FileSystem":
        """Layers, bottom first, put on top of each other.

        Args:
          layers: entries of each.
          names: what each is called in a problem.
        """
        files = cls()
        for number, entries in enumerate(layers):
            files._add_layer(number, entries, names)
        return files

    def find(self, path: str, *, follow: bool = True) -> Node:
        """What a program in the container finds at `path`, symlinks resolved below the image's root.

        Args:
          path: absolute.
          follow: whether a symlink at the very end is resolved too.

        Raises:
          NothingThere: nothing is.
        """
        return self._place(path, follow=follow).node

    def below(self, folder: str) -> Iterator[tuple[str, Node, bool]]:
        """All that is in a folder: path relative to it, what it is, and whether it is a directory with something in it.

        Raises:
          NothingThere: there is no such folder.
        """
        place = self._place(folder)
        if place.node.kind != "directory":
            raise NothingThere(f"/{place.node.path} is a {place.node.kind}")
        yield from _below(place, "")

    def matching(self, glob: Glob) -> Iterator[Node]:
        """All that a pattern names, in the order of paths; its folder may be reached through symlinks."""
        try:
            found = [node for path, node, _ in self.below(glob.folder) if glob.names_in_folder(path)]
        except NothingThere:
            found = []
        yield from found

    def _place(self, path: str, *, follow: bool = True) -> _Place:
        stack = [self._root]
        names = deque(_names(path))
        links = 0
        while names:
            name = names.popleft()
            here = stack[-1]
            if here.node.kind != "directory":
                raise NothingThere(f"/{here.node.path} is a {here.node.kind}, and no directory")
            if name == "..":
                # The root's parent is the root: no link leads out of an image.
                if len(stack) > 1:
                    stack.pop()
                continue
            child = here.children.get(name)
            if child is None:
                raise NothingThere(_missing(here, name))
            if child.node.kind == "symlink" and (names or follow):
                links += 1
                if links > _MAX_LINKS:
                    raise NothingThere(f"/{child.node.path} is a symlink that leads to itself")
                if child.node.target.startswith("/"):
                    stack = [self._root]
                names.extendleft(reversed(_names(child.node.target)))
            else:
                stack.append(child)
        return stack[-1]

    def _add_layer(self, number: int, entries: Iterable[LayerEntry], names: Sequence[str]) -> None:
        kept = []
        for entry in entries:
            path = canonical(entry.path)
            if ".." in path.split("/"):
                self.problems.append(f"{names[number]} has {entry.path!r}, a path that leaves the root of the image")
                continue
            folder, name = posixpath.split(path)
            # A whiteout is about the layers below, wherever in its own layer it stands.
            if name == _OPAQUE:
                self._hide(folder, None)
            elif not name.startswith(_WHITEOUT):
                kept.append(replace(entry, path=path))
            elif not name.startswith(_WHITEOUT * 2):
                self._hide(folder, name.removeprefix(_WHITEOUT))
        for entry in kept:
            self._add(number, entry, names)

    def _hide(self, folder: str, name: str | None) -> None:
        """Removes a name from a folder; None: all names."""
        place: _Place | None = self._root
        for part in _names(folder):
            place = place.children.get(part) if place else None
        if place and name is None:
            place.children.clear()
        elif place and name is not None:
            place.children.pop(name, None)

    def _add(self, number: int, entry: LayerEntry, names: Sequence[str]) -> None:
        node = self._node(number, entry, names)
        if node is None:
            return
        if not entry.path:
            self._root.node = node
            return
        *folders, name = entry.path.split("/")
        here = self._root
        for depth, folder in enumerate(folders, 1):
            child = here.children.get(folder)
            if child is None or child.node.kind != "directory":
                if child is not None:
                    self._collision(number, entry, child.node, names)
                child = _Place(Node("/".join(folders[:depth]), "directory", layer=number))
                here.children[folder] = child
            here = child
        present = here.children.get(name)
        if present and present.node.kind == node.kind == "directory":
            present.node = node
        else:
            here.children[name] = _Place(node)

    def _node(self, number: int, entry: LayerEntry, names: Sequence[str]) -> Node | None:
        fields = (entry.path, entry.kind, entry.mode, entry.uid, entry.gid, entry.size, entry.sha256, entry.target)
        if entry.kind != "hardlink":
            return Node(*fields, layer=number, content=(number, entry.path))
        try:
            shared = self._place(entry.target, follow=False).node
        except NothingThere as error:
            self.problems.append(
                f"{names[number]} has /{entry.path}, a hard link to /{canonical(entry.target)}: {error}"
            )
            return None
        return replace(shared, path=entry.path, layer=number)

    def _collision(self, number: int, entry: LayerEntry, above: Node, names: Sequence[str]) -> None:
        """An entry below something that is no directory: overlay file systems put a directory in its place, and tools
        that unpack one layer after the other follow it if it is a link."""
        what = f"a symlink to {above.target}" if above.kind == "symlink" else f"a {above.kind}"
        remedy = (
            f"Place it below {above.target} itself" if above.kind == "symlink" else f"Leave /{above.path} or it out"
        )
        self.problems.append(
            f"{names[number]} places /{entry.path}, but /{above.path} is {what} ({names[above.layer]}): "
            f"engines do not agree on what that means. {remedy}."
        )


def _names(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _below(place: _Place, prefix: str) -> Iterator[tuple[str, Node, bool]]:
    for name, child in sorted(place.children.items()):
        yield prefix + name, child.node, bool(child.children)
        yield from _below(child, f"{prefix}{name}/")


def _missing(folder: _Place, name: str) -> str:
    where = f"/{folder.node.path}"
    similar = difflib.get_close_matches(name, folder.children, n=3)
    if similar:
        return f"{where} has no {name}; it has {', '.join(similar)}"
    return f"{where} has no {name}" if folder.children else f"{where} is empty"


def _translated(parts: Sequence[str]) -> str:
    """A regular expression for paths of these parts."""
    *folders, last = parts
    pattern = "".join("(?:[^/]+/)*" if part == "**" else _name(part) + "/" for part in folders)
    return pattern + (".+" if last == "**" else _name(last))


def _name(part: str) -> str:
    pieces = re.split(r"(\*|\?|\[!?\]?[^]]*\])", part)
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: str) -> str:
    match piece:
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
        case _ if piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
            characters = re.sub(r"([\\^\[\]])", r"\\\1", piece[1:-1].removeprefix("!"))
            return f"(?!/)[{'^' if piece[1] == '!' else ''}{characters}]"
        case _:
            return re.escape(piece)
