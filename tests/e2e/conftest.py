"""The workspace, the registry and the release that end-to-end tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.releasing import APP, Releaser, owners
from tests.support.registry import LocalRegistry
from tests.support.workspace import Workspace, shared_workspace


@pytest.fixture(scope="session")
def clone() -> Iterator[Workspace]:
    with shared_workspace() as workspace:
        yield workspace


@pytest.fixture
def workspace(clone: Workspace) -> Iterator[Workspace]:
    """The clone; what a test changes there is taken back after it."""
    yield clone
    clone.reset()


@pytest.fixture(scope="session")
def built(clone: Workspace) -> None:
    """The release and the app's image are there, so that no test pays for the first build."""
    clone.build("//release:release", f"//apps/{APP}:{APP}_image")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    with LocalRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def release(workspace: Workspace, built: None, registry: LocalRegistry, tmp_path: Path) -> Releaser:
    """The release of hello_python to a repository that no other test uses."""
    return Releaser(workspace, registry, next(owners), tmp_path)


@pytest.fixture
def released(release: Releaser) -> Releaser:
    """The same after v1.0.0 of the workspace's commit has been released."""
    outcome = release(APP, "v1.0.0", "--commit", release.workspace.commit)
    assert outcome.status == 0, outcome.stderr
    return release
