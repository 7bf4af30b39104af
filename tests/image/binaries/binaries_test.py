"""Layers of programs that are not Python's, and of what other rules make."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.image.listing import listing
from tools.oci.manifest import ImageIndex, ImageManifest, parse_manifest

HERE = Path(__file__).parent
PLATFORMS = ["linux/amd64", "linux/arm64"]

# Which layer is the image's own: programs stand on a base.
LAYERS = {"archived": 0, "dynamic": -1, "script": -1}


def blob(name: str, digest: str) -> Path:
    return HERE / f"{name}_image.layout" / "blobs" / digest.replace(":", "/")


def index(name: str) -> ImageIndex:
    top = json.loads((HERE / f"{name}_image.layout" / "index.json").read_text())["manifests"][0]["digest"]
    document = parse_manifest(blob(name, top).read_bytes())
    assert isinstance(document, ImageIndex)
    return document


def image(name: str, platform: str) -> ImageManifest:
    child = next(child for child in index(name).manifests if str(child.platform) == platform)
    manifest = parse_manifest(blob(name, child.digest).read_bytes())
    assert isinstance(manifest, ImageManifest)
    return manifest


def config(name: str, platform: str) -> Any:
    return json.loads(blob(name, image(name, platform).config.digest).read_bytes())["config"]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", LAYERS)
def test_the_content_of_a_layer_is_the_recorded_one(name: str, platform: str) -> None:
    layer = image(name, platform).layers[LAYERS[name]]
    with blob(name, layer.digest).open("rb") as content:
        entries = [json.loads(line) for line in listing(content).splitlines()]
    for entry in entries:
        # Bazel puts its names for the CPU and for the configuration into those of shared libraries.
        entry["name"] = re.sub(r"_solib_\w+/libST-[0-9a-f]+_", "_solib_…/libST-…_", entry["name"])
        if name == "dynamic":
            # What the machine's compiler makes is not for ever the same.
            entry.pop("sha256", None)
            entry.pop("size", None)
    found = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    assert found == (HERE / f"{name}.ndjson").read_text(encoding="utf-8"), (
        f"If the change is meant, write what the test found to tests/image/binaries/{name}.ndjson."
    )


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", ["dynamic", "script"])
def test_a_program_is_started_itself_and_told_where_its_runfiles_are(name: str, platform: str) -> None:
    found = config(name, platform)
    assert found["Entrypoint"] == [f"/app/_main/tests/image/binaries/{name}"]
    assert "RUNFILES_DIR=/app" in found["Env"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_image_says_all_that_its_attributes_say(platform: str) -> None:
    assert config("archived", platform) == {
        "Cmd": ["/d/words.txt"],
        "Entrypoint": ["/bin/cat"],
        "ExposedPorts": {"53/udp": {}},
        "Labels": {"org.example.kind": "files"},
        "StopSignal": "SIGINT",
        "User": "7:8",
        "WorkingDir": "/d",
    }
    assert image("archived", platform).annotations == {"org.opencontainers.image.title": "archived"}
    assert index("archived").annotations == {"org.example.index": "archived"}
