"""What a layer has to hold that stands on other layers: the difference of two root file systems."""

from dataclasses import replace

from tools.image.entries import Entry, Tree

_CHUNK = 1 << 20


def difference(whole: Tree, below: Tree) -> list[Entry]:
    """What makes `whole` out of `below`, in the order of layers.

    The folders of what is written come along as they are: some engines would give a folder that a layer does not name a
    mode and an owner of their own. Files of `below` alone stay where they are.
    """
    present = {entry.path: entry for entry in below.entries()}
    entries = whole.entries()
    wanted = {entry.path for entry in entries if not _same(entry, present.get(entry.path))}
    # Not every engine can link to a file of a layer below.
    wanted |= {entry.target for entry in entries if entry.path in wanted and entry.kind == "hardlink"}
    wanted |= {path[:end] for path in wanted for end in range(len(path)) if path[end] == "/"}
    return [entry for entry in entries if entry.path in wanted]


def _same(one: Entry, other: Entry | None) -> bool:
    if other is None or replace(one, open=None, origin="") != replace(other, open=None, origin=""):
        return False
    if one.open is None or other.open is None:
        return one.open is other.open
    with one.open() as content, other.open() as present:
        while chunk := content.read(_CHUNK):
            if chunk != present.read(_CHUNK):
                return False
    return True
