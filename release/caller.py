"""Where the program was called from, which under `bazel run` is not where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def calling_workspace(environment: Mapping[str, str]) -> Path | None:
    """The workspace that the caller stands in: `bazel run` says so, a binary run directly looks for it."""
    if told := environment.get("BUILD_WORKSPACE_DIRECTORY"):
        return Path(told)
    here = calling_directory(environment)
    markers = ("MODULE.bazel", "REPO.bazel", "WORKSPACE.bazel", "WORKSPACE")
    folders = (here, *here.parents)
    return next((folder for folder in folders if any((folder / name).is_file() for name in markers)), None)


def calling_directory(environment: Mapping[str, str]) -> Path:
    """The folder that relative paths of the command line are meant from."""
    return Path(environment.get("BUILD_WORKING_DIRECTORY") or Path.cwd())
