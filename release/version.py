"""Versions, `vMAJOR.MINOR.PATCH[-pre]`, in the order of Semantic Versioning 2.0.0 (section 11)."""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass

from release.errors import InvalidRequest

_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][a-zA-Z0-9-]*)"
_VERSION = re.compile(rf"v({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?", re.ASCII)
_MAX_LENGTH = 128  # A version becomes a tag, or part of one.


class Bump(enum.Enum):
    """Which number of a version is raised."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


@functools.total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """A version; `str()` gives it as it was written. Build metadata (`+...`) has no place in a tag: there is none."""

    major: int
    minor: int
    patch: int
    pre: str = ""

    def __str__(self) -> str:
        return f"v{self.major}.{self.minor}.{self.patch}" + (f"-{self.pre}" if self.pre else "")

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a version. Raises InvalidRequest with the form that is expected."""
        version = cls.find(text)
        if version is None:
            raise InvalidRequest(
                f"Version {text!r} does not follow semantic versioning format",
                "Expected format: v{major}.{minor}.{patch} (e.g., v1.0.0, v2.1.3, v1.0.0-beta1)",
                "Give such a version, or none at all to write the commit tag only.",
            )
        return version

    @classmethod
    def find(cls, text: str) -> Version | None:
        """Read a version; None where the text is something else."""
        match = _VERSION.fullmatch(text) if len(text) <= _MAX_LENGTH else None
        if match is None:
            return None
        return cls(int(match[1]), int(match[2]), int(match[3]), match[4] or "")

    def next(self, bump: Bump) -> Version:
        """The next version of a kind. It is never a pre-release; after v2.0.0-rc.1 it is v2.0.0, of whichever kind."""
        raised = {
            Bump.MAJOR: Version(self.major + 1, 0, 0),
            Bump.MINOR: Version(self.major, self.minor + 1, 0),
            Bump.PATCH: Version(self.major, self.minor, self.patch + 1),
        }[bump]
        # What a pre-release announces counts as raised already, if it is of that kind or of a greater one.
        announced = Version(self.major, self.minor, self.patch)
        of_kind = {Bump.MAJOR: self.minor == self.patch == 0, Bump.MINOR: self.patch == 0, Bump.PATCH: True}[bump]
        return announced if self.pre and of_kind else raised

    def _key(self) -> tuple[object, ...]:
        # A pre-release comes before its version; numbers come before words, and fewer identifiers before more.
        identifiers = tuple(
            (0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.pre.split(".") if part
        )
        return (self.major, self.minor, self.patch, not self.pre, identifiers)
