"""Base images out of a real registry: what is fetched of them, and when they are refused."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packageurl import PackageURL

from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.images import ImageMaker
from tests.support.registry import PASSWORD, USER, LocalRegistry
from tools.image import pull, pull_layer
from tools.image.purl import oci_purl
from tools.oci.client import RegistryClient
from tools.oci.credentials import Credential
from tools.oci.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    Descriptor,
    ImageIndex,
    Platform,
)
from tools.oci.publication import push_index

PATH = "base/debian"
AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
DOCKER_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

Change = Callable[[dict[str, Any]], object]


class Login:
    """The one that the registry asks for."""

    def find(self, registry: str) -> Credential:
        return Credential(USER, PASSWORD)


class Base:
    """Images made in a folder and pushed to a registry under one path."""

    def __init__(self, registry: LocalRegistry, folder: Path) -> None:
        self.registry = registry
        self.maker = ImageMaker(folder)

    def push(self, top: Descriptor) -> str:
        """The digest of an index or manifest that is in the registry."""
        with RegistryClient(self.registry.address, credentials=Login()) as client:
            push_index(client, self.registry.repository(PATH), top, self.maker.blobs)
        self.registry.forget_requests()
        return top.digest

    def changed(self, document: Descriptor, change: Change) -> Descriptor:
        """The same document with other fields."""
        fields = self.read(document)
        change(fields)
        blob = self.maker.blob(json.dumps(fields).encode(), fields.get("mediaType", document.media_type))
        return replace(blob, platform=document.platform)

    def image(self, *, config: Change = lambda _: None, manifest: Change = lambda _: None) -> Descriptor:
        """The manifest of an image for linux/amd64 of two layers, changed before it is pushed."""
        made = self.maker.image(AMD64, ["one", "two"])

        def change(fields: dict[str, Any]) -> None:
            described = Descriptor.from_json(fields["config"])
            fields["config"] = self.changed(described, config).to_json()
            manifest(fields)

        return self.changed(made, change)

    def index(self, *children: Descriptor, media_type: str = OCI_INDEX) -> Descriptor:
        manifests = [child.to_json() for child in children]
        return self.maker.document({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests})

    def read(self, document: Descriptor) -> dict[str, Any]:
        return dict(json.loads(self.maker.blobs.read(document.digest)))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    with LocalRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def base(registry: LocalRegistry, tmp_path: Path) -> Base:
    registry.forget_requests()
    return Base(registry, tmp_path / "blobs")


@pytest.fixture(autouse=True)
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Docker configuration folder: what the machine is logged in to does not matter."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder


@pytest.fixture
def fetch(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs the program of the repository rule; returns its answer, or else what it said."""

    def run(address: str, digest: str, *platforms: str) -> Any:
        wanted = [f"--platform={platform}" for platform in platforms or ("linux/amd64", "linux/arm64")]
        repository = f"--repository={address}/{PATH}"
        folder = tmp_path / "repository"
        status = pull.main(["--name=debian_slim", repository, f"--digest={digest}", *wanted, str(folder)])
        said = capfd.readouterr()
        return json.loads(said.out) if status == 0 else said.err

    return run


