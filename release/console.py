"""What people read: lines on standard error, with colour on a terminal only."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from typing import TextIO

_YELLOW, _RED, _PLAIN = "\x1b[33m", "\x1b[31m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Console:
    """Writes lines for people. Each goes out whole and at once, since Bazel and docker write to the same place."""

    stream: TextIO
    colour: bool = False
    subject: str = ""
    """What the lines are about, where there are several."""

    def about(self, subject: str) -> Console:
        """A console for one of several."""
        return replace(self, subject=subject)

    def say(self, line: str) -> None:
        """A line of the log."""
        self._write(f"{self._begin}{line}")

    def warn(self, line: str) -> None:
        """Something that the reader should know, though the release goes on."""
        self._write(self._coloured(_YELLOW, f"{self._begin}Warning: {line}"))

    def fail(self, text: str) -> None:
        """Why the release ends."""
        self._write(self._coloured(_RED, f"{self._begin}Error: {text}"))

    @property
    def _begin(self) -> str:
        return f"{self.subject}: " if self.subject else ""

    def _coloured(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self.colour else text

    def _write(self, text: str) -> None:
        self.stream.write(f"{text}\n")
        self.stream.flush()


def standard_error() -> Console:
    """The console of this program. The log has characters that not every locale has, and must not fail for that."""
    stream = sys.stderr
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(encoding="utf-8", errors="replace")
    return Console(stream, colour=stream.isatty() and not os.environ.get("NO_COLOR"))
