"""Programs that a release runs: they end when it is interrupted, and never write to its standard output."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PATIENCE = 10.0
"""Seconds that an interrupted program has to end by itself."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended and what it wrote, as far as that was captured."""

    status: int
    output: str
    errors: str


def run_child(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    show_errors: bool = False,
) -> Finished:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        environment: of the program; this one's own by default.
        directory: to run in.
        show_errors: let the program's standard error through to this one's, rather than capture it.

    Raises:
        OSError: there is no such program, or it cannot be run.
        BaseException: whatever interrupted this program, after the other one has ended.
    """
    child = subprocess.Popen(
        command,
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if show_errors else subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        output, errors = child.communicate()
    except BaseException:
        _end(child)
        raise
    return Finished(child.returncode, output, errors or "")


def _end(child: subprocess.Popen[str]) -> None:
    """End a program as Ctrl-C would. A terminal has told it already, so it is told again only if it goes on."""
    for number, patience in ((None, 0.5), (signal.SIGINT, _PATIENCE), (signal.SIGTERM, 1.0), (signal.SIGKILL, 1.0)):
        if number is not None:
            child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
            return
