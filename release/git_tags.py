"""The git tags of releases, `{domain}-{app}.{version}`: what they are called, and which there are.

All tags are read by one call of git here, and one to the remote, however many apps there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from release.unattended_git import GitFailed, UnattendedGit
from release.version import Version

_REFS = "refs/tags/"
_PEELED = "^{}"


def tag_name(app: str, version: Version) -> str:
    """The git tag of an app's version; `app` is its full name, `{domain}-{app}`."""
    return f"{app}.{version}"


def versions_by_app(apps: Iterable[str], names: Iterable[str]) -> dict[str, set[Version]]:
    """The versions of each app, by its full name, among the names of all tags; other tags are none of this concern."""
    found: dict[str, set[Version]] = {app: set() for app in apps}
    for name in names:
        # An app may be called `api.v2`, a pre-release `rc.v2`: every place where a version may begin is tried.
        place = name.find(".v")
        while place >= 0:
            versions = found.get(name[:place])
            if versions is not None and (version := Version.find(name[place + 1 :])):
                versions.add(version)
            place = name.find(".v", place + 1)
    return found


@dataclass(frozen=True, slots=True)
class GitTag:
    """What a tag names. For a tag that is not annotated the two are the same."""

    target: str
    """Name of the tag's own object."""
    commit: str

    @property
    def annotated(self) -> bool:
        """Whether it has an object with a message."""
        return self.target != self.commit


@dataclass(frozen=True, slots=True)
class GitTags:
    """The tags of the repository around a folder, and those of one of its remotes."""

    folder: Path
    remote: str | None = "origin"
    """Name of the remote; None: no remote is asked."""
    network_seconds: float = 60.0
    """How long the remote may take for an answer."""

    def here(self) -> Mapping[str, GitTag]:
        """The tags of this clone. Raises GitFailed when they cannot be read, all of them."""
        git = UnattendedGit(self.folder)
        # The fields are parted by what no name of a tag has.
        finished = git.run("for-each-ref", "--format=%(refname) %(objectname) %(*objectname)", _REFS)
        # A tag that is broken is only warned of, and left out.
        if finished.status != 0 or _REFS in finished.errors:
            raise GitFailed(f"git cannot read its tags: {git.words(finished.errors)}")
        found = {}
        for line in finished.output.splitlines():
            name, target, commit = line.split(" ")
            found[name.removeprefix(_REFS)] = GitTag(target, commit or target)
        return found

    def there(self) -> Mapping[str, GitTag] | None:
        """The tags of the remote; None where there is no remote to ask.

        Raises GitFailed when the remote cannot be asked, or there are only others.
        """
        git = UnattendedGit(self.folder)
        remotes = git.ask("remote").split()
        if self.remote is None or not remotes:
            return None
        if self.remote not in remotes:
            raise GitFailed(f"there is no remote {self.remote!r}, only {', '.join(remotes)}")
        try:
            answer = git.ask("ls-remote", "--quiet", "--tags", self.remote, limit=self.network_seconds)
        except GitFailed as error:
            raise GitFailed(f"the remote {self.remote} cannot be asked for its tags: {error}") from None
        found: dict[str, GitTag] = {}
        for line in answer.splitlines():
            target, _, name = line.partition("\t")
            name = name.removeprefix(_REFS)
            # An annotated tag has two lines, the second of which says what it names.
            if name.endswith(_PEELED):
                name = name.removesuffix(_PEELED)
                found[name] = GitTag(found[name].target, target)
            else:
                found[name] = GitTag(target, target)
        return found

    def why_incomplete(self) -> str | None:
        """Why a tag that is not here may be somewhere else; None where all tags came with the clone."""
        git = UnattendedGit(self.folder)
        if git.ask("rev-parse", "--is-shallow-repository").strip() != "false":
            return "this is a shallow clone, which may lack tags"
        if "--no-tags" in git.run("config", "--get-regexp", r"^remote\..*\.tagopt$").output.split():
            return "this clone was made without tags"
        return None


def list_names(names: Sequence[str], shown: int = 3) -> str:
    """Names in a message: the first few, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
