"""What every app stands on, whatever it is made of: Bazel's settings, other repositories, toolchains.

`bazel query` shows none of that. Which toolchain a build takes is decided later, by its configuration; and of another
repository it does not show which files of this one it was made from. So this is read off the files themselves: each
file, and each target, that MODULE.bazel and the extensions it uses name anywhere is one that every app stands on.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from release.starlark import Label, StarlarkFiles, read_label

_MODULE_FILES = ("MODULE.bazel", "WORKSPACE", "WORKSPACE.bazel", "WORKSPACE.bzlmod")
_SETTINGS = (
    *_MODULE_FILES,
    *("MODULE.bazel.lock", "REPO.bazel", ".bazelignore", ".bazelrc", ".bazelversion", ".bazeliskrc", "tools/bazel"),
)
_RC = ".bazelrc"
_OWN_NAME = re.compile(r"\b(?:module|workspace)\s*\(([^)]*)\)")
_NAME = re.compile(r"\b(?:repo_)?name\s*=\s*[\"']([^\"']+)")
_SOURCES = (".bzl", ".MODULE.bazel")


@dataclass(frozen=True, slots=True)
class Foundations:
    """What every app stands on, each with the reason for that."""

    files: Mapping[str, str]
    """By path from the workspace's folder. Some may not exist."""
    folders: Mapping[str, str]
    """Folders of other repositories in this tree."""
    labels: frozenset[Label]
    """Targets, and patterns of toolchains. Some may not exist."""

    def reason(self, path: str) -> str | None:
        """Why every app stands on a file; None if this does not know of it."""
        if posixpath.basename(path) == ".gitattributes":
            return "it says how git writes files into the tree"
        if path in self.files:
            return self.files[path]
        within = (folder for folder in self.folders if folder == "." or f"{path}/".startswith(f"{folder}/"))
        return next((self.folders[folder] for folder in within), None)


def find_foundations(workspace: Path, configuration: str | None) -> Foundations:
    """Read what every app of a workspace stands on.

    `configuration`: path of the release's own settings, from the workspace's folder.
    """
    reading = _Reading(workspace)
    for name in _SETTINGS:
        reading.files[name] = "Bazel reads it for every build"
    if configuration is not None:
        reading.files[configuration] = "it says where all images go, and under which names"
    for name in _MODULE_FILES:
        reading.read_module_file(name, "")
    reading.read_settings(_RC)
    return Foundations(reading.files, reading.folders, frozenset(reading.labels))


class _Reading:
    """What has been found up to now."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.starlark = StarlarkFiles(workspace, own_names(workspace))
        self.files: dict[str, str] = {}
        self.folders: dict[str, str] = {}
        self.labels: set[Label] = set()
        self._read: set[str] = set()

    def read_module_file(self, path: str, package: str) -> None:
        """A file that declares other repositories, and all Starlark that it names."""
        waiting = [(path, package)]
        while waiting:
            file, package = waiting.pop()
            if file in self._read:
                continue
            self._read.add(file)
            for literal in self.starlark.strings(file):
                label = self._take_up(literal.text, file, package)
                if label is not None and label.name.endswith(_SOURCES):
                    waiting.append((label.path, label.package))
                if literal.path and not file.endswith(".bzl"):
                    self.folders.setdefault(posixpath.normpath(literal.text), f"{file} has a repository there")

    def read_settings(self, path: str) -> None:
        """A .bazelrc, and those that it imports."""
        if path in self._read:
            return
        self._read.add(path)
        for line in _lines(self.workspace / path):
            if line[0] in ("import", "try-import"):
                for imported in line[1:]:
                    other = _in_workspace(imported)
                    self.files.setdefault(other, f"{path} imports it")
                    self.read_settings(other)
                continue
            for word in line[1:]:
                option, _, value = word.removeprefix("--").partition("=")
                for text in (option.removeprefix("no"), option, *value.split(",")):
                    self._take_up(_in_workspace(text), path, "")

    def _take_up(self, text: str, file: str, package: str) -> Label | None:
        """Every app stands on what a string names, if it names anything."""
        if not text or len(text) > 1000 or any(character.isspace() for character in text):
            return None
        label = read_label(text, package, self.starlark.own_names)
        if label is not None:
            self.labels.add(label)
            paths = {label.path}
        else:
            paths = {posixpath.normpath(text), posixpath.normpath(posixpath.join(package, text))}
        for path in paths:
            self.files.setdefault(path, f"{file} names it")
        return label


def own_names(workspace: Path) -> frozenset[str]:
    """What a repository may call itself in labels."""
    names = set()
    for name in _MODULE_FILES:
        try:
            text = (workspace / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for call in _OWN_NAME.finditer(text):
            names.update(_NAME.findall(call[1]))
    return frozenset(names)


def _in_workspace(text: str) -> str:
    return text.replace("%workspace%/", "").replace("%workspace%", ".")


def _lines(path: Path) -> Iterator[list[str]]:
    """The lines of a .bazelrc as lists of words; none where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.replace("\\\n", "").splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            words = line.split()
        if words:
            yield words