def layers(image: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """What is known of an image's layers."""
    return [json.loads((folder / layer["metadata"]).read_bytes()) for layer in image["layers"]]


# Documents


def test_each_platform_of_an_index_is_described_without_fetching_a_layer(
    registry: LocalRegistry, base: Base, fetch: Callable[..., Any], tmp_path: Path
) -> None:
    index = base.maker.index(attested=True)
    base.push(index.descriptor)
    amd64, arm64 = fetch(registry.address, index.digest)

    requests = [(request.method, request.path.split("/")[-2]) for request in registry.requests()]
    assert requests == [("GET", "manifests")] * 3 + [("GET", "blobs")] * 2
    assert [amd64["platform"], arm64["platform"]] == ["linux/amd64", "linux/arm64"]
    folder = tmp_path / "repository"
    name = f"{registry.address}/{PATH}"
    entry = {
        "type": "oci",
        "name": PATH,
        "version": index.digest,
        "purl": oci_purl(name, index.digest),
        "sha256": index.digest.removeprefix("sha256:"),
        "license": None,
    }
    for image, child in zip((amd64, arm64), index.manifests, strict=False):
        manifest = base.read(child)
        config = base.maker.blobs.read(manifest["config"]["digest"])
        assert (folder / image["config"]).read_bytes() == config
        shared, own = layers(image, folder)
        assert shared == {
            "mediaType": OCI_LAYER_GZIP,
            "digest": manifest["layers"][0]["digest"],
            "size": manifest["layers"][0]["size"],
            "diffID": json.loads(config)["rootfs"]["diff_ids"][0],
            "createdBy": f"{name}@{index.digest}",
            "machine": None,
            "packages": [entry],
            "origin": name,
        }
        assert own["digest"] == manifest["layers"][1]["digest"]
        assert own["machine"] == image["platform"].removeprefix("linux/")
        assert own["packages"] == []


def test_the_package_url_is_one(registry: LocalRegistry, base: Base, fetch: Callable[..., Any], tmp_path: Path) -> None:
    index = base.maker.index()
    base.push(index.descriptor)
    fetch(registry.address, index.digest)
    text = json.loads((tmp_path / "repository/linux_amd64/layer_0.json").read_bytes())["packages"][0]["purl"]
    parsed = PackageURL.from_string(text)
    assert (parsed.type, parsed.name, parsed.version) == ("oci", "debian", index.digest)
    assert parsed.qualifiers == {"repository_url": f"{registry.address}/{PATH}"}


def test_only_the_platforms_that_are_wanted_are_asked_for(
    registry: LocalRegistry, base: Base, fetch: Callable[..., Any]
) -> None:
    index = base.maker.index(platforms=("linux/amd64", "linux/arm64/v8", "linux/s390x"))
    base.push(index.descriptor)
    (image,) = fetch(registry.address, index.digest, "linux/arm64")
    assert image["platform"] == "linux/arm64"
    assert len(registry.requests()) == 3


def test_one_platform_can_be_named_by_its_manifest(
    registry: LocalRegistry, base: Base, fetch: Callable[..., Any]
) -> None:
    digest = base.push(base.image())
    (image,) = fetch(registry.address, digest, "linux/amd64")
    assert image["platform"] == "linux/amd64"
    assert len(registry.requests()) == 2


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (DOCKER_LAYER, OCI_LAYER_GZIP),
        ("application/vnd.docker.image.rootfs.diff.tar", OCI_LAYER),
        ("application/vnd.docker.image.rootfs.diff.tar.zstd", OCI_LAYER_ZSTD),
        (OCI_LAYER_ZSTD, OCI_LAYER_ZSTD),
    ],
)
def test_docker_s_types_become_the_oci_s_and_digests_stay(
    registry: LocalRegistry, base: Base, fetch: Callable[..., Any], tmp_path: Path, theirs: str, ours: str
) -> None:
    def dockerize(fields: dict[str, Any]) -> None:
        fields["mediaType"] = DOCKER_MANIFEST
        fields["config"]["mediaType"] = DOCKER_CONFIG_TYPE
        for layer in fields["layers"]:
            layer["mediaType"] = theirs

    manifest = replace(base.image(manifest=dockerize), platform=AMD64)
    digest = base.push(base.index(manifest, media_type=DOCKER_LIST))
    (image,) = fetch(registry.address, digest, "linux/amd64")
    described = layers(image, tmp_path / "repository")
    assert [layer["mediaType"] for layer in described] == [ours, ours]
    assert [layer["digest"] for layer in described] == [layer["digest"] for layer in base.read(manifest)["layers"]]


