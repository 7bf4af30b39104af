"""The flows of a release that are run with every fault at every request. One more is one more entry of FLOWS.

Images are made once, in the flow's folder; commands find them there, whichever process they run in.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

from release import command_line
from release.app import App
from release.app_release import Outside
from release.config import Config
from release.console import Console
from release.errors import ReleaseError, exit_status
from release.flow import release_apps, tag_and_push_image
from release.provenance import Source
from release.request import EngineName, Request
from release.version import Version
from tests.fault_registry.matrix import Expected, Flow
from tests.fault_registry.registry import Abilities, FaultRegistry
from tests.fault_registry.store import Store
from tests.release.house import BOTH, COMMIT, Shelf
from tests.support.images import ImageMaker
from tools.oci.client import RegistryClient
from tools.oci.errors import OciError
from tools.oci.manifest import Descriptor, ImageIndex, parse_manifest
from tools.oci.reference import Repository
from tools.oci.referrers import Artifact, add_referrer, list_referrers

PATH = "acme/demo-hello_python"
RETRY_SECONDS = 2.5
"""Longer than the wait after a first failure, and than any fault asks for."""


# States that flows begin with


def nothing_of_ours(store: Store, folder: Path) -> Sequence[Expected]:
    """An older release and a neighbour are there; the image of the commit is not."""
    return _state(store, folder, there=())


def the_commit(store: Store, folder: Path) -> Sequence[Expected]:
    """The image of the commit is there as well, under no other name."""
    return _state(store, folder, there=(COMMIT,))


def half_a_release(store: Store, folder: Path) -> Sequence[Expected]:
    """Somebody was killed before `latest`."""
    return _state(store, folder, there=(COMMIT, "v1.0.0"))


def _state(store: Store, folder: Path, there: tuple[str, ...]) -> Sequence[Expected]:
    maker = ImageMaker(folder / "blobs")
    older, ours, others = maker.index("older"), maker.index("ours"), maker.index("others")
    (folder / "ours").write_text(ours.digest)
    store.put_image(PATH, older.descriptor, maker.blobs, "v0.9.0", "latest", "0ldc0mm1t")
    store.put_image("acme/demo-neighbour", others.descriptor, maker.blobs, COMMIT, "v1.0.0", "latest")
    if there:
        store.put_image(PATH, ours.descriptor, maker.blobs, *there)
        _sign(store, ours.descriptor)
    before = store.tags(PATH)
    tags = (COMMIT, "v1.0.0", "latest")
    return [Expected(PATH, {tag: before.get(tag) for tag in tags}, dict.fromkeys(tags, ours.digest))]


def _sign(store: Store, image: Descriptor) -> None:
    """Somebody else has said something about the image, in the list of what refers to it."""
    signature = Artifact(image, "application/vnd.example.signature", "text/plain", b"looks good", {})
    with FaultRegistry(store) as registry, RegistryClient(registry.address) as client:
        repository = registry.repository(PATH)
        add_referrer(client, repository, signature, list_referrers(client, repository, image.digest))


def one_of_two(store: Store, folder: Path) -> Sequence[Expected]:
    """The image of the commit is there for one app, and has to be built for the other."""
    maker = ImageMaker(folder / "blobs")
    older, expected = maker.index("older"), []
    for name, there in (("cart", [COMMIT]), ("stock", [])):
        image, path = maker.index(name), f"acme/shop-{name}"
        (folder / name).write_text(image.digest)
        store.put_image(path, older.descriptor, maker.blobs, "v0.9.0", "latest")
        if there:
            store.put_image(path, image.descriptor, maker.blobs, *there)
        before, tags = store.tags(path), (COMMIT, "v1.0.0", "latest")
        expected.append(Expected(path, {tag: before.get(tag) for tag in tags}, dict.fromkeys(tags, image.digest)))
    return expected


# Commands


def release(address: str, folder: Path) -> int:
    """A release by the registry's API; a build would find its image ready."""
    request = Request(
        "hello_python",
        Version.parse("v1.0.0"),
        COMMIT,
        repository=Repository(address, PATH),
        engine=EngineName.REGISTRY,
    )
    try:
        tag_and_push_image(request, Config(registry=address, retry_seconds=RETRY_SECONDS), _outside(folder))
    except (ReleaseError, OciError) as error:
        return exit_status(error)
    return 0


def two_apps(address: str, folder: Path) -> int:
    """Two apps side by side; the exit status is that of the first that fails."""
    config = Config(registry=address, owner="acme", retry_seconds=RETRY_SECONDS)
    wanted = []
    for name in ("cart", "stock"):
        app = App(name, "shop", f"//{name}:image", BOTH, f"//{name}:metadata")
        request = Request(name, Version.parse("v1.0.0"), COMMIT, engine=EngineName.REGISTRY)
        wanted.append((request, app))
    outcomes = release_apps(wanted, config, _outside(folder, "stock"))
    return next((int(exit_status(outcome.error)) for outcome in outcomes if outcome.error is not None), 0)


def command_line_release(address: str, folder: Path) -> int:
    """The program's own command line, where nothing can be built."""
    os.environ["DOCKER_CONFIG"] = str(folder / "no-login")
    os.environ["PATH"] = ""
    os.chdir("/")
    repository = f"{address}/{PATH}"
    arguments = ["hello_python", "v1.0.0", "--commit", COMMIT, "--repository", repository, "--engine", "registry"]
    return command_line.main(arguments)


def _outside(folder: Path, built: str = "ours") -> Outside:
    console = Console(io.StringIO())
    paths = {path.name.replace("-", ":", 1): path for path in (folder / "blobs").iterdir()}
    maker = ImageMaker(folder / "blobs", paths)
    ours = parse_manifest(maker.blobs.read((folder / built).read_text()))
    assert isinstance(ours, ImageIndex)

    def connect(registry: str, connections: int) -> RegistryClient:
        return RegistryClient(registry, retry_for=RETRY_SECONDS, on_wait=console.say, max_connections=connections)

    def source(commit: str) -> Source:
        return Source(commit.ljust(40, "0"), "git+https://git.example/acme/apps")

    return Outside(console, connect, lambda: Shelf(maker, ours), source)


LENIENT = Abilities(checks_parts=False, referrers=True)
"""It takes a manifest before its blobs: only our own order keeps tags from naming what is not there."""

FLOWS = {
    flow.name: flow
    for flow in (
        Flow("first release", nothing_of_ours, release),
        Flow("first release to a lenient registry", nothing_of_ours, release, LENIENT),
        Flow("re-release with tokens", the_commit, release, guard=FaultRegistry.require_token),
        Flow("release that was half done", half_a_release, release),
        Flow("two apps", one_of_two, two_apps),
    )
}
KILLED = {
    **FLOWS,
    "re-release by the command line": Flow("re-release by the command line", the_commit, command_line_release),
}
