"""What git says has changed between a commit and another, or the working tree."""

from __future__ import annotations

import enum
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from release.child import Finished
from release.errors import InvalidRequest, Refused, ReleaseError
from release.git import run_git, words

_NO_COMMIT = re.compile(r"0{40}|0{64}")
_LINK = "120000"
_FOLDERS = {"160000", _LINK}  # Modes of submodules and symbolic links.


class Change(enum.Enum):
    """What happened to a file. A renamed one is gone in one place and new in another."""

    NEW = "new"
    EDITED = "edited"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that is not the same at the two ends of a range."""

    path: str
    """From the workspace's folder, with slashes; one outside begins with `../`."""
    change: Change
    folder: bool = False
    """Whether it may stand for all that is below: a submodule, or a symbolic link."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What has changed."""

    base: str
    """The commit's whole name."""
    head: str | None
    """The commit's whole name; None: the working tree."""
    files: tuple[ChangedFile, ...]
    """Sorted by path."""


def is_no_commit(name: str) -> bool:
    """Whether it is the name of no commit: zeros, which CI tells of a branch that is new."""
    return _NO_COMMIT.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class History:
    """The git history around a workspace."""

    workspace: Path

    def difference(self, base: str, head: str | None, *, since_fork: bool) -> Difference:
        """What has changed from `base` to `head`.

        Args:
            base: a commit.
            head: a commit, which the working tree has to be, since Bazel is asked about that; None: the working tree as
                it is, with what is not committed.
            since_fork: leave out what has happened to `base` since `head` left it.

        Raises:
            InvalidRequest: a name is empty, or looks like an option.
            Refused: the working tree is not exactly `head`.
            ReleaseError: git does not have a commit, or fails.
        """
        start = self._resolve(base, "base")
        end = self._resolve(head, "head") if head is not None else None
        if end is not None:
            self._check_tree(end)
        if since_fork:
            start = self._fork(start, end or self._resolve("HEAD", "head"))
        return Difference(start, end, tuple(self._changes(start, end)))

    def links(self) -> Mapping[str, str]:
        """The symbolic links of the tree and the paths that they lead to, both as those of changed files."""
        prefix = self._prefix()
        links = {}
        for entry in _entries(self._git("ls-files", "--stage", "--full-name", "-z", "--", ":/")):
            facts, _, path = entry.partition("\t")
            if not facts.startswith(_LINK):
                continue
            link = _from_workspace(path, prefix)
            try:
                target = str((self.workspace / link).readlink())
            except OSError:
                continue  # Not in the working tree, so Bazel does not see it either.
            if not target.startswith("/"):
                links[link] = posixpath.normpath(posixpath.join(posixpath.dirname(link), target))
        return links

    def _changes(self, base: str, head: str | None) -> list[ChangedFile]:
        # What a user has configured must not leave anything out; renames are two changes.
        options = ("--raw", "-z", "--no-renames", "--no-ext-diff", "--no-relative", "--ignore-submodules=none")
        ends = (base,) if head is None else (base, head)
        prefix = self._prefix()
        fields = iter(_entries(self._git("diff", *options, *ends, "--")))
        changes = {}
        for facts, path in zip(fields, fields, strict=True):
            before, after, _, _, status = facts.removeprefix(":").split(" ")
            change = {"A": Change.NEW, "D": Change.GONE}.get(status[0], Change.EDITED)
            place = _from_workspace(path, prefix)
            changes[place] = ChangedFile(place, change, not _FOLDERS.isdisjoint((before, after)))
        if head is None:
            for path in _entries(self._git("ls-files", "--others", "--exclude-standard", "--full-name", "-z")):
                # A folder is a repository of its own, which nobody has added yet.
                place = _from_workspace(path.rstrip("/"), prefix)
                changes.setdefault(place, ChangedFile(place, Change.NEW, path.endswith("/")))
        return [changes[path] for path in sorted(changes)]

    def _resolve(self, name: str, end: str) -> str:
        if not name or name.startswith("-"):
            raise InvalidRequest(
                f"Cannot compare with {name!r}",
                f"the --{end} is {'an option' if name else 'empty'}, where a commit is expected",
                "Give a commit; forty zeros as --base mean that there is none, and that every app is affected.",
            )
        found = self._run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if found.status == 0:
            return found.output.strip()
        repository = self._run("rev-parse", "--git-dir")
        if repository.status != 0:
            raise ReleaseError(
                f"Cannot compare with commit {name}",
                f"git cannot read a repository at {self.workspace}: {words(repository)}",
                "Call it in a clone of the repository.",
            )
        shallow = self._run("rev-parse", "--is-shallow-repository").output.strip() == "true"
        clone = "this clone is shallow, and does not have it" if shallow else "git does not have it"
        raise ReleaseError(
            f"Cannot compare with commit {name}",
            f"{clone} in {self.workspace}",
            f"Fetch it (git fetch origin {name}, or all history: git fetch --unshallow, fetch-depth: 0 of "
            "actions/checkout). After a forced push it may be gone for good: forty zeros as --base name every app.",
        )

    def _fork(self, base: str, head: str) -> str:
        found = self._run("merge-base", base, head)
        if found.status == 0:
            return found.output.strip()
        raise ReleaseError(
            f"Cannot compare with commit {base[:12]}",
            f"git sees none that {head[:12]} and it both come from ({words(found) or 'a shallow clone may hide it'})",
            "Fetch more history: git fetch --unshallow, or fetch-depth: 0 of actions/checkout.",
        )

    def _check_tree(self, commit: str) -> None:
        """See that the working tree is the commit: it is what Bazel is asked about."""
        at = self._git("rev-parse", "HEAD").strip()
        changed = self._git("status", "--porcelain", "-z", "--untracked-files=normal", "--ignore-submodules=none")
        if at == commit and not changed:
            return
        other = changed[3:].partition("\0")[0]
        why = f"it is at {at[:12]}" if at != commit else f"something in it is not committed: {other}"
        raise Refused(
            f"Refused to say what commit {commit[:12]} affects",
            f"Bazel is asked about the working tree, and {why}",
            "Check that commit out, or leave out --head to ask about the working tree as it is.",
        )

    def _prefix(self) -> str:
        """The workspace's folder from the top of the repository, with a slash at its end; empty for the top."""
        return self._git("rev-parse", "--show-prefix").removesuffix("\n")

    def _git(self, *arguments: str) -> str:
        finished = self._run(*arguments)
        if finished.status != 0:
            raise ReleaseError(
                f"git {arguments[0]} failed in {self.workspace}",
                words(finished) or f"it ended with status {finished.status}",
                "Correct that, and run the same command again.",
            )
        return finished.output

    def _run(self, *arguments: str) -> Finished:
        try:
            return run_git(self.workspace, *arguments)
        except OSError as error:
            raise ReleaseError("Cannot ask git what has changed", str(error), "Install git.") from None


def _entries(output: str) -> list[str]:
    return output.split("\0")[:-1]


def _from_workspace(path: str, prefix: str) -> str:
    if path.startswith(prefix):
        return path.removeprefix(prefix)
    return posixpath.relpath(f"/{path}", f"/{prefix}")
