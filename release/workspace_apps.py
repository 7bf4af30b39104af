"""The apps of the calling workspace, and those of them that a range of commits affects."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from release.affected import Affected, Cause, every_app, find_affected
from release.app import App, query_expression, read_apps
from release.bazel import Bazel, find_bazel
from release.caller import calling_directory, calling_workspace
from release.config import Config
from release.config_file import LOCATION
from release.console import Console
from release.errors import InvalidRequest, ReleaseError
from release.foundations import find_foundations, own_names
from release.history import History, is_no_commit
from release.selection import check_apps
from release.source_graph import query_graph
from release.starlark import StarlarkFiles

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a range of commits affects."""

    base: str | None
    """The commit's whole name; None where there was none."""
    head: str | None
    """The commit's whole name; None: the working tree."""
    changed_files: int
    apps: int
    """How many there are."""
    affected: tuple[Affected, ...]


@dataclass(frozen=True, slots=True)
class WorkspaceApps:
    """Where apps are looked for."""

    bazel: Bazel
    config: Config
    configuration: str | None
    """Path of the configuration from the workspace's folder; None where it is not in it."""

    def all(self) -> tuple[App, ...]:
        """All apps in scope, by one `bazel query`. Raises ReleaseError or InvalidRequest."""
        return self._checked(read_apps(self.bazel.query(query_expression(self.config))))

    def compare(self, base: str, head: str | None, *, since_fork: bool) -> Comparison:
        """The apps that the changes from `base` to `head` affect, by git and one `bazel query`.

        See History.difference for the arguments and the errors.
        """
        if is_no_commit(base):
            apps = self.all()
            return Comparison(None, head, 0, len(apps), every_app(apps, Cause(None, "there is no earlier commit")))
        history = History(self.bazel.workspace)
        difference = history.difference(base, head, since_fork=since_fork)
        ends = (difference.base, difference.head, len(difference.files))
        foundations = find_foundations(self.bazel.workspace, self.configuration)
        for file in difference.files:
            # Then nothing has to be known of what apps are made from.
            if (reason := foundations.reason(file.path)) is not None:
                apps = self.all()
                return Comparison(*ends, len(apps), every_app(apps, Cause(file.path, reason)))
        graph = query_graph(self.bazel, self.config)
        apps = self._checked(graph.apps)
        links = history.links() if difference.files else {}
        starlark = StarlarkFiles(self.bazel.workspace, own_names(self.bazel.workspace))
        return Comparison(*ends, len(apps), find_affected(difference.files, links, graph, foundations, starlark))

    def _checked(self, apps: Sequence[App]) -> tuple[App, ...]:
        check_apps(apps, self.config.apps)
        for app in apps:
            # They become lines of an output, and fields of a list.
            if _NAME.fullmatch(app.full_name) is None:
                raise ReleaseError(
                    f"Cannot use the name of {app.label}",
                    f"{app.full_name!r} has characters that no repository's name has",
                    "Call app and domain by letters, digits, dots, dashes and underscores.",
                )
        return tuple(apps)


def find_workspace(
    config: Config, config_file: str | None, bazel_options: Sequence[str], environment: Mapping[str, str]
) -> WorkspaceApps:
    """The calling workspace. Raises InvalidRequest where there is none."""
    workspace = calling_workspace(environment)
    here = calling_directory(environment)
    if workspace is None:
        raise InvalidRequest("Cannot look for apps", f"{here} is not in a Bazel workspace", "Call it in one.")
    return WorkspaceApps(
        find_bazel(workspace, bazel_options, environment), config, _within(workspace, config_file, here)
    )


def describe(affected: Affected) -> dict[str, Any]:
    """An app that is affected, and why, for machines."""
    app, cause = affected.app, affected.cause
    return {
        "app": app.full_name,
        "domain": app.domain,
        "name": app.name,
        "file": cause.file,
        "why": cause.why,
        "via": list(cause.via),
    }


def tell(comparison: Comparison, console: Console) -> None:
    """Say to people what is affected, and why."""
    found = f"{len(comparison.affected)} of {comparison.apps} apps"
    since = f"; {comparison.changed_files} files changed since {comparison.base[:12]}" if comparison.base else ""
    console.say(f"{found} affected{since}")
    causes = {each.cause.file for each in comparison.affected if not each.cause.via}
    if len(causes) == 1 and len(comparison.affected) == comparison.apps > 1:
        console.say(f"every app: {comparison.affected[0].cause}")
        return
    for each in comparison.affected:
        console.say(f"{each.app.full_name}: {each.cause}")


def _within(workspace: Path, config_file: str | None, here: Path) -> str | None:
    """The path of the configuration from the workspace's folder."""
    if config_file is None:
        return LOCATION
    path = posixpath.relpath(os.path.abspath(here / config_file), os.path.abspath(workspace))  # noqa: PTH100 - a link stays
    return None if path.startswith("../") else path
