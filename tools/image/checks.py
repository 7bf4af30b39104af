"""What must hold of an image before it is worth describing: its programs fit the platform, its entrypoint can start."""

import itertools
import json
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from tools.image.documents import Layer
from tools.oci.manifest import Platform

# As many as Linux follows (path_resolution(7)).
_MAX_LINKS = 40
# Scripts that scripts name as their interpreter: as many as Linux follows (execve(2)).
_MAX_INTERPRETERS = 5

# What starts a py_binary, after its Python: private/program_layers.bzl.
_LAUNCHER = "/app/__main__.py"

_NEEDS = {"interpreter": "is a script for", "loader": "is linked dynamically and needs"}
_REMEDIES = {
    "entrypoint": "Correct `entrypoint`, or add the layer or the base that has it.",
    "python": (
        "Choose a base that has it, such as @slipway//tools/debian:base, "
        "or set `interpreter` to the path of the Python that the image has."
    ),
    "interpreter": (
        "Choose a base that has it (@slipway//tools/debian:shell_base has sh and bash, "
        "@slipway//tools/debian:base has python3), or name one that the image has in the script's first line."
    ),
    "env": (
        "Name the interpreter itself in the script's first line and choose a base that has it "
        "(@slipway//tools/debian:base has /usr/bin/python3, @slipway//tools/debian:shell_base /bin/sh and /bin/bash), "
        "or make a Python program a py_binary, which needs no env. For env and an interpreter beside it "
        "make a base of Debian packages of your own (env is in coreutils): tools/debian/README.md."
    ),
    "loader": (
        "Choose a base that has it, such as @slipway//tools/debian:minimal_base, or link the program statically."
    ),
}


class ImageError(Exception):
    """An image that would not run. The message says what is wrong, why, and what to do."""


def check_machines(label: str, platform: Platform, layers: Sequence[Layer]) -> None:
    """Raises ImageError for a layer with programs of another architecture.

    A layer checks its own files while it is written; one that platforms share was written for the first of them.
    """
    for layer in layers:
        if layer.machine not in (None, platform.architecture):
            raise ImageError(
                f"{label} for {platform}: the layer '{layer.created_by}' holds programs for {layer.machine}. "
                "It is made of source files, so every platform gets the same ones. "
                "Choose them by a select() on the platform's CPU, or build them."
            )


def check_entrypoint(label: str, platform: Platform, run: Mapping[str, Any], listings: Sequence[bytes | None]) -> None:
    """Raises ImageError for an entrypoint that is not in the image, cannot be executed, or lacks what starts it.

    A script of `/usr/bin/env` is started by that. What env then looks for is not judged: the PATH is the container's.

    Args:
      label: of the index, for errors.
      platform: of the image.
      run: the configuration's `config`.
      listings: of the layers, bottom first; None for one whose content is not known. With such a layer only what is
        there can be judged.
    """
    command = run.get("Entrypoint") or run.get("Cmd")
    if not command:
        return
    path = command[0]
    role, said = "entrypoint", f"{label} for {platform}: its entrypoint {path}"
    if command[1:2] == [_LAUNCHER]:
        role, said = "python", f"{label} for {platform}: its py_binary is started by {path}, which"
    for scripts in itertools.count():
        if not path.startswith("/"):
            return  # It is looked for on the container's PATH, or in its working directory.
        entry = _find(path, listings)
        if entry is None:
            if None in listings:
                return
            raise ImageError(f"{said} is not in the image: no layer brings that file. {_remedy(role, path)}")
        if entry["kind"] == "directory" or not int(entry["mode"], 8) & 0o111:
            raise ImageError(
                f"{said} cannot be executed: it is a {entry['kind']} of mode {entry['mode']}. "
                "Name a program, give the file mode 0755 (`modes`), or name the interpreter before it."
            )
        if entry.get("format") == "unknown":
            raise ImageError(
                f"{said} cannot be executed: it is no program, for it begins neither with #! nor as ELF files do. "
                "Give a script a first line such as #!/bin/sh, name a *_binary target as `binary`, "
                "or put what interprets the file before it in `entrypoint`."
            )
        needed = next((need for need in _NEEDS if need in entry), None)
        if needed is None or role == "loader":  # Linux starts a loader as it is.
            return
        if needed == "interpreter" and scripts == _MAX_INTERPRETERS:
            raise ImageError(
                f"{said} is a script again: Linux follows {_MAX_INTERPRETERS} from one to the next. "
                "Name a program in the first line of one of them."
            )
        role, path = needed, entry[needed]
        said += f" {_NEEDS[role]} {_shown(path)}, which"


def _remedy(role: str, path: str) -> str:
    """What to do about a file that is missing."""
    if path.endswith("\r"):
        return "The script's lines end in CR LF: save it with LF alone."
    if role == "interpreter" and posixpath.basename(path) == "env":
        return _REMEDIES["env"]
    return _REMEDIES[role]


def _shown(path: str) -> str:
    """A path that some file names, which need not be one."""
    return path if path.isprintable() else repr(path)


def _find(path: str, listings: Sequence[bytes | None]) -> Mapping[str, Any] | None:
    """The file that a path leads to, through symbolic links."""
    waiting = [part for part in reversed(path.split("/")) if part]
    place = ""
    entry: Mapping[str, Any] | None = None
    links = 0
    while waiting:
        part = waiting.pop()
        place = posixpath.normpath(posixpath.join(place, part)) if part != ".." else posixpath.dirname(place)
        entry = _entry(place, listings)
        if entry is not None and entry["kind"] == "symlink":
            links += 1
            if links > _MAX_LINKS:
                return None
            target = entry["target"]
            place = "" if target.startswith("/") else posixpath.dirname(place)
            waiting += [part for part in reversed(target.split("/")) if part not in ("", ".")]
            entry = None
    return entry


def _entry(path: str, listings: Sequence[bytes | None]) -> Mapping[str, Any] | None:
    """The topmost entry of a path, unless a layer takes away what those below it have there."""
    for listing in reversed(listings):
        if listing is None:
            continue
        if entry := _line(listing, path):
            # What is known of a file stands where it is written, which is in the same layer.
            file = _line(listing, entry["target"]) if entry["kind"] == "hardlink" else None
            return file or entry
        if _hides(listing, path):
            return None
    return None


def _hides(listing: bytes, path: str) -> bool:
    """Whether a layer removes a path of those below it, or a folder of it (image-spec, layer.md, "Whiteouts")."""
    whiteouts = b".wh." in listing  # In hardly any: one look instead of two for each folder.
    while path:
        folder, name = posixpath.split(path)
        if whiteouts and any(_line(listing, posixpath.join(folder, mark)) for mark in (f".wh.{name}", ".wh..wh..opq")):
            return True
        above = _line(listing, folder)
        if above is not None and above["kind"] not in ("directory", "symlink"):
            return True
        path = folder
    return False


def _line(listing: bytes, path: str) -> Mapping[str, Any] | None:
    """The entry of a path. Listings are long and little of them is asked for: found as text, then read."""
    start = b'{"path":' + json.dumps(path, ensure_ascii=False).encode() + b","
    position = 0 if listing.startswith(start) else listing.find(b"\n" + start) + 1
    if not position and not listing.startswith(start):
        return None
    line: Mapping[str, Any] = json.loads(listing[position : listing.index(b"\n", position)])
    return line
