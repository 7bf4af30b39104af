"""Writes one layer out of a list of what it contains. Called by the build, never by people."""

import argparse
import functools
import json
import os
import random
import re
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

Item = dict[str, Any]
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
        case "output" if _is_unresolved(Path(item["source"])):
            yield from _entries(item | {"kind": "link"})
        case "file" | "output" if not Path(item["source"]).is_dir():
            yield _owned(_file(path, Path(item["source"]), origin), item)
        case "tree" | "file" | "output":  # A directory of the sources is called a file.
            yield from (_owned(entry, item) for entry in _directory(path, Path(item["source"]), origin))
        case "wheel":
            for part in wheel_entries(Path(item["source"])):
                yield Entry(f"{path}/{part.path}", "file", part.mode, size=part.size, open=part.open, origin=origin)
        case "tar":
            yield from archive_entries(Path(item["source"]), origin)
        case "link":
            target = str(Path(item["source"]).readlink())
            yield _owned(Entry(path, "symlink", 0o777, target=target, origin=origin), item)
        case "symlink":
            yield _owned(Entry(path, "symlink", 0o777, target=item["target"], origin=origin), item)
        case "directory":
            yield _owned(Entry(path, "directory", 0o755, origin=origin), item)
        case "launcher":
            yield bytes_entry(path, _launcher(item), origin=origin)
        case "empty":
            yield bytes_entry(path, b"", origin=origin)
        case _:
            raise ValueError(f"no such kind of content: {kind}")


def _launcher(item: Item) -> bytes:
    """What starts a Python program, out of its template."""
    text = Path(item["source"]).read_text(encoding="utf-8")
    for place, value in (('"{MAIN}"', item["main"]), ('["{IMPORTS}"]', item["imports"])):
        text = text.replace(place, json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    return text.encode()


def _owned(entry: Entry, item: Item) -> Entry:
    """The entry with the mode and the owner that its line asks for, if any."""
    changes: dict[str, Any] = {}
    try:
        if (mode := item.get("mode")) and entry.kind != "symlink":
            if not re.fullmatch("[0-7]{1,4}", mode):
                raise ValueError(mode)
            changes["mode"] = int(mode, 8)
        if owner := item.get("owner"):
            uid, _, gid = owner.partition(":")
            changes |= {"uid": _number(uid), "gid": _number(gid or uid)}
    except ValueError as error:
        raise LayerError(
            f"cannot place /{entry.path.lstrip('/')} (from {entry.origin}): {error.args[0]!r} is no mode or owner. "
            "Write an octal mode such as '0644', and numbers such as '65532:65532'."
        ) from None
    return replace(entry, **changes) if changes else entry


def _number(text: str) -> int:
    """A user or group; more than 31 bits no system knows."""
    if not re.fullmatch("[0-9]{1,10}", text) or int(text) >= 1 << 31:
        raise ValueError(text)
    return int(text)


def _directory(path: str, source: Path, origin: str) -> Iterator[Entry]:
    """The files of a directory, and what its links lead to.

    Links are followed: a sandbox shows every file of a directory as a link of its own, so that what the rule has linked
    cannot be told from what it has written, and the layer must not depend on how its action was run.
    """
    waiting: list[tuple[str, Path, tuple[Path, ...]]] = [(path, source, (source.resolve(),))]
    while waiting:
        place, folder, above = waiting.pop()
        for file in folder.iterdir():
            below = f"{place}/{file.name}"
            if file.is_file():
                yield _file(below, file, origin)
            elif file.is_dir():
                real = file.resolve()
                if real in above:
                    raise LayerError(
                        f"cannot place /{below} (from {origin}): it is a link to a folder that it lies in, and has no "
                        "end. Let the rule make the directory without it."
                    )
                waiting.append((below, file, (*above, real)))
            else:
                raise LayerError(
                    f"cannot place /{below} (from {origin}): it is a link to {file.readlink()}, and nothing is there. "
                    "Let the rule make the directory without it, or with what it points to."
                )


def _is_unresolved(output: Path) -> bool:
    """Whether an output is a symbolic link by itself (ctx.actions.declare_symlink), and not a way to another file.

    Bazel's own links are absolute and lead to its folders or to the workspace; whatever else a link says is content.
    """
    if not output.is_symlink():
        return False
    target = output.readlink()
    return not target.is_absolute() or not any(target.is_relative_to(folder) for folder in _folders_of_bazel())


@functools.cache
def _folders_of_bazel() -> tuple[Path, ...]:
    """Where the build keeps files: its output base, the workspace, and a sandbox's own names for them in /tmp."""
    execution_root = Path.cwd()
    names = execution_root.parts
    ends = [names.index(name) for name in ("sandbox", "bazel-workers", "execroot") if name in names]
    base = Path(*names[: min(ends)]) if ends else execution_root
    marker = base / "DO_NOT_BUILD_HERE"  # Bazel writes the workspace's path into it.
    workspace = [Path(marker.read_text(encoding="utf-8").strip())] if marker.is_file() else []
    temporary = ("bazel-execroot", "bazel-working-directory", "bazel-source-roots")
    return (base, *workspace, *(Path("/tmp", name) for name in temporary))


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
