"""The image of hello_python as it is built: one digest for ever, and on each platform that platform's programs."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.image.layer import ELF_MACHINES
from tools.oci.manifest import OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, ImageIndex, ImageManifest, parse_manifest

HERE = Path(__file__).parent
APP = Path("apps/hello_python")
LAYOUT = APP / "hello_python_image.layout"
PLATFORMS = ["linux/amd64", "linux/arm64"]


def blob(digest: str) -> Path:
    return LAYOUT / "blobs" / digest.replace(":", "/")


def descriptor() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((APP / "hello_python_image.descriptor.json").read_text())
    return found


def index() -> ImageIndex:
    document = parse_manifest(blob(descriptor()["digest"]).read_bytes())
    assert isinstance(document, ImageIndex)
    return document


def image(platform: str) -> ImageManifest:
    child = next(child for child in index().manifests if str(child.platform) == platform)
    document = parse_manifest(blob(child.digest).read_bytes())
    assert isinstance(document, ImageManifest)
    return document


def programs(platform: str) -> Iterator[tuple[str, bytes]]:
    """Name and header of every ELF file in an image."""
    for layer in image(platform).layers:
        with tarfile.open(blob(layer.digest), mode="r:gz") as archive:
            for member in archive:
                if member.isreg() and (content := archive.extractfile(member)) is not None:
                    header = content.read(20)
                    if header.startswith(b"\x7fELF"):
                        yield member.name, header


def test_the_index_has_the_recorded_digest() -> None:
    golden = HERE / "hello_python.digest"
    assert descriptor()["digest"] == golden.read_text().strip(), (
        "The image of hello_python changed. If that was meant (another lock, launcher, layer format or compressor), "
        "write the new digest to tests/apps/hello_python.digest and say in the commit why it changed. "
        "If not, something that is no content has come into the image."
    )


def test_the_index_has_exactly_the_two_platforms_and_oci_media_types() -> None:
    assert descriptor()["mediaType"] == index().media_type == OCI_INDEX
    assert [str(platform) for platform in index().platforms] == PLATFORMS
    for platform in PLATFORMS:
        assert image(platform).media_type == OCI_MANIFEST
        assert {layer.media_type for layer in image(platform).layers} == {OCI_LAYER_GZIP}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_program_of_a_platform_is_for_that_platform(platform: str) -> None:
    machines = {name: int.from_bytes(header[18:20], "little") for name, header in programs(platform)}
    assert set(machines.values()) == {ELF_MACHINES[platform.removeprefix("linux/")]}
    assert [name for name in machines if name.startswith("opt/wheels/pyyaml/")], "the native wheel is not in the image"
    assert "usr/bin/python3.13" in machines


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_image_runs_as_a_user_without_rights(platform: str) -> None:
    config = json.loads(blob(image(platform).config.digest).read_bytes())
    assert (config["os"], config["architecture"]) == tuple(platform.split("/"))
    assert config["config"]["User"] == "65532:65532"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_nothing_in_the_documents_names_a_time_but_the_epoch(platform: str) -> None:
    config = json.loads(blob(image(platform).config.digest).read_bytes())
    assert {config["created"], *(entry["created"] for entry in config["history"])} == {"1970-01-01T00:00:00Z"}


def test_the_platforms_share_every_layer_that_holds_no_program() -> None:
    amd64, arm64 = ([layer.digest for layer in image(platform).layers] for platform in PLATFORMS)
    assert [one == other for one, other in zip(amd64, arm64, strict=True)] == [False, True, False, True]


def test_the_metadata_name_the_app_and_its_image() -> None:
    metadata = json.loads((APP / "hello_python_metadata.json").read_text())
    assert metadata | {"binary": "", "image": ""} == {
        "app": "hello_python",
        "binary": "",
        "description": "Greets, and says what it runs on",
        "domain": "demo",
        "image": "",
        "language": "python",
        "platforms": PLATFORMS,
        "repository": "demo-hello_python",
    }
    assert metadata["image"].endswith("//apps/hello_python:hello_python_image")
