"""The six tests of the original flow, by their names, against a real registry."""

from pathlib import Path

import pytest

from release.action import tag_existing_image
from release.inspection import check_image_exists_in_registry
from release.plan import Way
from release.request import EngineName
from tests.release.house import COMMIT, House, hide_docker, install, real_docker
from tools.oci.manifest import OCI_INDEX


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real docker with its buildx plugin."""
    install(tmp_path / "bin", monkeypatch, "docker", f'exec {real_docker()} "$@"\n')


def test_check_image_exists_in_registry(house: House) -> None:
    reference = f"{house.repository}:{COMMIT}"
    assert check_image_exists_in_registry(reference) is False
    house.publish(house.maker.index(platforms=["linux/amd64"]), COMMIT)
    assert check_image_exists_in_registry(reference) is False
    house.publish(house.maker.index(), COMMIT)
    assert check_image_exists_in_registry(reference) is True


def test_tag_existing_image_success(house: House, docker: None) -> None:
    image = house.maker.index()
    house.publish(image, COMMIT)
    tag_existing_image(f"{house.repository}:{COMMIT}", [f"{house.repository}:v1.0.0", f"{house.repository}:latest"])
    assert house.tags() == dict.fromkeys((COMMIT, "v1.0.0", "latest"), image.digest)
    found = house.client.get_manifest(house.direct.tag("v1.0.0"))
    assert (found.media_type, found.content) == (OCI_INDEX, image.content)


def test_tag_existing_image_fallback(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without buildx, and without docker, the tags are written all the same, every platform kept."""
    image = house.maker.index()
    house.publish(image, COMMIT)
    install(tmp_path / "bin", monkeypatch, "docker", "echo \"docker: 'buildx' is not a docker command.\" >&2\nexit 1\n")
    tag_existing_image(f"{house.repository}:{COMMIT}", [f"{house.repository}:v1.0.0"])
    hide_docker(tmp_path / "empty", monkeypatch)
    tag_existing_image(f"{house.repository}:{COMMIT}", [f"{house.repository}:v1.0.1"])
    assert house.tags() == dict.fromkeys((COMMIT, "v1.0.0", "v1.0.1"), image.digest)


def test_tag_and_push_image_reuses_existing_commit_image(house: House, docker: None) -> None:
    house.publish(house.shelf.image, COMMIT)
    record = house.release("v1.0.0", engine=EngineName.IMAGETOOLS)
    assert house.lines == [
        f"✅ Found existing image for commit abc123d: {house.repository}:{COMMIT}",
        "Optimizing: Re-tagging existing image instead of rebuilding",
        "✅ Added provenance of commit abc123d",
        "✅ Tagged with v1.0.0",
        "✅ Tagged with latest",
        "Successfully tagged hello_python v1.0.0 from existing commit image",
    ]
    assert (record.way, record.engine) == (Way.RETAG, EngineName.IMAGETOOLS)
    assert (house.shelf.builds, record.push) == (0, None)
    assert house.tags() == dict.fromkeys((COMMIT, "v1.0.0", "latest"), house.shelf.image.digest)


def test_tag_and_push_image_builds_when_commit_image_missing(house: House) -> None:
    record = house.release("v1.0.0", engine=EngineName.IMAGETOOLS)
    assert house.lines == [
        "No existing image found for commit abc123d, will build",
        "Building OCI image index with platform transitions...",
        "✅ Built OCI image index containing 2 platform variants",
        "Pushing OCI image index with 3 tags...",
        "Uploaded 5 blobs, 0.0 MB; 0 were there already",
        "✅ Added provenance of commit abc123d",
        "Successfully pushed hello_python v1.0.0",
    ]
    assert (record.way, house.shelf.builds) == (Way.BUILD, 1)
    assert house.tags() == dict.fromkeys((COMMIT, "v1.0.0", "latest"), house.shelf.image.digest)


def test_tag_and_push_image_fallback_on_tagging_failure(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "bin", monkeypatch, "docker", "echo 'ERROR: unexpected status: 500' >&2\nexit 1\n")
    house.publish(house.shelf.image, COMMIT)
    record = house.release("v1.0.0", engine=EngineName.IMAGETOOLS)
    assert house.lines == [
        f"✅ Found existing image for commit abc123d: {house.repository}:{COMMIT}",
        "Optimizing: Re-tagging existing image instead of rebuilding",
        "✅ Added provenance of commit abc123d",
        "Failed to tag existing image, falling back to rebuild: unexpected status: 500 (exit status 1)",
        "Rebuilding image...",
        "✅ Built OCI image index containing 2 platform variants",
        "Pushing OCI image index with 3 tags...",
        "Successfully pushed hello_python v1.0.0 (after fallback)",
    ]
    assert (record.way, house.shelf.builds) == (Way.FALLBACK, 1)
    assert house.tags() == dict.fromkeys((COMMIT, "v1.0.0", "latest"), house.shelf.image.digest)
