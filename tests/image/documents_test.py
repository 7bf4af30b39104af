"""The documents of an image: what they say, and that OCI's own rules hold."""

import json
from typing import Any

from tools.image.documents import Layer, Settings, config_document, describe, index_document, manifest_document
from tools.oci.manifest import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    ImageIndex,
    ImageManifest,
    Platform,
    parse_manifest,
)

LAYERS = [
    Layer(Descriptor(OCI_LAYER_GZIP, "sha256:" + digit * 64, 10), "sha256:" + digit * 63 + "0", f"layer {digit}")
    for digit in "ab"
]
AMD64 = Platform("linux", "amd64")


def config(settings: Settings, base: dict[str, Any] | None = None) -> Any:
    return json.loads(config_document(AMD64, LAYERS, settings, base or {}))


def test_a_config_names_its_platform_and_the_diff_ids_of_its_layers_in_order() -> None:
    document = config(Settings())
    assert (document["os"], document["architecture"]) == ("linux", "amd64")
    assert document["rootfs"] == {"type": "layers", "diff_ids": [layer.diff_id for layer in LAYERS]}
    assert [entry["created_by"] for entry in document["history"]] == ["layer a", "layer b"]


def test_what_an_image_leaves_open_is_its_bases() -> None:
    base = {
        "config": {"User": "nonroot", "Env": ["A=1", "B=2"], "Entrypoint": ["/x"], "Cmd": ["y"], "Labels": {"l": "1"}}
    }
    assert config(Settings(), base)["config"] == {
        "Cmd": ["y"],
        "Entrypoint": ["/x"],
        "Env": ["A=1", "B=2"],
        "Labels": {"l": "1"},
        "User": "nonroot",
    }


def test_what_an_image_says_is_put_over_its_base() -> None:
    base = {
        "config": {"User": "nonroot", "Env": ["A=1", "B=2"], "Entrypoint": ["/x"], "Cmd": ["y"], "Labels": {"l": "1"}}
    }
    settings = Settings(["/z"], [], ["B=a=b", "C=4"], ["k=2"], "0:0", "/work")
    assert config(settings, base)["config"] == {
        "Entrypoint": ["/z"],
        "Env": ["A=1", "B=a=b", "C=4"],
        "Labels": {"k": "2", "l": "1"},
        "User": "0:0",
        "WorkingDir": "/work",
    }


def test_a_manifest_points_to_its_config_and_layers() -> None:
    document = config_document(AMD64, LAYERS, Settings(), {})
    manifest = parse_manifest(manifest_document(document, LAYERS))
    assert isinstance(manifest, ImageManifest)
    assert manifest.media_type == OCI_MANIFEST
    assert manifest.blobs == (describe(document, OCI_CONFIG), *(layer.descriptor for layer in LAYERS))


def test_an_index_points_to_the_manifest_of_each_platform() -> None:
    images = [describe(b"{}", OCI_MANIFEST, Platform("linux", name)) for name in ("amd64", "arm64")]
    index = parse_manifest(index_document(images))
    assert isinstance(index, ImageIndex)
    assert index.media_type == OCI_INDEX
    assert [str(platform) for platform in index.platforms] == ["linux/amd64", "linux/arm64"]
    assert list(index.manifests) == images
