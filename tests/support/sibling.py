"""A repository of its own beside the clone of this workspace, whose module uses slipway as any other would."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.workspace import Workspace, test_cache


@contextmanager
def sibling(workspace: Workspace, name: str, source: Path | None = None) -> Iterator[Workspace]:
    """A work tree with the files of the folder `source`, committed; without a source an empty folder under git.

    The folder and its output base are the same in every run, and the caches are the clone's. Its Bazel server ends with
    it: two of them would share the machine with the next test.
    """
    folder = test_cache() / name
    shutil.rmtree(folder, ignore_errors=True)
    if source:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("bazel-*"))
    else:
        folder.mkdir()
    beside = Workspace(folder, (f"--output_base={test_cache()}/{name}_output_base",), workspace.environment)
    beside.git("init", "--quiet", "--initial-branch=main")
    (folder / ".git" / "info" / "exclude").write_text("/user.bazelrc\n/bazel-*\n")
    caches = (workspace.path / "user.bazelrc").read_text()
    (folder / "user.bazelrc").write_text(f"{caches}common --override_module=slipway={workspace.path}\n")
    if source:
        beside.commit_all("All there is")
    try:
        yield beside
    finally:
        beside.bazel("shutdown")
