"""What the repository rules ask: which packages a lock has, and the wheels of one of them, by `pip download`."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path

from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
from pip._vendor.packaging.utils import canonicalize_name

from tools.pip.errors import PipError
from tools.pip.pins import Pin, cycles, holds, parse_pins, pins_of, read_pins
from tools.pip.targets import TARGETS, Target

_UNREACHABLE = re.compile(
    r"Retrying|ConnectionError|NewConnectionError|Max retries|timed out|Name or service not known"
    r"|Temporary failure in name resolution|Network is unreachable|Connection refused|Connection reset|SSLError",
    re.IGNORECASE,
)
_LINES_SHOWN = 12
_RETRY = "WARNING: Retrying"
_NOISE = re.compile(r"^(WARNING: Location|\[notice\]|DEPRECATION)|^\s*$")


@dataclass(frozen=True, slots=True)
class Package:
    """What repositories are made of.

    `pins`: for each target the pin, as one line. `cycle`: the packages that it needs and that need it, with itself.
    """

    name: str
    pins: Mapping[str, str]
    cycle: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fetched:
    """The wheels of one pin for one target, by file name.

    `pure`: there is one, and it fits every machine. `needs`: names of its dependencies, for each target it serves.
    `size`: bytes of the largest. `digests`: SHA-256 of each.
    """

    wheels: tuple[str, ...]
    pure: bool
    needs: Mapping[str, tuple[str, ...]]
    size: int = field(default=0, compare=False)
    digests: tuple[str, ...] = field(default=(), compare=False)


def plan(lock: Path) -> tuple[Package, ...]:
    """The packages of a lock that are for any target, by name; raises PipError."""
    pins = read_pins(lock)
    packages: dict[str, dict[str, str]] = {}
    for target in TARGETS.values():
        for name, pin in pins_of(target, pins).items():
            packages.setdefault(name, {})[target.name] = str(pin)
    cyclic = cycles(pins)
    return tuple(Package(name, packages[name], cyclic.get(name, ())) for name in sorted(packages))


def fetch(line: str, target: Target, lock: Path, directory: Path) -> Fetched:
    """Downloads the wheels of the pin in `line` for `target` into `directory`; raises PipError.

    `lock` is read for the pin's place in it, and for the other packages: what the wheel needs must be among them.
    """
    pins = read_pins(lock)
    pin = _placed(parse_pins(line, lock.name)[0], pins)
    wheels = _download_all(pin, target, directory)
    pure = len(wheels) == 1 and wheels[0].endswith("-any.whl") and _fits_later_interpreters(wheels[0])
    # A pure wheel serves every target that has the same pin; others may need different things there.
    served = [each for each in TARGETS.values() if pin.pythons(each)] if pure else [target]
    requires = {requirement: None for wheel in wheels for requirement in _requires_dist(directory / wheel)}
    needs = {each.name: _needs(pin, requires, each, pins) for each in served}
    return Fetched(
        wheels,
        pure,
        needs,
        size=max((directory / wheel).stat().st_size for wheel in wheels),
        digests=tuple(_sha256(directory / wheel) for wheel in wheels),
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _placed(pin: Pin, pins: Iterable[Pin]) -> Pin:
    """The same pin as it stands in the lock, for its line number."""
    return next((each for each in pins if str(each) == str(pin)), pin)


def _download_all(pin: Pin, target: Target, directory: Path) -> tuple[str, ...]:
    """The file names of the wheels for all interpreters of `target`, without repetition."""
    first, *others = pin.pythons(target)
    wheel = _download(pin, target, first, directory)
    if _fits_later_interpreters(wheel):
        return (wheel,)
    with ThreadPoolExecutor() as pool:
        wheels = [wheel, *pool.map(lambda python: _download(pin, target, python, directory), others)]
    return tuple(dict.fromkeys(wheels))


def _fits_later_interpreters(wheel: str) -> bool:
    """Whether a wheel's tags (PEP 425) promise that every later CPython 3 can import it too."""
    _, python, abi, _ = wheel.rsplit("-", 3)
    return "abi3" in abi.split(".") or (abi == "none" and "py3" in python.split("."))


