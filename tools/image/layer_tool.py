"""Writes one layer out of a list of what it contains. Called by the build, never by people."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tools.image.entries import Entry, LayerError, Tree, bytes_entry
from tools.image.layer import ELF_MACHINES, write_layer, write_metadata
from tools.pip.errors import PipError
from tools.pip.wheel import wheel_entries


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blob", type=Path, required=True, help="where the layer goes")
    parser.add_argument("--metadata", type=Path, required=True, help="where its descriptor and diffID go, as JSON")
    parser.add_argument("--created-by", required=True, help="what the image's history says of it")
    parser.add_argument("--architecture", choices=sorted(ELF_MACHINES), help="what its programs must be for")
    parser.add_argument("--content", type=Path, required=True, help="one JSON object a line, each something to place")
    options = parser.parse_args(arguments)
    try:
        items = [json.loads(line) for line in options.content.read_text(encoding="utf-8").splitlines()]
        tree = Tree(entry for item in items if item["kind"] != "repo_mapping" for entry in _entries(item))
        for item in items:
            if item["kind"] == "repo_mapping":
                tree.add(_repo_mapping(item, tree))
        with options.blob.open("wb") as out:
            facts = write_layer(tree.entries(), out, machine=options.architecture)
    except (LayerError, PipError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_metadata(options.metadata, facts, options.created_by)
    return 0


def _entries(item: dict[str, str]) -> Iterator[Entry]:
    """The entries that one line of the content list stands for."""
    kind, path, origin = item["kind"], item["path"], item["origin"]
    match kind:
        case "file" if Path(item["source"]).exists():
            yield _file(path, Path(item["source"]), origin)
        case "tree":
            for source in sorted(Path(item["source"]).rglob("*")):
                if source.is_file():
                    yield _file(f"{path}/{source.relative_to(item['source']).as_posix()}", source, origin)
        case "wheel":
            for part in wheel_entries(Path(item["source"])):
                yield Entry(f"{path}/{part.path}", "file", part.mode, size=part.size, open=part.open, origin=origin)
        case "file" | "link":
            yield Entry(path, "symlink", 0o777, target=str(Path(item["source"]).readlink()), origin=origin)
        case "symlink":
            yield Entry(path, "symlink", 0o777, target=item["target"], origin=origin)
        case "empty":
            yield bytes_entry(path, b"", origin=origin)
        case _:
            raise ValueError(f"no such kind of content: {kind}")


def _repo_mapping(item: dict[str, str], tree: Tree) -> Entry:
    """Bazel's table of repository names (a line: who asks, apparent name, folder), for what is in `tree`.

    Repositories without a file here are left out: they would make the layer differ between platforms for no use.
    """
    root = item["path"].rpartition("/")[0]
    folders = {entry.path.removeprefix(root + "/").partition("/")[0] for entry in tree.entries()}
    with open(item["source"], encoding="utf-8") as table:
        kept = [line for line in table if _asks_for(line, folders)]
    return bytes_entry(item["path"], "".join(kept).encode(), origin=item["origin"])


def _asks_for(line: str, folders: set[str]) -> bool:
    asking, _, folder = line.rstrip("\n").split(",")
    return folder in folders and (asking == "" or asking in folders)


def _file(path: str, source: Path, origin: str) -> Entry:
    """A file as Bazel hands it over.

    Bazel keeps no permission bits worth trusting (an output is always executable, and so is every remote input), so the
    content decides: programs and scripts are executable.
    """

    def reopen() -> BinaryIO:
        return source.open("rb")

    with reopen() as content:
        start = content.read(4)
        size = os.fstat(content.fileno()).st_size
    executable = start == b"\x7fELF" or start[:2] == b"#!"
    return Entry(path, "file", 0o755 if executable else 0o644, size=size, open=reopen, origin=origin)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
