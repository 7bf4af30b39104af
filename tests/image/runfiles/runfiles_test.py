"""The layers of a program hold its whole runfiles tree, and each layer that can be the same on every platform is."""

import json
from pathlib import Path

import pytest

from tests.image.listing import listing
from tools.oci.manifest import ImageIndex, ImageManifest, parse_manifest

HERE = Path(__file__).parent
LAYOUT = HERE / "image.layout"
PLATFORMS = ["linux/amd64", "linux/arm64"]


def blob(digest: str) -> Path:
    return LAYOUT / "blobs" / digest.replace(":", "/")


def manifest(platform: str) -> ImageManifest:
    top = json.loads((LAYOUT / "index.json").read_text())["manifests"][0]["digest"]
    index = parse_manifest(blob(top).read_bytes())
    assert isinstance(index, ImageIndex)
    child = next(child for child in index.manifests if str(child.platform) == platform)
    image = parse_manifest(blob(child.digest).read_bytes())
    assert isinstance(image, ImageManifest)
    return image


def names(platform: str) -> list[str]:
    """What each layer is, bottom first."""
    config = json.loads(blob(manifest(platform).config.digest).read_bytes())
    return [entry["created_by"].rpartition(" ")[0] for entry in config["history"]]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_program_has_a_layer_for_each_wheel_and_one_for_itself(platform: str) -> None:
    assert names(platform) == ["wheel click", "wheel pyyaml", "app", "files of", "files of"]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(("layer", "golden"), [(2, "program.ndjson"), (3, "files.ndjson"), (4, "sources.ndjson")])
def test_the_content_of_a_layer_is_the_recorded_one(platform: str, layer: int, golden: str) -> None:
    with blob(manifest(platform).layers[layer].digest).open("rb") as content:
        found = listing(content)
    # The runfiles library is another repository's: its files are to be there, whatever version they are of.
    found = "".join(
        line for line in found.splitlines(keepends=True) if "rules_python" not in line and "__main__" not in line
    )
    assert found == (HERE / golden).read_text(encoding="utf-8"), (
        f"If the change is meant, write what the test found to tests/image/runfiles/{golden}."
    )


def test_a_library_of_another_repository_is_in_the_tree() -> None:
    with blob(manifest("linux/amd64").layers[2].digest).open("rb") as content:
        entries = [json.loads(line)["name"] for line in listing(content).splitlines()]
    assert [name for name in entries if "rules_python" in name and name.endswith("/python/runfiles/runfiles.py")]


def test_layers_without_programs_have_one_digest_on_every_platform() -> None:
    amd64, arm64 = (manifest(platform).layers for platform in PLATFORMS)
    same = [one.digest == other.digest for one, other in zip(amd64, arm64, strict=True)]
    assert list(zip(names("linux/amd64"), same, strict=True)) == [
        ("wheel click", True),
        ("wheel pyyaml", False),
        ("app", True),
        ("files of", True),
        ("files of", True),
    ]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_an_image_names_as_its_entrypoint_goes_before_that_of_its_layers(platform: str) -> None:
    config = json.loads(blob(manifest(platform).config.digest).read_bytes())
    assert config["config"]["Entrypoint"] == ["script.sh"]
