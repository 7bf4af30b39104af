"""Writes one layer out of a list of what it contains. Called by the build, never by people."""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from tools.image.archive import archive_entries
from tools.image.compression import COMPRESSIONS
from tools.image.entries import Entry, LayerError, Tree, bytes_entry
from tools.image.layer import ELF_MACHINES, write_layer, write_metadata
from tools.image.worker import run_tool
from tools.pip.errors import PipError
from tools.pip.package_facts import wheel_package
from tools.pip.wheel import wheel_entries

Item = dict[str, str]
"""A line of the content list: its kind, the path in the image, where it comes from, and what that kind needs."""

# Set for the process that `--perturbed` starts.
_PERTURBED_HASH_SEED = "4711"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blob", type=Path, required=True, help="where the layer goes")
    parser.add_argument("--listing", type=Path, required=True, help="where the list of its entries goes")
    parser.add_argument("--metadata", type=Path, required=True, help="where its descriptor and diffID go, as JSON")
    parser.add_argument("--created-by", required=True, help="what the image's history says of it")
    parser.add_argument("--architecture", choices=sorted(ELF_MACHINES), help="what its programs must be for")
    parser.add_argument("--compression", choices=sorted(COMPRESSIONS), default="gzip")
    parser.add_argument("--perturbed", action="store_true", help="change what must not make a difference")
    # By hand, since a program may have many thousand files and argparse looks at each argument.
    options = parser.parse_args([argument for argument in arguments if not argument.startswith("{")])
    items = [json.loads(argument) for argument in arguments if argument.startswith("{")]
    threads = None
    if options.perturbed:
        items = _perturbed(options, items)
        threads = 3
    try:
        tree = _tree(items)
        with options.blob.open("wb") as out, options.listing.open("wb") as listing:
            facts = write_layer(
                tree.entries(),
                out,
                machine=options.architecture,
                compression=options.compression,
                threads=threads,
                listing=listing,
            )
        packages = [wheel_package(Path(item["source"])) for item in items if item["kind"] == "wheel"]
    except (LayerError, PipError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_metadata(options.metadata, facts, options.created_by, sorted(packages, key=lambda each: str(each["name"])))
    return 0


def _tree(items: Sequence[Item]) -> Tree:
    tree = Tree(entry for item in items if item["kind"] != "repo_mapping" for entry in _entries(item))
    for item in items:
        if item["kind"] == "repo_mapping":
            tree.add(_repo_mapping(item, tree))
    return tree


def _entries(item: Item) -> Iterator[Entry]:
    """The entries that one line of the content list stands for."""
    kind, path, origin = item["kind"], item["path"], item["origin"]
    match kind:
        case "file" if Path(item["source"]).exists():
            yield _owned(_file(path, Path(item["source"]), origin), item)
        case "tree":
            yield from (_owned(entry, item) for entry in _directory(path, Path(item["source"]), origin))
        case "wheel":
            for part in wheel_entries(Path(item["source"])):
                yield Entry(f"{path}/{part.path}", "file", part.mode, size=part.size, open=part.open, origin=origin)
        case "tar":
            yield from archive_entries(Path(item["source"]), origin)
        case "file" | "link":
            target = str(Path(item["source"]).readlink())
            yield _owned(Entry(path, "symlink", 0o777, target=target, origin=origin), item)
        case "symlink":
            yield _owned(Entry(path, "symlink", 0o777, target=item["target"], origin=origin), item)
        case "directory":
            yield _owned(Entry(path, "directory", 0o755, origin=origin), item)
        case "empty":
            yield bytes_entry(path, b"", origin=origin)
        case _:
            raise ValueError(f"no such kind of content: {kind}")


def _owned(entry: Entry, item: Item) -> Entry:
    """The entry with the mode and the owner that its line asks for, if any."""
    changes: dict[str, Any] = {}
    try:
        if (mode := item.get("mode")) and entry.kind != "symlink":
            changes["mode"] = int(mode, 8)
            if not 0 <= changes["mode"] <= 0o7777:
                raise ValueError(mode)
        if owner := item.get("owner"):
            uid, _, gid = owner.partition(":")
            changes |= {"uid": int(uid), "gid": int(gid or uid)}
    except ValueError:
        raise LayerError(
            f"cannot place /{entry.path} (from {entry.origin}): mode {item.get('mode')!r} or owner "
            f"{item.get('owner')!r} is none. Write an octal mode such as '0644', and numbers such as '65532:65532'."
        ) from None
    return replace(entry, **changes) if changes else entry


def _directory(path: str, source: Path, origin: str) -> Iterator[Entry]:
    """The files of a directory that a rule made, and its links as far as they point to something inside of it.

    Others point to where the build happens to keep another output: their content is what the rule meant.
    """
    top = source.resolve()
    for folder, folders, files in os.walk(source):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted(files + links):
            file = Path(folder, name)
            place = f"{path}/{file.relative_to(source).as_posix()}"
            target = file.readlink() if file.is_symlink() else None
            if target and not target.is_absolute() and file.resolve().is_relative_to(top):
                yield Entry(place, "symlink", 0o777, target=str(target), origin=origin)
            elif file.is_file():
                yield _file(place, file, origin)


def _repo_mapping(item: Item, tree: Tree) -> Entry:
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
    with source.open("rb") as content:
        start = content.read(4)
        size = os.fstat(content.fileno()).st_size
    executable = start == b"\x7fELF" or start[:2] == b"#!"
    mode = 0o755 if executable else 0o644
    return Entry(path, "file", mode, size=size, open=partial(_open, source), origin=origin)


def _open(source: Path) -> BinaryIO:
    return source.open("rb")


def _perturbed(options: argparse.Namespace, items: list[Item]) -> list[Item]:
    """Changes what must not make a difference to the layer: hash seed, folder, umask, time zone, language, order."""
    if os.environ.get("PYTHONHASHSEED") != _PERTURBED_HASH_SEED:
        # Read once at the start of Python: so start again, with the arguments as they came.
        environment = {**os.environ, "PYTHONHASHSEED": _PERTURBED_HASH_SEED, "LC_ALL": "C", "TZ": "Pacific/Chatham"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    time.tzset()
    os.umask(0o077)
    for name in ("blob", "listing", "metadata"):
        setattr(options, name, getattr(options, name).absolute())
    items = [item | ({"source": str(Path(item["source"]).absolute())} if "source" in item else {}) for item in items]
    os.chdir("/")
    random.Random(4711).shuffle(items)
    return items


if __name__ == "__main__":
    sys.exit(run_tool(main, sys.argv[1:]))
