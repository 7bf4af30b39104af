"""`NAME_image_push`, against a real registry: the client and the write-once guard of a release, without its policy."""

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from click.testing import CliRunner, Result

from tests.support.fault_proxy import Answer, Fault, FaultProxy, Seen, error_answer
from tests.support.images import ImageMaker
from tests.support.registry import LocalRegistry
from tools.image.push import main
from tools.oci.client import RegistryClient
from tools.oci.manifest import ImageIndex, ImageManifest, parse_manifest
from tools.oci.publication import push_index


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    with LocalRegistry(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
def maker(tmp_path: Path) -> ImageMaker:
    return ImageMaker(tmp_path / "blobs")


def push(maker: ImageMaker, index: ImageIndex, registry: LocalRegistry | FaultProxy, *arguments: str) -> Result:
    # As among the runfiles of a built image_push: see tools/image/built.py.
    (maker.folder / "descriptor.json").write_text(json.dumps(index.descriptor.to_json()))
    (maker.folder / "blobs.json").write_text(json.dumps({digest: str(path) for digest, path in maker.paths.items()}))
    return CliRunner().invoke(
        main, ["--image", str(maker.folder), "--repository", f"{registry.address}/demo/hello", *arguments]
    )


def tags(registry: LocalRegistry) -> dict[str, str]:
    repository = registry.repository("demo/hello")
    with RegistryClient(registry.address) as client:
        return {tag: client.get_manifest(repository.tag(tag)).digest for tag in client.list_tags(repository)}


def test_all_tags_name_the_index_and_its_digest_is_printed(registry: LocalRegistry, maker: ImageMaker) -> None:
    index = maker.index()
    result = push(maker, index, registry, "--tag", "v1", "--tag", "v2")
    assert (result.exit_code, result.stdout) == (0, f"{index.digest}\n")
    assert tags(registry) == {"v1": index.digest, "v2": index.digest}


def test_without_a_tag_the_index_is_there_by_its_digest_only(registry: LocalRegistry, maker: ImageMaker) -> None:
    index = maker.index()
    assert push(maker, index, registry).exit_code == 0
    with RegistryClient(registry.address) as client:
        assert client.get_manifest(registry.repository("demo/hello").digest(index.digest)).content == index.content


def test_the_same_push_again_writes_nothing(registry: LocalRegistry, maker: ImageMaker) -> None:
    index = maker.index()
    push(maker, index, registry, "--tag", "v1")
    registry.forget_requests()
    result = push(maker, index, registry, "--tag", "v1")
    assert result.exit_code == 0
    assert "(already)" in result.stderr
    assert [request for request in registry.requests() if request.is_write] == []


def test_a_tag_that_names_another_digest_is_refused_before_anything_is_sent(
    registry: LocalRegistry, maker: ImageMaker
) -> None:
    first, second = maker.index("first"), maker.index("second")
    push(maker, first, registry, "--tag", "v1")
    registry.forget_requests()
    result = push(maker, second, registry, "--tag", "v2", "--tag", "v1")
    assert result.exit_code == 3
    assert first.digest in result.stderr
    assert second.digest in result.stderr
    assert [request for request in registry.requests() if request.is_write] == []
    assert tags(registry) == {"v1": first.digest}


def test_a_tag_moves_where_that_is_asked_for(registry: LocalRegistry, maker: ImageMaker) -> None:
    push(maker, maker.index("first"), registry, "--tag", "v1")
    second = maker.index("second")
    assert push(maker, second, registry, "--tag", "v1", "--allow-overwrite").exit_code == 0
    assert tags(registry) == {"v1": second.digest}


def test_a_registry_that_does_not_answer_is_an_error_of_its_own(registry: LocalRegistry, maker: ImageMaker) -> None:
    registry.stop()
    result = push(maker, maker.index(), registry, "--retry-for", "0", "--tag", "v1")
    assert result.exit_code == 4
    assert registry.address in result.stderr


@pytest.mark.parametrize("repository", ["", "hello", "localhost:5000/UPPER"])
def test_a_repository_that_is_none_is_a_usage_error(maker: ImageMaker, repository: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--layout", "x", "--repository", repository])
    assert result.exit_code == 2


@dataclass(frozen=True, slots=True)
class Based:
    """An image on a base, `base` in a registry, whose layers are no files of the build."""

    maker: ImageMaker
    index: ImageIndex
    layers: dict[str, int]

    def origins(self, repository: str) -> dict[str, Any]:
        """What the build says of these layers, in place of their files."""
        for digest in self.layers:
            del self.maker.paths[digest]
        return {
            digest: {"repository": repository, "size": size, "insecure": False} for digest, size in self.layers.items()
        }

    def push(self, to: LocalRegistry | FaultProxy, origins: Mapping[str, Any], *arguments: str) -> Result:
        (self.maker.folder / "origins.json").write_text(json.dumps(origins))
        return push(self.maker, self.index, to, *arguments)


@pytest.fixture
def based(registry: LocalRegistry, maker: ImageMaker) -> Based:
    index = maker.index()
    layers: dict[str, int] = {}
    with RegistryClient(registry.address) as client:
        push_index(client, registry.repository("base"), index.descriptor, maker.blobs)
    for child in index.manifests:
        image = parse_manifest(maker.paths[child.digest].read_bytes())
        assert isinstance(image, ImageManifest)
        layers |= {layer.digest: layer.size for layer in image.layers}
    registry.forget_requests()
    return Based(maker, index, layers)


def of_layers(requests: Iterable[Seen], based: Based) -> list[tuple[str, int]]:
    """What was asked about the base's layers, but for whether they are there: sorted."""
    paths = [(request, unquote(request.path)) for request in requests if request.method != "HEAD"]
    return sorted(
        (f"{request.method}{' mount' if 'mount=' in path else ''}", request.status)
        for request, path in paths
        if any(layer in path for layer in based.layers)
    )


def test_a_base_of_the_same_registry_is_mounted_and_no_byte_of_it_moves(registry: LocalRegistry, based: Based) -> None:
    with FaultProxy(registry.address) as proxy:
        result = based.push(proxy, based.origins(f"{proxy.address}/base"), "--tag", "v1")
        requests = proxy.requests()
    assert result.exit_code == 0, result.stderr
    assert "2 blobs sent" in result.stderr  # the configurations
    assert ", 3 mounted, 0 already there" in result.stderr
    assert of_layers(requests, based) == [("POST mount", 201)] * 3
    # Each blob is asked for, three are mounted, two sent.
    assert sum("/blobs/" in request.path for request in requests) == 5 + 3 + 2 * 2
    assert tags(registry) == {"v1": based.index.digest}


def test_a_layer_that_is_there_is_not_mounted(registry: LocalRegistry, based: Based) -> None:
    first = next(iter(based.layers))
    with RegistryClient(registry.address) as client:
        assert client.mount_blob(registry.repository("demo/hello"), first, registry.repository("base"))
    with FaultProxy(registry.address) as proxy:
        result = based.push(proxy, based.origins(f"{proxy.address}/base"))
        assert of_layers(proxy.requests(), based) == [("POST mount", 201)] * 2
    assert ", 2 mounted, 1 already there" in result.stderr


@pytest.mark.parametrize(
    "answer",
    [error_answer(400, "UNSUPPORTED"), error_answer(404, "NOT_FOUND"), error_answer(405, "UNSUPPORTED"), None],
    ids=["400", "404", "405", "breaks"],
)
def test_a_registry_that_mounts_nothing_is_sent_what_it_has_elsewhere(
    registry: LocalRegistry, based: Based, answer: Answer | None
) -> None:
    with FaultProxy(registry.address) as proxy:
        proxy.inject(Fault(path=".*mount=", times=0, answer=answer, reset_after=None if answer else 0))
        result = based.push(proxy, based.origins(f"{proxy.address}/base"), "--tag", "v1", "--retry-for", "1")
        asked = Counter(of_layers(proxy.requests(), based))
    assert result.exit_code == 0, result.stderr
    assert (asked["GET", 200], asked["PUT", 201]) == (3, 3)
    assert f"Fetching 3 layers of the base from {proxy.address}" in result.stderr
    assert "5 blobs sent" in result.stderr
    assert tags(registry) == {"v1": based.index.digest}


def test_a_base_that_its_registry_has_lost_is_an_error_and_no_tag(registry: LocalRegistry, based: Based) -> None:
    result = based.push(registry, based.origins(f"{registry.address}/elsewhere"), "--tag", "v1")
    assert result.exit_code == 1
    assert f"cannot fetch blob {registry.address}/elsewhere@" in result.stderr
    # The real registry's own no to a mount: it opens an upload.
    assert {request.status for request in registry.requests() if "mount=" in request.path} == {202}
    assert not any(request.method == "PUT" and "/manifests/" in request.path for request in registry.requests())


def test_each_registry_gets_its_own_login_and_hears_nothing_of_the_other(
    registry: LocalRegistry, based: Based, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        LocalRegistry(tmp_path / "target") as target_registry,
        FaultProxy(registry.address) as origin,
        FaultProxy(target_registry.address) as target,
    ):
        logins = {origin.address: "reader:of-bases", target.address: "writer:of-apps"}
        for proxy in (origin, target):
            user, _, password = logins[proxy.address].partition(":")
            proxy.require_token({user: password})
        auths = {address: {"auth": b64encode(login.encode()).decode()} for address, login in logins.items()}
        (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        result = based.push(target, based.origins(f"{origin.address}/base"))
        assert result.exit_code == 0, result.stderr
        assert of_layers(origin.requests(), based).count(("GET", 200)) == 3
        sent = {proxy: {seen.authorization for seen in proxy.requests()} - {""} for proxy in (origin, target)}
        paths = [seen.path for seen in target.requests()]
    assert f"Basic {auths[origin.address]['auth']}" in sent[origin]
    assert f"Basic {auths[target.address]['auth']}" in sent[target]
    assert not sent[origin] & sent[target]
    assert not any("mount=" in path or "base" in path for path in paths)


HOSTILE = [
    "",
    "base",
    "HOST",
    "HOST/",
    "HOST/../base",
    "HOST/base/../../v2/_catalog",
    "HOST/base?mount=x",
    "HOST/base&from=secret",
    "HOST/base\r\nX-Injected: yes",
    "HOST/%2e%2e/base",
    "https://HOST/base",
    "user:password@HOST/base",
    "HOST@evil.example/base",
    "HOST/base@sha256:" + "0" * 64,
]


@pytest.mark.parametrize("origin", HOSTILE)
def test_an_origin_that_is_no_repository_is_refused_before_anything_is_asked(
    registry: LocalRegistry, based: Based, origin: str
) -> None:
    result = based.push(registry, based.origins(origin.replace("HOST", registry.address)))
    assert result.exit_code == 1
    assert "cannot read where pulled layers come from" in result.stderr
    assert registry.requests() == []


@pytest.mark.parametrize("content", ["[]", "{", '{"x": {}}', '{"../../x": 1}'])
def test_origins_that_are_none_are_refused(registry: LocalRegistry, based: Based, content: str) -> None:
    (based.maker.folder / "origins.json").write_text(content)
    result = push(based.maker, based.index, registry)
    assert result.exit_code == 1
    assert "cannot read where pulled layers come from" in result.stderr
