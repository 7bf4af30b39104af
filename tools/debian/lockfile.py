"""The lock: which packages, exactly, the names in packages.yaml came to."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tools.debian.errors import DebianError

Archive = Literal["main", "security"]

FORMAT = 2

# Debian Policy 5.6.1 and 5.6.12, and what a path inside an archive looks like. A lock is read before anything is
# fetched, so nothing in it may be taken for an option, a URI of its own, or a path outside the archive.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"[0-9A-Za-z.+:~-]+")
_PATH = re.compile(r"pool/(?:[A-Za-z0-9+_~][A-Za-z0-9+._~-]*/)*[A-Za-z0-9+][A-Za-z0-9+._~-]*\.deb")
_SHA256 = re.compile(r"[0-9a-f]{64}")

# A set is a target of Bazel's, and not one of the other words of a package list.
SET_NAME = r"(?!(?:suite|architectures|sets)$)[a-z][a-z0-9_-]*"


@dataclass(frozen=True, slots=True)
class Request:
    """What packages.yaml asks for.

    Attributes:
      suite: a release of Debian by its code name ("trixie").
      architectures: by Debian's names ("amd64", "arm64"), sorted.
      sets: for each set by its name the names of its packages, sorted.
    """

    suite: str
    architectures: tuple[str, ...]
    sets: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One package file.

    Attributes:
      name: of the binary package.
      version: with its epoch, if it has one.
      architecture: "amd64", "arm64", or "all".
      sha256: of the file, in hexadecimal.
      size: bytes of the file.
      archive: in which of Debian's archives it lies; each has a pool of its own.
      path: where it lies in that archive ("pool/main/...").
    """

    name: str
    version: str
    architecture: str
    sha256: str
    size: int
    archive: Archive
    path: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.architecture})"

    @property
    def file_name(self) -> str:
        """The name of the file in the pool, which has no epoch in it."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Lock:
    """A request and what it came to.

    Attributes:
      request: the answered request, so that one can tell whether packages.yaml has changed since.
      packages: for each architecture the packages of all sets, each once, sorted by name.
      sets: for each architecture, for each set the names of its packages and of what they depend on, sorted.
    """

    request: Request
    packages: dict[str, tuple[LockedPackage, ...]]
    sets: dict[str, dict[str, tuple[str, ...]]]


def read_lock(path: Path, renewal: str) -> Lock:
    """Reads a lock.

    Args:
      path: the file.
      renewal: the command that writes it anew, for error messages.

    Raises:
      DebianError: when it is not there, or is not such a lock.
    """
    what = f"cannot read the Debian lock {path}"
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']}, and this version of the rules reads {FORMAT}")
        request = content["request"]
        packages = {
            architecture: tuple(_package(fields) for fields in packages)
            for architecture, packages in content["packages"].items()
        }
        return Lock(
            Request(request["suite"], tuple(request["architectures"]), _sets(request["sets"])),
            packages,
            {
                architecture: _closures(content["sets"][architecture], packages[architecture])
                for architecture in packages
            },
        )
    except OSError as error:
        raise DebianError(what, error.strerror or str(error), f"Run `{renewal}` to make it.") from error
    except KeyError as error:
        raise DebianError(what, f"it has no {error}", f"Run `{renewal}` to write it anew.") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise DebianError(what, str(error), f"Run `{renewal}` to write it anew.") from error


def _package(fields: dict[str, Any]) -> LockedPackage:
    package = LockedPackage(**fields)
    for text, form in (
        (package.name, _NAME),
        (package.version, _VERSION),
        (package.architecture, _NAME),
        (package.sha256, _SHA256),
        (package.path, _PATH),
    ):
        if not form.fullmatch(text):
            raise ValueError(f"{text!r} (of {package.name!r}) is not what a lock may hold there")
    if package.archive not in ("main", "security"):
        raise ValueError(f"there is no archive {package.archive!r} (of {package.name!r})")
    return package


def _sets(content: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    for name in content:
        if not re.fullmatch(SET_NAME, name):
            raise ValueError(f"no set can have the name {name!r}")
    return {name: tuple(packages) for name, packages in content.items()}


def _closures(content: dict[str, list[str]], packages: tuple[LockedPackage, ...]) -> dict[str, tuple[str, ...]]:
    names = {package.name for package in packages}
    for name, closure in content.items():
        if unknown := sorted(set(closure) - names):
            raise ValueError(f"set {name} has {', '.join(unknown)}, which is not among the packages")
    return _sets(content)


def format_lock(lock: Lock) -> str:
    """The text of a lock: JSON, one package a line, so that a change of version is a change of one line."""
    packages = {
        architecture: _block("[]", (json.dumps(asdict(package)) for package in packages))
        for architecture, packages in sorted(lock.packages.items())
    }
    sets = {
        architecture: _block("{}", (f"{json.dumps(name)}: {json.dumps(names)}" for name, names in sorted(sets.items())))
        for architecture, sets in sorted(lock.sets.items())
    }
    parts = (
        f'"format": {FORMAT}',
        f'"request": {json.dumps(asdict(lock.request))}',
        f'"sets": {_table(sets)}',
        f'"packages": {_table(packages)}',
    )
    return "{\n" + ",\n".join(f"  {part}" for part in parts) + "\n}\n"


def _block(brackets: str, lines: Iterable[str]) -> str:
    return brackets[0] + "\n" + ",\n".join(f"      {line}" for line in lines) + "\n    " + brackets[1]


def _table(blocks: dict[str, str]) -> str:
    return "{\n" + ",\n".join(f"    {json.dumps(key)}: {block}" for key, block in blocks.items()) + "\n  }"


def differences(wanted: Request, lock: Lock) -> list[str]:
    """How a lock is out of step with what is asked for: a sentence each; empty when it is in step."""
    found = []
    if wanted.suite != lock.request.suite:
        found.append(f"the suite is {wanted.suite}, and the lock is for {lock.request.suite}")
    found += _changes("architecture", wanted.architectures, lock.packages)
    found += _changes("set", wanted.sets, lock.request.sets)
    for name in sorted(set(wanted.sets) & set(lock.request.sets)):
        found += [f"set {name}: {each}" for each in _changes("package", wanted.sets[name], lock.request.sets[name])]
    for architecture, closures in sorted(lock.sets.items()):
        for name, packages in sorted(lock.request.sets.items()):
            missing = sorted(set(packages) - set(closures.get(name, ())))
            found += [f"set {name}: package {each} is missing from the lock for {architecture}" for each in missing]
    return found


def _changes(kind: str, now: Iterable[str], then: Iterable[str]) -> list[str]:
    new, old = set(now), set(then)
    return [
        *(f"{kind} {name} is asked for, and is not in the lock" for name in sorted(new - old)),
        *(f"{kind} {name} is in the lock, and no longer asked for" for name in sorted(old - new)),
    ]