@pytest.mark.parametrize(
    ("history", "texts"),
    [
        ([{"created_by": "ADD"}, {"created_by": "ENV", "empty_layer": True}, {"created_by": "RUN"}], ["ADD", "RUN"]),
        ([{"created_by": "ADD"}, {}], ["ADD", None]),
        ([{"created_by": "ADD"}], [None, None]),
        (None, [None, None]),
    ],
)
def test_a_layer_s_history_is_kept_where_there_is_one(
    registry: LocalRegistry, base: Base, fetch: Callable[..., Any], tmp_path: Path, history: object, texts: list[str]
) -> None:
    digest = base.push(base.image(config=lambda fields: fields.update(history=history)))
    (image,) = fetch(registry.address, digest, "linux/amd64")
    origin = f"{registry.address}/{PATH}@{digest}"
    found = [layer["createdBy"] for layer in layers(image, tmp_path / "repository")]
    assert found == [text or origin for text in texts]


def test_a_layer_may_be_there_twice(registry: LocalRegistry, base: Base, fetch: Callable[..., Any]) -> None:
    def repeat(key: str) -> Change:
        return lambda fields: fields[key].append(fields[key][0])

    digest = base.push(
        base.image(config=lambda fields: repeat("diff_ids")(fields["rootfs"]), manifest=repeat("layers"))
    )
    (image,) = fetch(registry.address, digest, "linux/amd64")
    one, two, again = [layer["digest"] for layer in image["layers"]]
    assert one == again != two


# What is refused


def refused(said: str, what: str, why: str, remedy: str) -> None:
    """The three parts of an error."""
    parts = re.fullmatch(r"(.*)\n  Why: (.*)\n  What to do: (.*)\n", said)
    assert parts, said
    assert what in parts[1]
    assert why in parts[2]
    assert remedy in parts[3]


def test_a_platform_that_is_not_there_is_named_with_those_that_are(
    registry: LocalRegistry, base: Base, fetch: Callable[..., Any]
) -> None:
    index = base.maker.index(platforms=("linux/amd64", "linux/s390x"), attested=True)
    base.push(index.descriptor)
    refused(
        fetch(registry.address, index.digest),
        f'cannot pull "debian_slim": {registry.address}/{PATH}@{index.digest} is not there for linux/arm64',
        "there is linux/amd64, linux/s390x",
        '`platforms` of images.pull(name = "debian_slim"), or its `digest` to that of an index that has linux/arm64',
    )


def test_a_single_manifest_has_one_platform(registry: LocalRegistry, base: Base, fetch: Callable[..., Any]) -> None:
    digest = base.push(base.image())
    said = fetch(registry.address, digest)
    refused(said, "is not there for linux/arm64", "the manifest of one image; there is linux/amd64", "`platforms`")
    said = fetch(registry.address, digest, "linux/arm64")
    refused(said, "is not there for linux/arm64", "the manifest of one image; there is linux/amd64", "`platforms`")


@pytest.mark.parametrize(
    ("config", "manifest", "why"),
    [
        (lambda fields: fields["rootfs"]["diff_ids"].pop(), None, "2 layers, and its configuration names 1"),
        (lambda fields: fields["rootfs"].update(diff_ids=["one", "two"]), None, "not one of a container image"),
        (lambda fields: fields["rootfs"].update(diff_ids=None), None, "not one of a container image"),
        (lambda fields: fields.pop("rootfs"), None, "not one of a container image"),
        (lambda fields: fields.pop("os"), None, "not one of a container image"),
        (lambda fields: fields.update(architecture=["amd64"]), None, "not one of a container image"),
        (lambda fields: fields.update(history=5), None, "not one of a container image"),
        (lambda fields: fields.update(history=[{"created_by": "\ud800"}] * 2), None, "not one of a container image"),
        (lambda fields: fields.update(padding="x" * 5_000_000), None, "and 4194304 are allowed"),
        (None, lambda fields: fields["config"].update(mediaType="application/vnd.cncf.helm.config.v1+json"), "helm"),
        (
            None,
            lambda fields: fields["layers"][1].update(
                mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
            ),
            "foreign.diff.tar.gzip, which no registry can be given",
        ),
    ],
)
def test_what_is_no_usable_image_is_refused(
    registry: LocalRegistry,
    base: Base,
    fetch: Callable[..., Any],
    config: Change | None,
    manifest: Change | None,
    why: str,
) -> None:
    nothing: Change = lambda _: None  # noqa: E731 - one of the changes
    digest = base.push(base.image(config=config or nothing, manifest=manifest or nothing))
    said = fetch(registry.address, digest, "linux/amd64")
    refused(said, f"{registry.address}/{PATH}@{digest}", why, 'images.pull(name = "debian_slim")')