def _download(pin: Pin, target: Target, python: str, directory: Path) -> str:
    """The file name of the wheel that pip chooses for one interpreter."""
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        requirements = Path(scratch, "requirements.txt")
        requirements.write_text(f"{pin.requirement} {' '.join(f'--hash={digest}' for digest in pin.hashes)}\n")
        command = [
            *(sys.executable, "-m", "pip", "download"),
            *("--disable-pip-version-check", "--no-input", "--quiet", "--progress-bar=off"),
            *("--no-deps", "--only-binary=:all:", "--require-hashes"),
            *("--implementation=cp", f"--python-version={python}"),
            *(f"--platform={tag}" for tag in target.platform_tags()),
            *("--dest", f"{scratch}/wheel", "--requirement", str(requirements)),
        ]
        # Nothing is installed, so that whoever forbids pip to do so outside of a virtual environment is obeyed anyway.
        environment = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0"}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
        if result.returncode:
            raise _failure(pin, target, python, result.stderr or result.stdout)
        (wheel,) = Path(scratch, "wheel").iterdir()
        wheel.replace(directory / wheel.name)
        return wheel.name


def _failure(pin: Pin, target: Target, python: str, output: str) -> PipError:
    lines = [line for line in output.splitlines() if not _NOISE.search(line)]
    retries = [line for line in lines if line.startswith(_RETRY)]
    words = [*retries[-1:], *(line for line in lines if not line.startswith(_RETRY))][-_LINES_SHOWN:]
    if "DO NOT MATCH THE HASHES" in output:
        remedy = (
            "somebody changed the file or the lock. If the index is to be trusted, renew the lock by the command"
            " at its head"
        )
    elif _UNREACHABLE.search(output):
        remedy = "make the index of `python3 -m pip config list` reachable (PIP_INDEX_URL, proxy, certificates)"
    else:
        remedy = (
            "see that the index of `python3 -m pip config list` answers and has a wheel for this platform whose hash"
            " is in the lock; if not, ask in the .in file for one that has, and run the command at the head of the lock"
        )
    return PipError(
        f"{pin.place}: no wheel of {pin.name} {pin.version} for {target}, CPython {python}",
        "pip says:\n" + "\n".join(f"    {line}" for line in words),
        remedy,
    )


def _requires_dist(wheel: Path) -> tuple[Requirement, ...]:
    """The dependencies that a wheel's METADATA declares."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (each for each in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", each))
            metadata = HeaderParser().parsestr(archive.read(name).decode("utf-8"))
        return tuple(Requirement(str(value)) for value in metadata.get_all("Requires-Dist", ()))
    except (ValueError, zipfile.BadZipFile, InvalidRequirement) as error:
        raise PipError(
            f"{wheel.name} is not a wheel that can be read", str(error), "pin another version in the .in file"
        ) from error


def _needs(pin: Pin, requires: Iterable[Requirement], target: Target, pins: Iterable[Pin]) -> tuple[str, ...]:
    """The names of the packages that `pin` needs on `target`; raises PipError where the lock lacks one."""
    wanted = _wanted(pin, tuple(requires), target)
    locked = pins_of(target, pins)
    for name, extras in wanted.items():
        if name not in locked:
            raise PipError(
                f"{pin.place}: {pin.name} {pin.version} needs {name} on {target}, which the lock does not have",
                "its METADATA says Requires-Dist: " + ", ".join(str(each) for each in requires if _name(each) == name),
                "renew the lock by the command at its head",
            )
        missing = extras - set(locked[name].extras)
        if missing:
            raise PipError(
                f"{locked[name].place}: {name} is locked without the extra {', '.join(sorted(missing))}",
                f"{pin.name} {pin.version} ({pin.place}) needs it on {target}",
                "let the lock keep extras: uv pip compile --no-strip-extras",
            )
    return tuple(sorted(wanted))


def _wanted(pin: Pin, requires: tuple[Requirement, ...], target: Target) -> dict[str, set[str]]:
    """Names with the extras asked of them; an extra that stands for others of the same package ("all") is followed."""
    extras = {"", *pin.extras}
    while True:
        wanted: dict[str, set[str]] = {}
        for requirement in requires:
            if _applies(requirement, extras, pin, target):
                wanted.setdefault(_name(requirement), set()).update(map(canonicalize_name, requirement.extras))
        own = wanted.pop(pin.name, set())
        if own <= extras:
            return wanted
        extras |= own


def _applies(requirement: Requirement, extras: Iterable[str], pin: Pin, target: Target) -> bool:
    marker = str(requirement.marker or "")
    return any(
        holds(marker, target.marker_environment(python), f"{pin.place}: {pin.name}", extra)
        for python in pin.pythons(target)
        for extra in extras
    )


def _name(requirement: Requirement) -> str:
    return canonicalize_name(requirement.name)
