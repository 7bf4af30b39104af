"""What is to be released: the apps that were named, each with its version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from release.app import App
from release.app_release import Outside
from release.config import Config
from release.errors import InvalidRequest
from release.request import Question, Request, VersionWish
from release.selection import check_apps, choose_apps
from release.version import Version

if TYPE_CHECKING:
    # Not needed to re-tag.
    from release.git_tags import GitTags

Asked = TypeVar("Asked", bound=Question)

LATER = Version(0, 0, 0)
"""Stands in a request for versions that are not known before the apps are."""


def choose(
    names: Sequence[str],
    request: Request,
    wish: VersionWish,
    config: Config,
    outside: Outside,
    tags: Callable[[], GitTags],
) -> list[tuple[Request, App | None]]:
    """The release of each app that was named, and the app, unless a repository and a version are given.

    Args:
        names: of apps or domains, or `all`.
        request: what is asked for of every app; its repository is one app's.
        wish: what is said of versions.
        config: where apps are looked for.
        outside: the workspace.
        tags: gives those of git, for a version that follows another.

    Raises:
        InvalidRequest: a name means no app; the versions that were given are wrong.
        ReleaseError: the apps, or their versions, cannot be learnt.
    """
    if not wish.by_app:
        return choose_named(names, request, config, outside)
    from release.versions import choose_versions

    known, apps = _look_up(names, request, config, outside)
    versions = choose_versions(wish, apps, known, config.apps, tags())
    return [
        (replace(request, app=app.name, version=chosen.version), app)
        for app, chosen in zip(apps, versions, strict=True)
    ]


def choose_named(
    names: Sequence[str], question: Asked, config: Config, outside: Outside
) -> list[tuple[Asked, App | None]]:
    """What is asked of each app that was named, and the app, unless a repository is given. Raises as `choose`."""
    if question.repository is not None and len(names) == 1:
        return [(question, None)]
    _, apps = _look_up(names, question, config, outside)
    return [(replace(question, app=app.name), app) for app in apps]


def _look_up(
    names: Sequence[str], question: Question, config: Config, outside: Outside
) -> tuple[tuple[App, ...], tuple[App, ...]]:
    """All apps, and those that were named."""
    if question.repository is not None and len(names) > 1:
        raise _one_repository(question)
    known = outside.workshop().apps(config)
    check_apps(known, config.apps)
    apps = choose_apps(names, known, config.apps)
    if question.repository is not None and len(apps) > 1:
        raise _one_repository(question)
    return known, apps


def _one_repository(question: Question) -> InvalidRequest:
    return InvalidRequest(
        f"{question.app} cannot all be {question.repository}",
        "a repository is one app's",
        "Name one app, or leave out --repository.",
    )
