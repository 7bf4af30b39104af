"""Which version each app gets: one for all, each its own out of a file, or the next one after its git tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from release.app import App
from release.errors import ReleaseError
from release.git_tags import GitTags, list_names, versions_by_app
from release.request import VersionWish
from release.unattended_git import GitFailed
from release.version import Bump, Version

_NOTHING = Version(0, 0, 0)


@dataclass(frozen=True, slots=True)
class AppVersion:
    """The version that one app gets."""

    app: str
    """Its full name."""
    version: Version | None
    """None: it is released by its commit alone."""
    after: Version | None = None
    """With --bump, the version that this one follows; None for an app's first one."""


def choose_versions(
    wish: VersionWish, apps: Sequence[App], known: Sequence[App], scope: str, tags: GitTags
) -> tuple[AppVersion, ...]:
    """The version of each app that is to be released, in their order.

    Args:
        wish: what is asked for.
        apps: those to be released.
        known: all there are, which a file may name.
        scope: where they were looked for, for messages.
        tags: of git; read only for a bump.

    Raises:
        InvalidRequest: the file is wrong; all that is wrong is said at once.
        ReleaseError: git cannot tell which versions there are.
    """
    if wish.bump is not None:
        return next_versions([app.full_name for app in apps], wish.bump, tags)
    if wish.file is not None:
        from release.versions_file import read_versions  # Parsing YAML takes a while to import.

        versions = read_versions(wish.file, apps, known, scope)
        return tuple(AppVersion(app.full_name, versions[app.full_name]) for app in apps)
    return tuple(AppVersion(app.full_name, wish.version) for app in apps)


def next_versions(apps: Sequence[str], bump: Bump, tags: GitTags) -> tuple[AppVersion, ...]:
    """The next version of each app, by its full name, after its git tags here and on the remote, on any branch.

    The newest version counts; pre-releases only where there is nothing else. An app without a tag comes after v0.0.0.
    Whether it really has none is known when the remote was asked, or the clone has all tags.

    Raises ReleaseError otherwise, and when git fails: that is never taken for a first release.
    """
    try:
        here, there = tags.here(), tags.there()
        found = versions_by_app(apps, {*here, *(there or {})})
        missing = [app for app in apps if not found[app]]
        doubt = tags.why_incomplete() if missing and there is None else None
    except GitFailed as error:
        raise ReleaseError(
            f"Cannot tell the next version of {list_names(apps)}",
            str(error),
            "Correct that, or say which version it is: VERSION, or --versions FILE.",
        ) from None
    if doubt is not None:
        raise ReleaseError(
            f"Cannot tell the next version of {list_names(missing)}",
            f"git has no tag of it here, but {doubt}",
            "Have a remote asked, fetch them by `git fetch --tags --unshallow`, or say which version it is: VERSION, "
            "or --versions FILE.",
        )
    return tuple(_next(app, bump, found[app]) for app in apps)


def _next(app: str, bump: Bump, versions: set[Version]) -> AppVersion:
    after = max((version for version in versions if not version.pre), default=None) or max(versions, default=None)
    return AppVersion(app, (after or _NOTHING).next(bump), after)
