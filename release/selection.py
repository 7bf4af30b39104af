"""Which apps are meant by a list of names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from release.app import App, choose_app
from release.errors import InvalidRequest

ALL = "all"
_SEPARATORS = re.compile(r"[,\s]+")


def split_names(words: Iterable[str]) -> tuple[str, ...]:
    """The names in words of a command line; one word may hold several, as a field of a form does."""
    return tuple(name for word in words for name in _SEPARATORS.split(word) if name)


def choose_apps(names: Sequence[str], apps: Sequence[App], scope: str) -> tuple[App, ...]:
    """The apps that names mean, sorted: `all`, a domain, or an app as `choose_app` takes it.

    Raises InvalidRequest, saying of each name what is wrong with it.
    """
    wrong: list[str] = []
    named: dict[str, list[str]] = {}
    for name in names:
        try:
            members = _members(name, apps, scope)
        except InvalidRequest as error:
            wrong.append(f"{error.what}: {error.why}" if error.what.startswith("App ") else error.what)
            continue
        for app in members:
            named.setdefault(app.full_name, []).append(name)
    for full_name, by in named.items():
        if len(by) > 1:
            wrong.append(f"{full_name} is named more than once: {', '.join(by)}")
    if wrong:
        listing = ", ".join(sorted({app.full_name for app in apps})) or "none"
        domains = ", ".join(sorted({app.domain for app in apps})) or "none"
        raise InvalidRequest(
            "Invalid apps",
            "; ".join(wrong),
            f"The apps in {scope} are {listing}; the domains are {domains}. "
            f"Write DOMAIN-APP, DOMAIN/APP, APP where that is unambiguous, DOMAIN, or {ALL}.",
        )
    return tuple(sorted((app for app in apps if app.full_name in named), key=lambda app: app.full_name))


def check_apps(apps: Sequence[App], scope: str) -> None:
    """See that there are apps, and that each has a name of its own. Raises InvalidRequest."""
    if not apps:
        raise InvalidRequest(
            f"No app in {scope}",
            "there is no target of release_app",
            "Make one in a BUILD file, or set `apps` in the configuration.",
        )
    labels: dict[str, list[str]] = {}
    for app in apps:
        labels.setdefault(app.full_name, []).append(app.label)
    twice = [f"{name} ({' and '.join(sorted(labels[name]))})" for name in sorted(labels) if len(labels[name]) > 1]
    if twice:
        raise InvalidRequest("Apps have the same name", "; ".join(twice), "Rename all but one of each.")


def _members(name: str, apps: Sequence[App], scope: str) -> tuple[App, ...]:
    if name == ALL:
        return tuple(apps)
    members = tuple(app for app in apps if app.domain == name)
    called = sorted(app.full_name for app in apps if name in (app.name, app.full_name))
    if members and called:
        raise InvalidRequest(
            f"App {name!r} is ambiguous",
            f"it may be {', '.join(called)}, or the domain {name}",
            "Write the app with its domain, or all apps of the domain.",
        )
    return members or (choose_app(name, apps, scope),)
