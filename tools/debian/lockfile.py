"""The lock: which packages, exactly, the names in packages.yaml came to."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tools.debian.errors import DebianError

Archive = Literal["main", "security"]

FORMAT = 1

# Debian Policy 5.6.1 and 5.6.12, and what a path inside an archive looks like. A lock is read before anything is
# fetched, so nothing in it may be taken for an option, a URI of its own, or a path outside the archive.
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"[0-9A-Za-z.+:~-]+")
_PATH = re.compile(r"pool/(?:[A-Za-z0-9+_~][A-Za-z0-9+._~-]*/)*[A-Za-z0-9+][A-Za-z0-9+._~-]*\.deb")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Request:
    """What packages.yaml asks for.

    Attributes:
      suite: a release of Debian by its code name ("trixie").
      architectures: by Debian's names ("amd64", "arm64"), sorted.
      packages: names, sorted.
    """

    suite: str
    architectures: tuple[str, ...]
    packages: tuple[str, ...]


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
      packages: for each architecture its packages, sorted by name.
    """

    request: Request
    packages: dict[str, tuple[LockedPackage, ...]]


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
        return Lock(
            Request(request["suite"], tuple(request["architectures"]), tuple(request["packages"])),
            {
                architecture: tuple(_package(fields) for fields in packages)
                for architecture, packages in content["packages"].items()
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


def format_lock(lock: Lock) -> str:
    """The text of a lock: JSON, one package a line, so that a change of version is a change of one line."""
    blocks = []
    for architecture, packages in sorted(lock.packages.items()):
        lines = ",\n".join(f"      {json.dumps(asdict(package))}" for package in packages)
        blocks.append(f"    {json.dumps(architecture)}: [\n{lines}\n    ]")
    request = json.dumps(asdict(lock.request))
    body = ",\n".join(blocks)
    return f'{{\n  "format": {FORMAT},\n  "request": {request},\n  "packages": {{\n{body}\n  }}\n}}\n'


def differences(wanted: Request, lock: Lock) -> list[str]:
    """How a lock is out of step with what is asked for: a sentence each; empty when it is in step."""
    found = []
    if wanted.suite != lock.request.suite:
        found.append(f"the suite is {wanted.suite}, and the lock is for {lock.request.suite}")
    for kind, now, then in (
        ("architecture", wanted.architectures, tuple(lock.packages)),
        ("package", wanted.packages, lock.request.packages),
    ):
        found += [f"{kind} {name} is asked for, and is not in the lock" for name in sorted(set(now) - set(then))]
        found += [f"{kind} {name} is in the lock, and no longer asked for" for name in sorted(set(then) - set(now))]
    for architecture, packages in sorted(lock.packages.items()):
        names = {package.name for package in packages}
        missing = sorted(set(lock.request.packages) - names)
        found += [f"package {name} is missing from the lock for {architecture}" for name in missing]
    return found
