"""A registry, a workshop with images that are built already, and releases from the one to the other."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.release.house import House
from tests.support.fault_proxy import FaultProxy
from tests.support.images import ImageMaker
from tests.support.registry import LocalRegistry
from tools.oci.client import RegistryClient
from tools.oci.reference import Repository


@pytest.fixture(scope="session")
def shared_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    with LocalRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def registry(shared_registry: LocalRegistry) -> LocalRegistry:
    """A real registry, its record of requests empty."""
    shared_registry.forget_requests()
    return shared_registry


@pytest.fixture(scope="session")
def second_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Another real registry."""
    with LocalRegistry(tmp_path_factory.mktemp("second-registry")) as registry:
        yield registry


@pytest.fixture
def second(second_registry: LocalRegistry) -> Iterator[FaultProxy]:
    """A proxy before it, without faults yet."""
    with FaultProxy(second_registry.address) as proxy:
        yield proxy


@pytest.fixture
def proxy(registry: LocalRegistry) -> Iterator[FaultProxy]:
    """A proxy before the registry, without faults yet."""
    with FaultProxy(registry.address) as proxy:
        yield proxy


@pytest.fixture
def repository(proxy: FaultProxy, request: pytest.FixtureRequest) -> Repository:
    """A repository that no other test uses, reached through the proxy."""
    return proxy.repository("test/" + re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:150])


@pytest.fixture
def house(repository: Repository, registry: LocalRegistry, tmp_path: Path) -> Iterator[House]:
    """Releases to the repository, of images that the workshop has ready."""
    with RegistryClient(registry.address) as behind_the_proxy:
        yield House(repository, behind_the_proxy, ImageMaker(tmp_path / "blobs"))


@pytest.fixture(autouse=True)
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine is logged in to does not matter."""
    folder = tmp_path / "docker-config"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
