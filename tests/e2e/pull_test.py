"""Base images of a real registry in a real build: what is fetched, when, and what a build says when it cannot be."""

import json
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.e2e.releasing import Outcome, Releaser
from tests.support.fault_proxy import Fault, FaultProxy, error_answer
from tests.support.images import ImageMaker
from tests.support.registry import PASSWORD, USER, LocalRegistry, Logged
from tests.support.workspace import Workspace
from tools.oci.client import RegistryClient
from tools.oci.credentials import Credential
from tools.oci.manifest import OCI_LAYER_GZIP, Descriptor, ImageIndex
from tools.oci.publication import push_index

BOTH = ("linux/amd64", "linux/arm64")
MODULE = """
module(name = "neighbour")

bazel_dep(name = "slipway", version = "0.1.0")

images = use_extension("@slipway//tools/image:extensions.bzl", "images")
images.pull(
    name = "debian_slim",
    digest = "{digest}",
    platforms = {platforms},
    repository = "{repository}",
)
use_repo(images, "debian_slim")
"""
BUILD = """
load("@slipway//tools/image:defs.bzl", "image", "image_index", "image_layer", "image_push")

image_layer(
    name = "own",
    files = {"hello.txt": "hello.txt"},
)

image(
    name = "image",
    base = "@debian_slim//:image",
    env = {"GREETING": "hello"},
    layers = [":own"],
)

image_index(
    name = "index",
    image = ":image",
    platforms = {
        "@slipway//tools/platforms:linux_amd64": "linux/amd64",
        "@slipway//tools/platforms:linux_arm64": "linux/arm64",
    },
)

image_push(
    name = "push",
    index = ":index",
)
"""
APP = """
load("//tools/image:defs.bzl", "image", "image_layer")
load("//tools/release:defs.bzl", "release_app")

image_layer(
    name = "own",
    files = {"hello.txt": "hello.txt"},
)

image(
    name = "image",
    base = "@debian_slim//:image",
    layers = [":own"],
)

release_app(
    name = "based",
    description = "Stands on a pulled base",
    domain = "demo",
    image = ":image",
)
"""
PULL_OF_APP = """
images = use_extension("//tools/image:extensions.bzl", "images")
images.pull(
    name = "debian_slim",
    digest = "{digest}",
    repository = "{repository}",
)
use_repo(images, "debian_slim")
"""
SECOND_PULL = """
images = use_extension("//tools/image:extensions.bzl", "images")
images.pull(
    name = "debian_slim",
    digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000",
    repository = "localhost:5000/debian",
)
"""


class Login:
    """The one that a registry with a login asks for."""

    def find(self, registry: str) -> Credential:
        return Credential(USER, PASSWORD)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A module that builds an image index on a base image.

    Attributes:
        workspace: the clone that the module is added to.
        maker: what made the base image.
        path: of the base image's repository, one that no earlier run has left in a cache.
        folder: for what a test needs besides.
    """

    workspace: Workspace
    maker: ImageMaker
    path: str
    folder: Path

    def add(self, address: str, digest: str, platforms: Sequence[str] = BOTH) -> None:
        pull = MODULE.format(digest=digest, platforms=json.dumps(platforms), repository=f"{address}/{self.path}")
        self.workspace.add_module("neighbour", {"MODULE.bazel": pull, "BUILD.bazel": BUILD, "hello.txt": "hello\n"})

    def base(self, registry: LocalRegistry, platforms: Sequence[str] = BOTH) -> ImageIndex:
        """A base image that is in the registry."""
        index = self.maker.index(self.path, platforms, env=["BASE=debian"])
        with RegistryClient(registry.address, credentials=Login()) as client:
            push_index(client, registry.repository(self.path), index.descriptor, self.maker.blobs)
        registry.forget_requests()
        return index

    def build(self, *options: str, docker_config: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.bazel("build", *options, "@neighbour//:index", docker_config=docker_config)

    def bazel(self, *arguments: str, docker_config: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Bazel for a user who has this Docker configuration."""
        folder = docker_config or self.folder
        return self.workspace.bazel(*arguments, environment={"DOCKER_CONFIG": str(folder)})

    def built(self, output_group: str) -> list[Path]:
        """The files and folders of an output group."""
        result = self.bazel("cquery", "@neighbour//:index", "--output=files", f"--output_groups={output_group}")
        assert result.returncode == 0, result.stderr
        return [self.workspace.path / line for line in result.stdout.splitlines()]

    def read(self, document: Descriptor) -> dict[str, Any]:
        return dict(json.loads(self.maker.blobs.read(document.digest)))

    def layers(self, index: ImageIndex) -> list[str]:
        """The digests of all layers of the base image, each once."""
        return sorted({layer["digest"] for child in index.manifests for layer in self.read(child)["layers"]})


