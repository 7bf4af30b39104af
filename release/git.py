"""Calls of git in the tree that is meant, whoever calls."""

from __future__ import annotations

import os
from pathlib import Path

from release.child import Finished, run_child

# What a git hook is told of its own repository.
_TOLD = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")


def run_git(folder: Path, *arguments: str) -> Finished:
    """Run git in a folder. Raises OSError when it cannot be run."""
    return run_child(["git", *arguments], environment=git_environment(), directory=folder)


def git_environment() -> dict[str, str]:
    """This program's environment, without what would lead git to another repository."""
    return {name: value for name, value in os.environ.items() if name not in _TOLD}


def words(finished: Finished) -> str:
    """What git said about a failure, in one line."""
    return " ".join(finished.errors.split())
