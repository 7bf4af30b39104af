"""Where the program was called from, which under `bazel run` is not where it runs, and the configuration there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from release.config import Config


def calling_workspace(environment: Mapping[str, str]) -> Path | None:
    """The workspace that the caller stands in: `bazel run` says so, a binary run directly looks for it."""
    if told := environment.get("BUILD_WORKSPACE_DIRECTORY"):
        return Path(told)
    here = calling_directory(environment)
    markers = ("MODULE.bazel", "REPO.bazel", "WORKSPACE.bazel", "WORKSPACE")
    folders = (here, *here.parents)
    return next((folder for folder in folders if any((folder / name).is_file() for name in markers)), None)


def is_packed() -> bool:
    """Whether this program runs out of release.zip: there is no Bazel then, wherever it is called."""
    return hasattr(globals()["__loader__"], "archive")  # As zipimport's have.


def calling_directory(environment: Mapping[str, str]) -> Path:
    """The folder that relative paths of the command line are meant from."""
    return Path(environment.get("BUILD_WORKING_DIRECTORY") or Path.cwd())


def read_config(file: str | None, environment: Mapping[str, str]) -> Config:
    """The configuration that was named, else that of the calling workspace, else the defaults."""
    if file is not None:
        path = calling_directory(environment) / file
    else:
        workspace = calling_workspace(environment)
        path = (workspace or Path()) / "release" / "config.yaml"
        if workspace is None or not path.is_file():
            return Config()
    from release.config_file import load_config  # Parsing YAML takes a while to import.

    return load_config(path)