@pytest.fixture
def neighbour(workspace: Workspace, tmp_path: Path) -> Neighbour:
    return Neighbour(workspace, ImageMaker(tmp_path / "blobs"), f"base/debian-{time.time_ns()}", tmp_path)


def succeeded(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stderr


def failed(result: subprocess.CompletedProcess[str], *words: str) -> None:
    assert result.returncode != 0, result.stderr
    for each in words:
        assert each in result.stderr


def read_blob(layout: Path, descriptor: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads((layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()))


def asked(registry: LocalRegistry) -> list[str]:
    """What was asked for since the last time, sorted: "manifests sha256:..."."""
    requests = registry.requests()
    registry.forget_requests()
    assert {request.method for request in requests} <= {"GET"}
    return sorted(" ".join(request.path.split("/")[-2:]) for request in requests)


def test_documents_are_fetched_for_documents_and_layers_for_layers(
    neighbour: Neighbour, registry: LocalRegistry
) -> None:
    base = neighbour.base(registry)
    neighbour.add(registry.address, base.digest)

    succeeded(neighbour.build())

    children = [neighbour.read(child) for child in base.manifests]
    documents = [f"blobs {child['config']['digest']}" for child in children]
    documents += [f"manifests {digest}" for digest in (base.digest, *(child.digest for child in base.manifests))]
    assert asked(registry) == sorted(documents)

    succeeded(neighbour.build("--output_groups=blobs"))
    layers = neighbour.layers(base)
    assert len(layers) == 3  # one that both platforms have, and one of each
    assert asked(registry) == [f"blobs {digest}" for digest in layers]

    # The same layers for whatever else is built, and however.
    succeeded(neighbour.build("--output_groups=blobs", "--compilation_mode=opt"))
    succeeded(neighbour.build("--output_groups=layout,sbom"))
    assert asked(registry) == []

    (layout,) = neighbour.built("layout")
    (top,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    for child, under in zip(read_blob(layout, top)["manifests"], children, strict=False):
        manifest = read_blob(layout, child)
        assert manifest["layers"][:2] == under["layers"]
        config = read_blob(layout, manifest["config"])
        assert config["config"]["Env"] == ["BASE=debian", "GREETING=hello"]
        diff_ids = neighbour.read(Descriptor.from_json(under["config"]))["rootfs"]["diff_ids"]
        assert config["rootfs"]["diff_ids"][:2] == diff_ids
    sboms = neighbour.built("sbom")
    assert len(sboms) == 4  # two kinds for each platform
    for sbom in sboms:
        assert f"pkg:oci/{neighbour.path.rpartition('/')[2]}@{base.digest}?repository_url=" in sbom.read_text()


def test_a_cache_serves_layers_that_another_build_has_fetched(neighbour: Neighbour, registry: LocalRegistry) -> None:
    base = neighbour.base(registry)
    neighbour.add(registry.address, base.digest)
    options = ("--output_groups=blobs", f"--disk_cache={neighbour.folder / 'disk_cache'}")
    succeeded(neighbour.build(*options))
    assert len(asked(registry)) == 8
    succeeded(neighbour.bazel("clean"))
    succeeded(neighbour.build(*options))
    assert asked(registry) == []


def test_a_layer_that_arrives_damaged_stops_the_build_and_is_fetched_anew(
    neighbour: Neighbour, registry: LocalRegistry
) -> None:
    base = neighbour.base(registry)
    damaged = neighbour.layers(base)[0]
    with FaultProxy(registry.address) as proxy:
        neighbour.add(proxy.address, base.digest)
        proxy.inject(Fault(path=damaged, change=lambda answer: replace(answer, body=bytes(len(answer.body)))))
        failed(
            neighbour.build("--output_groups=blobs"),
            f"cannot fetch blob {proxy.address}/{neighbour.path}@{damaged}\n  Why: {proxy.address} does not answer",
            "\n  What to do: ",
        )
        # A line that breaks off is tried again by itself.
        proxy.inject(Fault(path=damaged, keep=20))
        proxy.forget_requests()
        succeeded(neighbour.build("--output_groups=blobs"))
        assert [damaged in request.path for request in proxy.requests()].count(True) == 2


def transfers(requests: Iterable[Logged], layers: Sequence[str]) -> dict[str, list[str]]:
    """Which of these layers were mounted, fetched and sent."""
    found: dict[str, list[str]] = {"mounted": [], "fetched": [], "sent": []}
    for request in requests:
        way = "fetched" if request.method == "GET" else "sent" if request.is_upload else ""
        if request.method == "POST" and "mount=" in request.path and request.status == 201:
            way = "mounted"
        found.setdefault(way, []).extend(layer for layer in layers if layer in unquote(request.path))
    return {way: sorted(found[way]) for way in ("mounted", "fetched", "sent")}


def test_a_push_mounts_the_base_where_its_registry_has_it(neighbour: Neighbour, registry: LocalRegistry) -> None:
    base = neighbour.base(registry)
    layers = neighbour.layers(base)
    neighbour.add(registry.address, base.digest)
    target = registry.repository(f"{neighbour.path}/app")
    result = neighbour.bazel("run", "@neighbour//:push", "--", f"--repository={target}", "--tag=v1")
    succeeded(result)
    requests = registry.requests()
    assert transfers(requests, layers) == {"mounted": layers, "fetched": [], "sent": []}
    # The layer of its own, two configurations, and two attestations of a configuration and two statements each.
    assert sum(request.is_upload for request in requests) == 9
    with RegistryClient(registry.address) as client:
        assert client.get_manifest(target.tag("v1")).digest == result.stdout.strip()


def test_a_push_elsewhere_fetches_the_base_once_and_only_what_is_missing(
    neighbour: Neighbour, registry: LocalRegistry, tmp_path: Path
) -> None:
    base = neighbour.base(registry)
    layers = neighbour.layers(base)
    neighbour.add(registry.address, base.digest)
    with LocalRegistry(tmp_path / "elsewhere") as elsewhere:
        target = elsewhere.repository(neighbour.path)
        with RegistryClient(elsewhere.address) as client:
            there = neighbour.maker.blobs.paths[layers[0]]
            described = Descriptor(OCI_LAYER_GZIP, layers[0], there.stat().st_size)
            client.upload_blob(target, described, lambda: there.open("rb"))
        elsewhere.forget_requests()
        for _ in range(2):
            succeeded(neighbour.bazel("run", "@neighbour//:push", "--", f"--repository={target}"))
        assert transfers(elsewhere.requests(), layers) == {"mounted": [], "fetched": [], "sent": layers[1:]}
        assert not any("mount=" in request.path for request in elsewhere.requests())
    assert transfers(registry.requests(), layers)["fetched"] == layers[1:]


@pytest.fixture
def based(neighbour: Neighbour, registry: LocalRegistry) -> ImageIndex:
    """The base image of an app, //apps/based."""
    return neighbour.base(registry)


def release_based(neighbour: Neighbour, base: ImageIndex, origin: str, registry: LocalRegistry) -> Outcome:
    """Releases that app to `origin`, the registry or a proxy before it, from which its base is pulled."""
    workspace = neighbour.workspace
    pull = PULL_OF_APP.format(digest=base.digest, repository=f"{origin}/{neighbour.path}")
    workspace.append("MODULE.bazel", pull)
    folder = workspace.path / "apps" / "based"
    folder.mkdir()
    (folder / "BUILD.bazel").write_text(APP)
    (folder / "hello.txt").write_text("hello\n")
    workspace.build("//release:release")
    release = Releaser(workspace, registry, neighbour.path, neighbour.folder)
    environment = {"DOCKER_CONFIG": str(neighbour.folder)}
    arguments = ("based", "v1.0.0", f"--registry={origin}", f"--owner={neighbour.path}")
    return release.run([*release.command, *arguments], environment)


def test_a_release_mounts_the_base_where_its_registry_has_it(
    neighbour: Neighbour, based: ImageIndex, registry: LocalRegistry
) -> None:
    layers = neighbour.layers(based)
    outcome = release_based(neighbour, based, registry.address, registry)
    assert outcome.status == 0, outcome.stderr
    outcome.says("Uploaded 9 blobs, …; 3 were mounted, 0 were there already")
    assert transfers(outcome.requests, layers) == {"mounted": layers, "fetched": [], "sent": []}
    assert outcome.bazel == ("query", "build")


def test_a_release_to_a_registry_that_mounts_nothing_has_bazel_fetch_the_base(
    neighbour: Neighbour, based: ImageIndex, registry: LocalRegistry
) -> None:
    layers = neighbour.layers(based)
    with FaultProxy(registry.address) as proxy:
        proxy.inject(Fault(path=".*mount=", times=0, answer=error_answer(405, "UNSUPPORTED")))
        outcome = release_based(neighbour, based, proxy.address, registry)
    assert outcome.status == 0, outcome.stderr
    outcome.says("Uploaded 12 blobs, …; 0 were there already")
    assert transfers(outcome.requests, layers) == {"mounted": [], "fetched": layers, "sent": layers}
    assert outcome.bazel == ("query", "build", "build")


def test_a_login_is_asked_for_used_and_kept_nowhere(neighbour: Neighbour, tmp_path: Path) -> None:
    docker_config = tmp_path / "docker"
    docker_config.mkdir()
    with LocalRegistry(tmp_path / "registry", login=True) as registry:
        base = neighbour.base(registry)
        neighbour.add(registry.address, base.digest)
        failed(
            neighbour.build(docker_config=docker_config),
            f'cannot pull "debian_slim": cannot read {registry.address}/{neighbour.path}@{base.digest}\n  Why: ',
            f"(without a login)\n  What to do: Log in and run the same command again: docker login {registry.address}",
        )

        auth = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (docker_config / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
        succeeded(neighbour.build(docker_config=docker_config))
        failed(
            neighbour.build("--output_groups=blobs", docker_config=docker_config),
            "(without a login)",
            "    Where $DOCKER_CONFIG says which login counts, build with --action_env=DOCKER_CONFIG.",
        )
        options = ("--output_groups=blobs", "--action_env=DOCKER_CONFIG")
        succeeded(neighbour.build(*options, docker_config=docker_config))

        actions = neighbour.bazel(
            *("aquery", "--action_env=DOCKER_CONFIG", "--include_param_files"),
            "mnemonic(ImagePull, deps(@neighbour//:index))",
            docker_config=docker_config,
        )
    succeeded(actions)
    assert actions.stdout.count("Mnemonic: ImagePull") == len(neighbour.layers(base))
    output_base = Path(neighbour.bazel("info", "output_base").stdout.strip())
    written = [path for path in output_base.glob("external/*debian_slim*/**/*") if path.is_file()]
    assert any(path.name == "config.json" for path in written)
    for text in (actions.stdout, *(path.read_text() for path in written)):
        assert PASSWORD not in text
        assert auth not in text


def test_a_platform_that_the_base_lacks_is_named_with_what_to_change(
    neighbour: Neighbour, registry: LocalRegistry
) -> None:
    base = neighbour.base(registry, ["linux/amd64", "linux/s390x"])
    neighbour.add(registry.address, base.digest)
    failed(
        neighbour.build(),
        f'cannot pull "debian_slim": {registry.address}/{neighbour.path}@{base.digest} is not there for linux/arm64\n',
        "  Why: its index names no such platform; there is linux/amd64, linux/s390x\n",
        '  What to do: Change `platforms` of images.pull(name = "debian_slim"), or its `digest`',
    )


def test_a_platform_that_was_not_pulled_is_named_with_what_to_change(
    neighbour: Neighbour, registry: LocalRegistry
) -> None:
    base = neighbour.base(registry)
    neighbour.add(registry.address, base.digest, ["linux/amd64"])
    failed(
        neighbour.build(),
        'images.pull(name = "debian_slim") has linux/amd64 only. Build for one of these platforms, or name more in its',
    )


def test_a_platform_that_no_image_is_for_is_refused(neighbour: Neighbour) -> None:
    neighbour.add("localhost:5000", "sha256:" + "0" * 64, ["linux/amd64", "linux/s390x"])
    failed(
        neighbour.build(),
        'cannot pull "debian_slim" for linux/s390x\n  Why: images are made for linux/amd64 and linux/arm64\n',
        "  What to do: ",
    )


def test_two_pulls_of_one_name_are_an_error_that_names_both_modules(neighbour: Neighbour) -> None:
    neighbour.add("localhost:5000", "sha256:" + "0" * 64)
    neighbour.workspace.append("MODULE.bazel", SECOND_PULL)
    failed(
        neighbour.build(),
        'two base images are named "debian_slim"\n  Why: slipway and neighbour both call images.pull',
        "  What to do: ",
    )