def test_an_index_that_is_wrong_about_a_platform_is_refused(
    registry: LocalRegistry, base: Base, fetch: Callable[..., Any]
) -> None:
    lie = replace(base.image(), platform=ARM64)
    digest = base.push(base.index(lie))
    said = fetch(registry.address, digest, "linux/arm64")
    refused(said, digest, "for linux/arm64 says that it is for linux/amd64", "`digest`")


def test_a_digest_that_nobody_has_is_not_found(registry: LocalRegistry, fetch: Callable[..., Any]) -> None:
    nowhere = "sha256:" + "0" * 64
    said = fetch(registry.address, nowhere)
    refused(
        said, f'cannot pull "debian_slim": cannot read {registry.address}/{PATH}@{nowhere}', "404", "Check the name"
    )


@pytest.mark.parametrize("digest", ["", "latest", "sha256:123"])
def test_a_digest_that_is_none_is_refused(
    registry: LocalRegistry, base: Base, fetch: Callable[..., Any], digest: str
) -> None:
    refused(fetch(registry.address, digest), 'cannot pull "debian_slim"', "is not a digest", "DIGEST")
    assert registry.requests() == []


@pytest.mark.parametrize("document", ["manifests", "blobs"])
def test_documents_of_another_digest_are_refused(
    registry: LocalRegistry, base: Base, fetch: Callable[..., Any], document: str
) -> None:
    index = base.maker.index()
    base.push(index.descriptor)
    with FaultProxy(registry.address) as proxy:
        proxy.inject(
            Fault(path=document, times=0, change=lambda answer: replace(answer, body=answer.body.replace(b"2", b"3")))
        )
        said = fetch(proxy.address, index.digest)
    refused(said, f"{proxy.address}/{PATH}@sha256:", "does not answer like a registry", "Check that")


