"""What an image is expected to be: the facts that spec_file.py reads and checks.py compares."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tools.image.testing.filesystem import Glob

EVERYTHING_ELSE = "*"
"""In a table of names and values, with null: there are no others."""


@dataclass(frozen=True, slots=True)
class Text:
    """What a text has to be; all that is given has to hold.

    Attributes:
      equals: the whole of it.
      contains: parts of it.
      matches: regular expressions that are found in it; ^ and $ stand for the beginning and end of a line.
    """

    equals: str | None = None
    contains: tuple[str, ...] = ()
    matches: tuple[re.Pattern[str], ...] = ()

    def unmet(self, found: str) -> list[str]:
        """What `found` is not, each in words that follow "expected"."""
        wrong = []
        if self.equals is not None and found != self.equals:
            wrong.append(repr(self.equals))
        wrong += [f"something with {part!r} in it" for part in self.contains if part not in found]
        wrong += [f"something that matches {regex.pattern!r}" for regex in self.matches if not regex.search(found)]
        return wrong


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What is expected at one path; None stands for what does not matter.

    Attributes:
      where: file and line that ask for it.
      platforms: those it holds for; empty for all.
      exists: whether something has to be there at all.
      kind: file, directory or symlink.
      owner: (uid, gid).
      target: what a symlink has to say. The path is then the link itself; otherwise links are followed.
    """

    path: str
    where: str
    platforms: tuple[str, ...] = ()
    exists: bool = True
    kind: str | None = None
    mode: int | None = None
    owner: tuple[int, int] | None = None
    min_size: int | None = None
    max_size: int | None = None
    content: Text | None = None
    sha256: str | None = None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class AbsentCheck:
    """Paths that must not be there."""

    glob: Glob
    where: str


@dataclass(frozen=True, slots=True)
class OnlyCheck:
    """A folder that holds nothing but what patterns, relative to it, name."""

    folder: str
    globs: tuple[Glob, ...]
    where: str


@dataclass(frozen=True, slots=True)
class NamedValue:
    """What one name of a table (env, labels, annotations) has to stand for; None: it must not be there."""

    name: str
    expected: Text | None
    where: str


@dataclass(frozen=True, slots=True)
class Words:
    """What a list has to be, word by word."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """What names have to stand for; what is not named does not matter."""

    values: tuple[NamedValue, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """What one setting of an image has to be.

    Attributes:
      name: the key in the specification.
      expected: None: it must not be set.
    """

    name: str
    expected: Text | Words | Table | None
    where: str


@dataclass(frozen=True, slots=True)
class Command:
    """A container that is run, and what it has to do.

    Attributes:
      args: what is given to the image's entrypoint.
      entrypoint: what is started instead of the image's entrypoint; None: the image's.
      timeout: seconds.
      platforms: those it is run on; empty for all.
    """

    args: tuple[str, ...]
    where: str
    entrypoint: tuple[str, ...] | None = None
    env: Mapping[str, str] | None = None
    exit: int = 0
    stdout: Text | None = None
    stderr: Text | None = None
    timeout: float = 60.0
    platforms: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(["run", *self.args])


@dataclass(frozen=True, slots=True)
class Spec:
    """All that is expected of an image index.

    Attributes:
      platforms: exactly those that the index has to have, and where that is asked for; None: any.
      config: settings of the configuration of each platform.
      annotations: of each platform's manifest ("manifest") and of the index ("index").
    """

    platforms: tuple[tuple[str, ...], str] | None = None
    files: tuple[FileCheck, ...] = ()
    absent: tuple[AbsentCheck, ...] = ()
    only: tuple[OnlyCheck, ...] = ()
    config: tuple[Setting, ...] = ()
    annotations: tuple[Setting, ...] = ()
    commands: tuple[Command, ...] = ()

    @property
    def mentioned_platforms(self) -> list[tuple[str, str]]:
        """Every platform that a file or command is limited to, and where."""
        checks: list[FileCheck | Command] = [*self.files, *self.commands]
        return [(platform, check.where) for check in checks for platform in check.platforms]
