"""`python_zip @ARGUMENTS`: puts Python modules into one file that runs without what built it.

The same bytes on every machine: entries are sorted, have one time and one mode, and are not compressed, since the
bytes of a compressor depend on its version.
"""

from __future__ import annotations

import argparse
import posixpath
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

_SHEBANG = b"#!/usr/bin/env python3\n"
_TIME = (1980, 1, 1, 0, 0, 0)
_FILE_MODE, _FOLDER_MODE = 0o100644 << 16, 0o040755 << 16
_VERSION = "{VERSION}"


class PackingError(Exception):
    """Files that do not fit into one folder."""


def module_path(runfile: str, roots: Iterable[str]) -> str | None:
    """Where a file of the runfiles lies below an entry of Python's search path; None if below none."""
    within = [root for root in roots if runfile.startswith(f"{root}/")]
    return runfile.removeprefix(max(within, key=len) + "/") if within else None


def is_packed(path: str) -> bool:
    """Whether a file is one of those that any Python can use: sources, and the licences of packages."""
    folder, _, rest = path.partition("/")
    if folder.endswith(".dist-info"):
        return rest == "METADATA" or rest.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE"))
    return path.endswith(".py")


def choose(files: Mapping[str, Path], roots: Iterable[str]) -> dict[str, bytes]:
    """The content of the zip, but for its start, out of files by their path among runfiles. Raises PackingError."""
    roots = [posixpath.normpath(root) for root in roots]
    content: dict[str, bytes] = {}
    for runfile, file in files.items():
        path = module_path(posixpath.normpath(runfile), roots)
        if path is None or not is_packed(path):
            continue
        read = file.read_bytes()
        if content.setdefault(path, read) != read:
            raise PackingError(f"{path} is there twice, and differs: one of them is {file}")
    return content


def write_zip(output: Path, main: str, content: Mapping[str, bytes]) -> None:
    """Write the file."""
    entries = {**content, "__main__.py": main.encode()}
    # Python finds a package without an __init__.py in a zip only if its folder has an entry.
    folders = {parent for path in entries for parent in _parents(path)}
    with output.open("wb") as stream:
        stream.write(_SHEBANG)
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted({*entries, *folders}):
                info = zipfile.ZipInfo(name, _TIME)
                info.create_system = 3
                info.external_attr = _FOLDER_MODE if name in folders else _FILE_MODE
                archive.writestr(info, entries.get(name, b""))
    output.chmod(0o755)


def _parents(path: str) -> Iterable[str]:
    while path := posixpath.dirname(path):
        yield f"{path}/"


def main(arguments: list[str]) -> int:
    """The build action."""
    parser = argparse.ArgumentParser(fromfile_prefix_chars="@")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--main", type=Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--root", action="append", default=[])
    parser.add_argument("--file", action="append", default=[], help="PATH_AMONG_RUNFILES=PATH")
    options = parser.parse_args(arguments)
    files = {runfile: Path(path) for runfile, _, path in (pair.partition("=") for pair in options.file)}
    try:
        content = choose(files, options.root)
    except PackingError as error:
        print(f"Cannot write {options.output}: {error}\nPack packages that do not share a path.", file=sys.stderr)
        return 1
    program = options.main.read_text(encoding="utf-8").replace(_VERSION, options.version)
    write_zip(options.output, program, content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
