"""A registry, a proxy before it and images for the tests of the distribution client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.images import ImageMaker
from tests.support.registry import LocalRegistry
from tools.oci.client import RegistryClient


@pytest.fixture(scope="session")
def shared_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """One real registry for all tests: each uses a repository of its own."""
    with LocalRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def registry(shared_registry: LocalRegistry) -> LocalRegistry:
    """The real registry, its record empty."""
    shared_registry.forget_requests()
    return shared_registry


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """A repository path that no other test uses."""
    return "test/" + re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:150]


@pytest.fixture
def proxy(registry: LocalRegistry) -> Iterator[FaultProxy]:
    """A proxy before the registry, without faults yet."""
    with FaultProxy(registry.address) as proxy:
        yield proxy


@pytest.fixture
def client(registry: LocalRegistry) -> Iterator[RegistryClient]:
    """A client of the registry itself."""
    with RegistryClient(registry.address) as client:
        yield client


@pytest.fixture
def patient(proxy: FaultProxy) -> Iterator[RegistryClient]:
    """A client of the proxy that retries for long enough that no test depends on the machine's speed."""
    with RegistryClient(proxy.address, retry_for=20) as client:
        yield client


@pytest.fixture
def hasty(proxy: FaultProxy) -> Iterator[RegistryClient]:
    """A client of the proxy that does not retry."""
    with RegistryClient(proxy.address, retry_for=0) as client:
        yield client


@pytest.fixture
def maker(tmp_path: Path) -> ImageMaker:
    """Makes images."""
    return ImageMaker(tmp_path / "blobs")


@pytest.fixture(autouse=True)
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Docker configuration folder: what the machine is logged in to does not matter."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder
