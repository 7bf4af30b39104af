"""Which apps an event of CI is about, and at which version."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from release.app import App
from release.errors import InvalidRequest
from release.git_tags import versions_by_app
from release.version import Version

SCHEMA = 1
MAX_JOBS = 256
"""Jobs that one matrix of GitHub Actions may have."""
_REFS = "refs/tags/"


class Event(enum.Enum):
    """What happened."""

    PUSH = "push"
    PULL_REQUEST = "pull_request"
    TAG = "tag"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Wish:
    """An event, as the command line tells of it. Raises InvalidRequest where that makes no sense."""

    event: Event
    base: str | None = None
    head: str | None = None
    tag: str | None = None
    names: tuple[str, ...] = ()
    version: Version | None = None

    def __post_init__(self) -> None:
        compares = self.event in (Event.PUSH, Event.PULL_REQUEST)
        # What is given, whether it may be, and whether it has to be.
        rules = {
            "--base": (self.base is not None, compares, compares),
            "--head": (self.head is not None, compares, False),
            "--tag": (self.tag is not None, self.event is Event.TAG, self.event is Event.TAG),
            "APP": (bool(self.names), self.event is Event.MANUAL, self.event is Event.MANUAL),
            "--version": (self.version is not None, self.event is Event.MANUAL, False),
        }
        missing = [name for name, (given, _, needed) in rules.items() if needed and not given]
        needless = [name for name, (given, allowed, _) in rules.items() if given and not allowed]
        if missing or needless:
            wrong = [f"it needs {name}" for name in missing] + [f"{name} has no meaning for it" for name in needless]
            raise InvalidRequest(
                f"Invalid request: --event {self.event.value}",
                ", and ".join(wrong),
                "push and pull_request take --base and --head, tag takes --tag, manual takes apps and --version.",
            )


@dataclass(frozen=True, slots=True)
class Matrix:
    """The apps that jobs are started for."""

    event: Event
    apps: tuple[App, ...]
    version: Version | None = None
    base: str | None = None
    """The commit that was compared with; None where nothing was."""
    head: str | None = None
    """The commit that is compared; None: the working tree, or nothing was compared."""
    reasons: Mapping[str, Mapping[str, Any]] | None = None
    """Why each app is here, by its full name; None where it was simply named."""

    def to_json(self) -> str:
        """The document for machines."""
        document = {
            "schema": SCHEMA,
            "event": self.event.value,
            "base": self.base,
            "head": self.head,
            "version": str(self.version) if self.version else None,
            "has_apps": bool(self.apps),
            "matrix": self._matrix(),
            "apps": [
                {"app": app.full_name, "domain": app.domain, "name": app.name, "image": app.image}
                | dict((self.reasons or {}).get(app.full_name, {}))
                for app in self.apps
            ],
        }
        return json.dumps(document, indent=2) + "\n"

    def to_github(self) -> str:
        """Lines for $GITHUB_OUTPUT; a value is JSON, or made of names that have been checked."""
        outputs = {
            "matrix": json.dumps(self._matrix(), separators=(",", ":")),
            "has_apps": json.dumps(bool(self.apps)),
            "apps": ",".join(app.full_name for app in self.apps),
            "version": str(self.version or ""),
        }
        return "".join(f"{name}={value}\n" for name, value in outputs.items())

    def _matrix(self) -> dict[str, Any]:
        # Little, since all of it becomes the name of the job.
        version = str(self.version or "")
        return {"include": [{"app": app.full_name, "version": version} for app in self.apps]}


def read_tag(tag: str, apps: Sequence[App], scope: str) -> tuple[tuple[App, ...], Version]:
    """The apps and the version that a git tag names: `DOMAIN-APP.vX.Y.Z` is one app, `vX.Y.Z` every one.

    Raises InvalidRequest for any other tag.
    """
    name = tag.removeprefix(_REFS)
    if (version := Version.find(name)) is not None:
        return tuple(sorted(apps, key=lambda app: app.full_name)), version
    # The app is looked up, not cut out: its name may have dots and dashes of its own.
    versions = versions_by_app((app.full_name for app in apps), [name])
    found = [(app, version) for app in apps for version in versions[app.full_name]]
    if len(found) == 1:
        return (found[0][0],), found[0][1]
    listing = ", ".join(sorted(app.full_name for app in apps))
    raise InvalidRequest(
        f"Tag {name!r} names no release",
        "it is neither DOMAIN-APP.vMAJOR.MINOR.PATCH of an app nor vMAJOR.MINOR.PATCH for all of them",
        f"The apps in {scope} are {listing}.",
    )
