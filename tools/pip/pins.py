"""The lock: a requirements file in which every package has one version and the hashes of its files.

Requirements, markers and versions are read by the `packaging` inside pip, so that this program and pip always agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pip._vendor.packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
from pip._vendor.packaging.utils import canonicalize_name

from tools.pip.errors import PipError
from tools.pip.targets import Target

_RENEW = "renew the lock from its .in file, by the command at its head"
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")
_KERNEL = re.compile(r"\b(platform_release|platform_version|platform\.version|os\.uname)\b")


@dataclass(frozen=True, slots=True)
class Pin:
    """One requirement of the lock.

    `place` is "FILE:LINE", for messages. `needed_by` is uv's "# via" comment: names of packages, or "-r FILE".
    """

    name: str
    version: str
    extras: tuple[str, ...]
    marker: str
    hashes: tuple[str, ...]
    place: str
    needed_by: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The requirement as pip reads it, in one line."""
        marker = f" ; {self.marker}" if self.marker else ""
        return self.requirement + marker + "".join(f" --hash={digest}" for digest in self.hashes)

    @property
    def requirement(self) -> str:
        """Name, extras and version alone: "requests[socks]==2.34.2"."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}=={self.version}"

    def pythons(self, target: Target) -> tuple[str, ...]:
        """The CPython versions of `target` that the pin applies to: none where the package is not for that target."""
        return tuple(
            python for python in target.pythons if holds(self.marker, target.marker_environment(python), self.place)
        )


def read_pins(path: Path) -> tuple[Pin, ...]:
    """The pins of a lock, in its order; raises PipError where it is not one."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PipError(f"cannot read the lock {path}", str(error), _RENEW) from error
    return parse_pins(text, path.name)


def parse_pins(text: str, name: str) -> tuple[Pin, ...]:
    """The pins in `text`; `name` is the file's, for messages. Raises PipError."""
    pins: list[Pin] = []
    comments: list[str] = []
    for number, line in _logical_lines(text):
        if line.startswith("#"):
            comments.append(line)
            continue
        if pins:
            pins[-1] = _with_needed_by(pins[-1], comments)
        comments = []
        pins.append(_parse_pin(line, f"{name}:{number}"))
    if pins:
        pins[-1] = _with_needed_by(pins[-1], comments)
    return tuple(pins)


def pins_of(target: Target, pins: Iterable[Pin]) -> Mapping[str, Pin]:
    """The pins that apply to `target`, by name; raises PipError where a package would have two versions there."""
    chosen: dict[str, Pin] = {}
    for pin in pins:
        if not pin.pythons(target):
            continue
        other = chosen.setdefault(pin.name, pin)
        if other is not pin:
            raise PipError(
                f"{pin.name} has two versions for {target}",
                f"{other.place} pins {other.version} and {pin.place} pins {pin.version}; both apply, and one library"
                f" serves CPython {', '.join(target.pythons)}",
                "let the lock have one version that fits all: uv pip compile --universal --fork-strategy fewest",
            )
    return chosen


def cycles(pins: Iterable[Pin]) -> Mapping[str, tuple[str, ...]]:
    """For each package that needs itself through others: the names of all that do so with it, itself among them."""
    needs: dict[str, set[str]] = {}
    for pin in pins:
        for name in pin.needed_by:
            needs.setdefault(name, set()).add(pin.name)
    reached = {name: _reachable(name, needs) for name in needs}
    return {
        name: tuple(sorted(other for other in others if name in reached.get(other, ())))
        for name, others in reached.items()
        if name in others
    }


def _reachable(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        following = edges.get(ahead.pop(), set()) - seen
        seen |= following
        ahead.extend(following)
    return seen


def holds(marker: str, environment: Mapping[str, str], place: str, extra: str = "") -> bool:
    """Whether an environment marker (PEP 508) is true; an empty one is. Raises PipError where that cannot be known."""
    if not marker:
        return True
    kernel = _KERNEL.search(marker)
    try:
        if kernel:
            raise UndefinedEnvironmentName(f"{kernel.group()} is known only on the machine that runs the program")
        return bool(Marker(marker).evaluate({**environment, "extra": extra}))
    except (UndefinedComparison, UndefinedEnvironmentName, ValueError) as error:
        raise PipError(
            f"{place}: the environment marker `{marker}` cannot be evaluated",
            str(error),
            "leave the package out, or pin it without this marker",
        ) from error


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with backslash continuations joined, each with the number of its first; empty ones are left out."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), start=1):
        first = first if parts else number
        continued = line.endswith("\\")
        parts.append(line.removesuffix("\\").strip())
        if not continued:
            joined = " ".join(part for part in parts if part)
            if joined:
                yield first, joined
            parts = []
    if any(parts):
        yield first, " ".join(parts)


def _parse_pin(line: str, place: str) -> Pin:
    if line.startswith("-"):
        raise PipError(
            f"{place}: the lock has the option `{line}`",
            "an index belongs to the machine's own pip configuration, and other files would escape the hashes",
            "leave the option out (uv: --no-emit-index-url)",
        )
    text = re.split(r"\s(?:#|--hash=)", line, maxsplit=1)[0].strip()
    hashes = tuple(_HASH.findall(line))
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise PipError(f"{place}: `{text}` is not a requirement", str(error), _RENEW) from error
    exact = re.fullmatch(r"==\s*([^\s,*=]+)", str(requirement.specifier))
    if requirement.url or not exact:
        raise PipError(f"{place}: `{text}` is not pinned", "a lock names one version: NAME==VERSION", _RENEW)
    if not hashes:
        raise PipError(f"{place}: `{text}` has no hash", "each pin needs --hash=sha256:...", _RENEW)
    return Pin(
        name=canonicalize_name(requirement.name),
        version=exact.group(1),
        extras=tuple(sorted(canonicalize_name(extra) for extra in requirement.extras)),
        marker=str(requirement.marker or ""),
        hashes=hashes,
        place=place,
    )


def _with_needed_by(pin: Pin, comments: Iterable[str]) -> Pin:
    words = [comment.removeprefix("#").strip().removeprefix("via").strip() for comment in comments]
    return replace(pin, needed_by=tuple(word for word in words if word))
