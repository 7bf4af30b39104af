"""The git tree of the workspace: whether it is exactly a commit, and a copy of it that is (`--checkout`).

Asked only when something has to be built: an existing image is re-tagged from a shallow clone, or from none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from release.child import Finished
from release.errors import Refused, ReleaseError
from release.git import run_git, words
from release.provenance import Source

_CHOICES = (
    "Commit first, or leave out --commit to release the working tree, or add --checkout to build that commit in a work "
    "tree of its own."
)
_SHOWN = 3  # Names of changed files in a message.
_WHOLE = (40, 64)  # Digits of a commit's whole name, by SHA-1 or SHA-256.
_SCP = re.compile(r"(?:[^@:/]+@)?(?P<host>[^@:/]+):(?!//|:)(?P<path>.+)")  # git's short form of an address for ssh
_TRANSPORTS = ("https", "http", "ssh", "git")


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of the workspace at a commit, and where Bazel may keep what it builds there."""

    workspace: Path
    output_base: Path


@dataclass(frozen=True, slots=True)
class SourceTree:
    """The git tree around a workspace."""

    workspace: Path

    def check_is(self, commit: str) -> None:
        """See that the tree is exactly `commit`. Raises Refused, saying why it is not."""
        full = self.resolve(commit)
        head = self._git("rev-parse", "--verify", "--quiet", "HEAD^{commit}").output.strip()
        if head != full:
            raise _refused(commit, f"the working tree is at commit {head[:12] or '(none)'}")
        # Said in full, since a user's settings may hide what is new or in a submodule.
        status = self._git("status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=none")
        if status.status != 0:
            raise _refused(commit, f"git cannot tell whether the working tree has changes: {words(status)}")
        changes = status.output.splitlines()
        if changes:
            more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
            names = ", ".join(change[3:] for change in changes[:_SHOWN])
            raise _refused(commit, f"the working tree has changes that are not committed: {names}{more}")

    def resolve(self, commit: str) -> str:
        """The whole name of a commit. Raises Refused when git does not have it."""
        found = self._git("rev-parse", "--verify", f"{commit}^{{commit}}")
        # A branch may be called like an abbreviated commit.
        if found.status != 0 or not found.output.startswith(commit.lower()):
            raise Refused(
                f"Refused to build commit {commit}",
                f"git does not have it in {self.workspace} ({words(found) or 'it is the name of something else'})",
                "Fetch it (a shallow clone has only its newest commits), or check how it is written.",
            )
        return found.output.strip()

    def origin(self) -> str | None:
        """The address of the remote `origin`, which may have a login in it; None where there is none."""
        found = self._git("remote", "get-url", "origin")
        return found.output.strip() if found.status == 0 else None

    @contextmanager
    def checked_out(self, commit: str, cache: Path) -> Iterator[Checkout]:
        """The workspace as it was at `commit`, in a work tree in the cache folder that is removed afterwards.

        The place is the same each time, so Bazel finds there what it built before; checkouts wait for each other.
        """
        full = self.resolve(commit)
        prefix = self._git("rev-parse", "--show-prefix").output.strip()
        folder = cache / hashlib.sha256(os.fsencode(self.workspace)).hexdigest()[:12]
        folder.mkdir(parents=True, exist_ok=True)
        tree = folder / "tree"
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._remove(tree)  # What a killed checkout has left.
            added = self._git("worktree", "add", "--quiet", "--force", "--detach", str(tree), full)
            if added.status != 0:
                raise ReleaseError(
                    f"Cannot check out commit {commit} in {tree}", words(added), "Correct that, and try again."
                )
            try:
                yield Checkout(tree / prefix, folder / "output")
            finally:
                self._remove(tree)

    def _remove(self, tree: Path) -> None:
        if tree.exists():
            self._git("worktree", "remove", "--force", "--force", str(tree))

    def _git(self, *arguments: str) -> Finished:
        try:
            return run_git(self.workspace, *arguments)
        except OSError as error:
            raise Refused(
                "Refused to build a commit", f"git cannot be run to tell which one the tree is: {error}", "Install git."
            ) from None


def source_of(commit: str, folder: Path) -> Source:
    """A commit by its whole name, and where it comes from as far as the git tree around a folder can tell.

    Raises Refused when the name is abbreviated and git does not know it.
    """
    tree = SourceTree(folder)
    try:
        full = tree.resolve(commit)
    except Refused:
        # Not of this tree, or of a part of the history that is not here: its origin may be another one.
        if len(commit) not in _WHOLE:
            raise
        return Source(commit.lower(), None)
    origin = tree.origin()
    return Source(full, source_uri(origin) if origin else None)


def source_uri(remote: str) -> str | None:
    """The address of a git remote as a URI (SPDX's "git+https://..."), without user, password and query.

    None for a folder of this machine, which means nothing elsewhere.
    """
    short = _SCP.fullmatch(remote)
    if short is not None:
        remote = f"ssh://{short['host']}/{short['path'].lstrip('/')}"
    try:
        parts = urlsplit(remote)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    transport = parts.scheme.removeprefix("git+")
    if transport not in _TRANSPORTS or not host:
        return None
    place = f"[{host}]" if ":" in host else host
    return f"git+{transport}://{place}{f':{port}' if port else ''}{quote(parts.path, safe='/~%+@:=,')}"


def _refused(commit: str, why: str) -> Refused:
    return Refused(f"Refused to build commit {commit}", why, _CHOICES)
