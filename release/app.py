"""Which app is meant, and which repository it goes to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from release.config import Config
from release.errors import InvalidRequest, ReleaseError
from release.request import Question
from tools.oci.manifest import Platform
from tools.oci.reference import Repository


@dataclass(frozen=True, slots=True)
class App:
    """An app as its `app_metadata` target describes it."""

    name: str
    domain: str
    image: str
    """Label of the image index."""
    platforms: tuple[Platform, ...]
    label: str
    """Label of the metadata."""

    @property
    def full_name(self) -> str:
        """The name that no other app has; the last segment of its repository."""
        return f"{self.domain}-{self.name}"


def query_expression(config: Config) -> str:
    """The `bazel query` that finds every app."""
    return f"kind('^app_metadata rule$', {config.apps})"


def read_apps(output: str) -> tuple[App, ...]:
    """The apps in the output of `bazel query --output=streamed_jsonproto`: one target a line."""
    return tuple(_read_app(json.loads(line)["rule"]) for line in output.splitlines() if line.strip())


def _read_app(rule: Mapping[str, Any]) -> App:
    attributes = {attribute["name"]: attribute for attribute in rule["attribute"]}

    def text(name: str) -> str:
        value = str(attributes.get(name, {}).get("stringValue", ""))
        if not value:
            raise _unreadable(rule["name"], name)
        return value

    platforms = attributes.get("platforms", {}).get("stringListValue", [])
    if not platforms:
        raise _unreadable(rule["name"], "platforms")
    return App(
        name=text("app"),
        domain=text("domain"),
        image=text("image"),
        platforms=tuple(Platform.parse(platform).normalized for platform in platforms),
        label=str(rule["name"]),
    )


def _unreadable(label: str, attribute: str) -> ReleaseError:
    return ReleaseError(
        f"Cannot release {label}",
        f"its attribute {attribute} is empty to `bazel query`",
        "Write a plain value into the BUILD file: a select() is not evaluated there.",
    )


def choose_app(name: str, apps: Sequence[App], scope: str) -> App:
    """The one app that is called `DOMAIN-APP`, `DOMAIN/APP` or, where that is unambiguous, `APP`.

    Raises InvalidRequest otherwise, listing what there is.
    """
    exact = [app for app in apps if name in (app.full_name, f"{app.domain}/{app.name}")]
    found = exact or [app for app in apps if name == app.name]
    if len(found) == 1:
        return found[0]
    listing = ", ".join(sorted(app.full_name for app in found or apps))
    if found and len({app.full_name for app in found}) > 1:
        raise InvalidRequest(f"App {name!r} is ambiguous", f"it may be {listing}", "Write the app with its domain.")
    if found:
        labels = " and ".join(sorted(app.label for app in found))
        raise InvalidRequest(f"App {name!r} is there twice", f"{labels} have the same name", "Rename one of them.")
    if not apps:
        raise InvalidRequest(
            f"Unknown app {name!r}",
            f"there is no app in {scope}",
            "Make one with release_app in a BUILD file, or set `apps` in the configuration.",
        )
    raise InvalidRequest(
        f"Unknown app {name!r}",
        f"the apps in {scope} are {listing}",
        "Write it as DOMAIN-APP, DOMAIN/APP or, where that is unambiguous, APP.",
    )


def repository_of(app: App, question: Question, config: Config, environment: Mapping[str, str]) -> Repository:
    """`{registry}/{owner}/{domain}-{app}`, the owner from the command line, the configuration or GitHub, if any."""
    wishes = (question.owner, config.owner, environment.get("GITHUB_REPOSITORY_OWNER"))
    owner = next((owner for owner in wishes if owner is not None), "").lower()
    path = f"{owner}/{app.full_name}" if owner else app.full_name
    return Repository(question.registry or config.registry, path)
