"""How things are measured: what each took in each round, ratios within a round, and the memory of processes."""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_LOOK_EVERY = 0.01


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of several rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        """The median, and where there are several values the least, the greatest and their number."""
        if len(self.values) == 1:
            return f"{shown(self.median)} (n=1)"
        return f"{shown(self.median)} ({shown(min(self.values))}..{shown(max(self.values))}, n={len(self.values)})"


class Ledger:
    """Values by row (what was done), column (who did it) and round."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], dict[int, float]] = {}

    def add(self, row: str, column: str, number: int, value: float) -> None:
        """Writes down a value of round `number`."""
        self._values.setdefault((row, column), {})[number] = value

    def sample(self, row: str, column: str) -> Sample | None:
        """All rounds of one cell; None where it was not measured."""
        return _sample(self._values.get((row, column), {}).values())

    def ratio(self, row: str, column: str, other: str) -> Sample | None:
        """`column` as a multiple of `other`, within each round that has both."""
        return self._pairs((row, column), (row, other), lambda mine, theirs: mine / theirs)

    def added(self, mine: tuple[str, str], other: tuple[str, str]) -> Sample | None:
        """How much more one cell (row, column) is than another, within each round."""
        return self._pairs(mine, other, lambda mine, theirs: mine - theirs)

    def rows(self) -> list[str]:
        """In the order in which they were first written."""
        return list(dict.fromkeys(row for row, _ in self._values))

    def columns(self) -> list[str]:
        """In the order in which they were first written."""
        return list(dict.fromkeys(column for _, column in self._values))

    def _pairs(
        self, mine: tuple[str, str], theirs: tuple[str, str], combine: Callable[[float, float], float]
    ) -> Sample | None:
        values, others = self._values.get(mine, {}), self._values.get(theirs, {})
        return _sample(combine(values[number], others[number]) for number in sorted(values.keys() & others.keys()))


class PeakMemory:
    """Looks at all processes below one for the time of a `with` statement.

    The kernel itself remembers the most that a process had resident, so that what is between two looks counts too; only
    a process that lives for less than a look is missed.
    """

    def __init__(self, top: int) -> None:
        self._top = top
        self._command = _command(top)
        self._peaks: dict[int, tuple[str, int]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        for process in (self._top, *_below(self._top)):
            # "5" makes the kernel forget what was before (proc(5), clear_refs).
            with contextlib.suppress(OSError):
                Path(f"/proc/{process}/clear_refs").write_text("5")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def top(self) -> int:
        """Bytes of the process at the top."""
        return self._peaks.get(self._top, ("", 0))[1]

    @property
    def all(self) -> int:
        """The sum of all peaks, an upper bound of what they had together."""
        return sum(size for _, size in self._peaks.values())

    @property
    def largest_below(self) -> tuple[str, int]:
        """Command line and bytes of the largest process other than the top and its own forks."""
        below = [peak for process, peak in self._peaks.items() if process != self._top]
        return max(below, key=lambda peak: peak[1], default=("", 0))

    def _watch(self) -> None:
        while not self._over.is_set():
            for process in (self._top, *_below(self._top)):
                command, peak = _command(process), _peak(process)
                # Between fork and exec a child is a copy of its parent.
                if peak and (process == self._top or command != self._command):
                    self._peaks[process] = (command, peak)
            time.sleep(_LOOK_EVERY)


def seconds(action: Callable[..., object], *arguments: object) -> float:
    """How long `action` takes with these arguments."""
    began = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - began


def disk_use(*folders: Path) -> int:
    """Bytes that the files and links in `folders` take on disk, each file once, as du(1) counts."""
    found: dict[tuple[int, int], int] = {}
    for top in folders:
        # What a server removes meanwhile is not there.
        for folder, folders_here, files in os.walk(top):
            for name in (*folders_here, *files):
                with contextlib.suppress(FileNotFoundError):
                    status = os.lstat(f"{folder}/{name}")
                    found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(found.values())


def shown(value: float) -> str:
    """A number with two or three digits that mean something."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def megabytes(size: float) -> str:
    """Bytes for people."""
    if size < 1e5:
        return f"{size / 1e3:.0f} kB"
    return f"{size / 1e6:.1f} MB" if size < 1e8 else f"{size / 1e6:.0f} MB"


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def timings(ledger: Ledger, recorded: Mapping[str, Mapping[str, str]]) -> str:
    """All of a ledger; `recorded` has columns, by row, that were not measured now."""
    columns = ledger.columns()
    lines = []
    for row in ledger.rows():
        cells = [str(ledger.sample(row, column) or "") for column in columns]
        lines.append([row, *cells, *(of_row.get(row, "") for of_row in recorded.values())])
    return markdown(["", *columns, *recorded], lines)


def _sample(values: Iterable[float]) -> Sample | None:
    found = tuple(values)
    return Sample(found) if found else None


# What is asked of a process may come too late: then the answers are empty.


def _below(top: int) -> Iterator[int]:
    waiting = [top]
    while waiting:
        for children in _read(f"/proc/{waiting.pop()}/task/*/children"):
            found = [int(child) for child in children.split()]
            waiting += found
            yield from found


def _peak(process: int) -> int:
    lines = [line for status in _read(f"/proc/{process}/status") for line in status.splitlines()]
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _command(process: int) -> str:
    return "".join(_read(f"/proc/{process}/cmdline")).replace("\0", " ").strip()


def _read(pattern: str) -> Iterator[str]:
    for path in Path("/").glob(pattern.lstrip("/")):
        with contextlib.suppress(OSError):
            yield path.read_text(errors="replace")