def test_nobody_listening_is_said(fetch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(*arguments: Any, **options: Any) -> RegistryClient:
        return RegistryClient(*arguments, **options, retry_for=0)

    monkeypatch.setattr(pull, "RegistryClient", impatient)
    said = fetch("127.0.0.1:1", "sha256:" + "0" * 64)
    refused(said, 'cannot pull "debian_slim"', "no answer from 127.0.0.1:1 (Connection refused)", "is reachable")


# The machine's own Python


def test_it_needs_nothing_but_the_standard_library(registry: LocalRegistry, base: Base, tmp_path: Path) -> None:
    index = base.maker.index()
    base.push(index.descriptor)
    program = Path(pull.__file__).resolve()
    said = subprocess.run(
        [
            *(sys.executable, "-P", "-S", "-B", str(program), "--name=debian", f"--digest={index.digest}"),
            *(f"--repository={registry.address}/{PATH}", "--platform=linux/arm64", str(tmp_path / "repository")),
        ],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(program.parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)[0]["platform"] == "linux/arm64"


# Layers


def fetch_layer(address: str, layer: Descriptor, out: Path) -> int:
    """Runs the program of the action."""
    return pull_layer.main(
        [f"--repository={address}/{PATH}", f"--digest={layer.digest}", f"--size={layer.size}", f"--out={out}"]
    )


def first_layer(index: ImageIndex, base: Base) -> Descriptor:
    return Descriptor.from_json(base.read(index.manifests[0])["layers"][0])


def test_a_layer_is_fetched_by_one_request(registry: LocalRegistry, base: Base, tmp_path: Path) -> None:
    index = base.maker.index()
    base.push(index.descriptor)
    layer = first_layer(index, base)
    assert fetch_layer(registry.address, layer, tmp_path / "out") == 0
    assert (tmp_path / "out").read_bytes() == base.maker.blobs.read(layer.digest)
    assert [(request.method, request.path) for request in registry.requests()] == [
        ("GET", f"/v2/{PATH}/blobs/{layer.digest}")
    ]


def test_a_layer_that_arrives_damaged_is_refused(
    registry: LocalRegistry, base: Base, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    index = base.maker.index()
    base.push(index.descriptor)
    layer = first_layer(index, base)
    with FaultProxy(registry.address) as proxy:
        proxy.inject(Fault(change=lambda answer: replace(answer, body=bytes(len(answer.body)))))
        assert fetch_layer(proxy.address, layer, tmp_path / "out") == 1
    said = capfd.readouterr().err
    refused(said, f"cannot fetch blob {proxy.address}/{PATH}@{layer.digest}", "its content is sha256:", "Check that")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Base]:
    """Images in a registry that wants a login."""
    with LocalRegistry(tmp_path / "guarded", login=True) as registry:
        yield Base(registry, tmp_path / "guarded_blobs")


def test_a_registry_that_wants_a_login_gets_the_one_that_docker_has(
    guarded: Base, fetch: Callable[..., Any], no_login: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    index = guarded.maker.index()
    guarded.push(index.descriptor)
    address = guarded.registry.address
    layer = first_layer(index, guarded)

    refused(fetch(address, index.digest), 'cannot pull "debian_slim"', "(without a login)", f"docker login {address}")
    assert fetch_layer(address, layer, tmp_path / "out") == 1
    said, _, hint = capfd.readouterr().err.partition("    Where $DOCKER_CONFIG says")
    refused(said, layer.digest, "(without a login)", f"docker login {address}")
    assert "--action_env=DOCKER_CONFIG" in hint

    login = {"username": USER, "password": PASSWORD}
    (no_login / "config.json").write_text(json.dumps({"auths": {address: login}}))
    assert len(fetch(address, index.digest)) == 2
    assert fetch_layer(address, layer, tmp_path / "out") == 0
    written = [path.read_bytes() for path in (tmp_path / "repository").rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in content for content in written)


def test_a_registry_with_tokens_gives_them_to_anybody(
    registry: LocalRegistry, base: Base, fetch: Callable[..., Any], tmp_path: Path
) -> None:
    index = base.maker.index()
    base.push(index.descriptor)
    with FaultProxy(registry.address) as proxy:
        proxy.require_token()
        assert len(fetch(proxy.address, index.digest)) == 2
        # One question without a token, one for a token, and the five documents.
        assert len(proxy.requests()) == 7
        assert fetch_layer(proxy.address, first_layer(index, base), tmp_path / "out") == 0


# What the process had at most (proc_pid_status(5)); ru_maxrss would count the test that starts it.
PEAK = """
import re, sys
from pathlib import Path
from tools.image import pull_layer
status = pull_layer.main(sys.argv[1:])
print(re.search("VmHWM:[ \\t]*([0-9]+) kB", Path("/proc/self/status").read_text())[1])
sys.exit(status)
"""


def test_a_layer_is_streamed_whatever_its_size(registry: LocalRegistry, base: Base, tmp_path: Path) -> None:
    size = 200 << 20
    layer = base.maker.blob(b"\0" * size, OCI_LAYER)
    with RegistryClient(registry.address) as client:
        client.upload_blob(registry.repository(PATH), layer, lambda: base.maker.blobs.open(layer.digest))
    said = subprocess.run(
        [
            *(sys.executable, "-c", PEAK, f"--repository={registry.address}/{PATH}"),
            *(f"--digest={layer.digest}", f"--size={size}", f"--out={tmp_path / 'out'}"),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "out").stat().st_size == size
    assert int(said.stdout) < 64 << 10  # KiB
