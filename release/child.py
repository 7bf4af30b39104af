"""Programs that a release runs: they end when it is interrupted, and never write to its standard output."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
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
    given: str = "",
    limit: float | None = None,
) -> Finished:
    """Run a program to its end.

    Args:
        command: the program and its arguments.
        environment: of the program; this one's own by default.
        directory: to run in.
        show_errors: let the program's standard error through to this one's, rather than capture it.
        given: what the program reads from its standard input.
        limit: seconds that it may take. With a limit it also has no terminal to ask anybody anything, and what it has
            started itself ends with it.

    Raises:
        OSError: there is no such program, or it cannot be run; TimeoutError: it took longer than it may.
        BaseException: whatever interrupted this program, after the other one has ended.
    """
    child = subprocess.Popen(
        command,
        env=environment,
        cwd=directory,
        stdin=subprocess.PIPE if given else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if show_errors else subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=limit is not None,
    )
    try:
        output, errors = child.communicate(given or None, timeout=limit)
    except subprocess.TimeoutExpired:
        _end_session(child)
        raise TimeoutError(f"{command[0]} was ended, since it took longer than {limit:g} s") from None
    except BaseException:
        if limit is None:
            _end(child, child.send_signal)
        else:
            _end_session(child)
        raise
    return Finished(child.returncode, output, errors or "")


def _end_session(child: subprocess.Popen[str]) -> None:
    """End a program that leads a session, and all that is in it."""

    def tell(number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)

    _end(child, tell)
    tell(signal.SIGTERM)  # What a shell runs in the background is deaf to Ctrl-C.


def _end(child: subprocess.Popen[str], tell: Callable[[int], None]) -> None:
    """End a program as Ctrl-C would. A terminal has told it already, so it is told again only if it goes on."""
    for number, patience in ((None, 0.5), (signal.SIGINT, _PATIENCE), (signal.SIGTERM, 1.0), (signal.SIGKILL, 1.0)):
        if number is not None:
            tell(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
            return
