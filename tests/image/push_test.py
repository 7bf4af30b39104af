"""`NAME_image_push`, against a real registry: the client and the write-once guard of a release, without its policy."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support.images import ImageMaker
from tests.support.registry import LocalRegistry
from tools.image.push import main
from tools.oci.client import RegistryClient
from tools.oci.manifest import ImageIndex


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    with LocalRegistry(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
def maker(tmp_path: Path) -> ImageMaker:
    return ImageMaker(tmp_path / "blobs")


def push(maker: ImageMaker, index: ImageIndex, registry: LocalRegistry, *arguments: str) -> Result:
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
