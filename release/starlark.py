"""As much of Starlark as can be read without running it: which files a file loads, and what its strings may name.

`load` takes nothing but literal strings, so what is loaded is read off the text without a doubt.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_STRING = r"""\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
_TOKEN = re.compile(
    rf"(?P<comment>\#[^\n]*)|(?P<before>\b(?:load\s*\((?:\s|\#[^\n]*\n)*|path\s*=\s*))?(?P<string>{_STRING})", re.DOTALL
)
_REPOSITORY = re.compile(r"@{0,2}(?P<name>[^@/:]*)//")


@dataclass(frozen=True, slots=True)
class Literal:
    """A string of a Starlark file."""

    text: str
    loaded: bool = False
    """Whether it is what a `load` loads."""
    path: bool = False
    """Whether it is given as `path`: the folder of a local repository, in a module file."""


@dataclass(frozen=True, slots=True)
class Label:
    """A target of the main repository, or a pattern of such."""

    package: str
    name: str

    @property
    def path(self) -> str:
        """Where it lies, if it is a file."""
        return posixpath.join(self.package, self.name)

    def __str__(self) -> str:
        return f"//{self.package}:{self.name}"


def literals(text: str) -> Iterator[Literal]:
    """The strings of a file, but for those in comments."""
    for token in _TOKEN.finditer(text):
        string = token["string"]
        if string is not None:
            quotes = 3 if string[:3] in ('"""', "'''") else 1
            before = token["before"] or ""
            yield Literal(string[quotes:-quotes], before.startswith("load"), before.startswith("path"))


def read_label(text: str, package: str, own_names: Iterable[str]) -> Label | None:
    """A label of the main repository. None for one of another repository, and what is no label at all.

    Args:
        text: as it is written.
        package: where it stands, for `:name`.
        own_names: names that the main repository has for itself.
    """
    if text.startswith(":"):
        return Label(package, text[1:])
    repository = _REPOSITORY.match(text)
    if repository is None or (repository["name"] and repository["name"] not in own_names):
        return None
    named, colon, name = text[repository.end() :].partition(":")
    return Label(named, name if colon else posixpath.basename(named))


@dataclass(slots=True)
class StarlarkFiles:
    """The Starlark files of a workspace, each read once."""

    workspace: Path
    own_names: frozenset[str]
    _strings: dict[str, tuple[Literal, ...]] = field(default_factory=dict)

    def strings(self, path: str) -> tuple[Literal, ...]:
        """The strings of a file; none where it cannot be read, which Bazel will say if it matters."""
        if path not in self._strings:
            try:
                text = (self.workspace / path).read_text(encoding="utf-8", errors="replace")
            except (OSError, ValueError):
                text = ""
            self._strings[path] = tuple(literals(text))
        return self._strings[path]

    def loads(self, path: str, package: str) -> tuple[Label, ...]:
        """What a file of a package loads of this repository."""
        found = (read_label(each.text, package, self.own_names) for each in self.strings(path) if each.loaded)
        return tuple(label for label in found if label is not None)

    def closure(self, path: str, package: str) -> frozenset[str]:
        """The paths of all files that a file loads, and they in turn."""
        seen: set[str] = set()
        waiting = list(self.loads(path, package))
        while waiting:
            label = waiting.pop()
            if label.path not in seen:
                seen.add(label.path)
                waiting.extend(self.loads(label.path, label.package))
        return frozenset(seen)
