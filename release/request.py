"""What the caller asks for: the command line, checked, before anything else is looked at."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from pathlib import Path

from release.errors import InvalidRequest
from release.version import Bump, Version
from tools.oci.reference import Repository, check_registry

_COMMIT = re.compile(r"[0-9a-fA-F]{4,64}", re.ASCII)


class EngineName(enum.Enum):
    """What gives an existing image another tag."""

    IMAGETOOLS = "imagetools"
    REGISTRY = "registry"


class LatestPolicy(enum.Enum):
    """When a release moves `latest`."""

    NEWEST = "newest"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Question:
    """What is meant: an app's image of a commit or version, and where. Raises InvalidRequest or InvalidReference."""

    app: str
    version: Version | None = None
    commit: str | None = None
    registry: str | None = None
    owner: str | None = None
    repository: Repository | None = None
    insecure: bool = False
    bazel_options: tuple[str, ...] = ()
    artifact_digest: str | None = None
    """Of the image to publish, which an artifact has: none is built, and none in the registry is taken for it."""

    def __post_init__(self) -> None:
        if self.commit is not None and _COMMIT.fullmatch(self.commit) is None:
            raise _contradiction(
                f"commit {self.commit!r} is not hexadecimal",
                "a commit is 4 to 64 digits 0-9 and a-f",
                "Give the commit as git prints it: --commit $(git rev-parse HEAD).",
            )
        if self.registry is not None:
            check_registry(self.registry)

    @property
    def one_registry(self) -> bool:
        """Whether it is about one registry: whoever names a part of the repository means that one alone."""
        return (self.registry, self.owner, self.repository) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Request(Question):
    """One release, as asked for. Raises InvalidRequest where the wishes contradict each other."""

    checkout: bool = False
    engine: EngineName = EngineName.IMAGETOOLS
    no_build: bool = False
    rebuild: bool = False
    allow_overwrite: bool = False
    no_provenance: bool = False
    latest: LatestPolicy = LatestPolicy.NEWEST
    dry_run: bool = False

    def __post_init__(self) -> None:
        Question.__post_init__(self)  # super() does not know a class with slots.
        if self.version is None and self.commit is None:
            raise _contradiction(
                f"nothing to release of {self.app}",
                "neither a VERSION nor a --commit is given, so there is no tag to write",
                "Give a VERSION, a --commit, or both.",
            )
        if self.commit is None:
            for given, option in ((self.no_build, "--no-build"), (self.checkout, "--checkout")):
                if given:
                    raise _contradiction(
                        f"{option} needs --commit",
                        "without a commit the working tree is always built",
                        "Add --commit SHA.",
                    )
        if self.no_build and self.rebuild:
            raise _contradiction("--no-build and --rebuild", "they contradict each other", "Leave one of them out.")

    @property
    def short_commit(self) -> str:
        """The commit as people read it."""
        return (self.commit or "")[:7]

    @property
    def title(self) -> str:
        """What is released, for messages."""
        return f"{self.app} {self.version}" if self.version else f"{self.app} at commit {self.short_commit}"


@dataclass(frozen=True, slots=True)
class VersionWish:
    """What the command line says of versions; nothing at all is a release by commit alone.

    Raises InvalidRequest where it says it in two ways.
    """

    version: Version | None = None
    """VERSION: the same for all apps."""
    file: Path | None = None
    """--versions FILE."""
    bump: Bump | None = None
    """--bump KIND."""

    @property
    def by_app(self) -> bool:
        """Whether each app gets a version of its own."""
        return self.file is not None or self.bump is not None

    def __post_init__(self) -> None:
        ways = (("VERSION", self.version), ("--versions", self.file), ("--bump", self.bump))
        given = [name for name, value in ways if value is not None]
        if len(given) > 1:
            raise InvalidRequest(" and ".join(given), "they contradict each other", "Leave all but one of them out.")


def _contradiction(what: str, why: str, remedy: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid request: {what}", why, remedy)
