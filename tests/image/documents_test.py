"""The documents of an image: what they say, and that OCI's own rules hold."""

import json
from typing import Any

from tools.image.documents import (
    Layer,
    config_document,
    describe,
    index_document,
    manifest_document,
    run_parameters,
)
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


BASE = {
    "User": "nonroot",
    "Env": ["A=1", "B=2"],
    "Entrypoint": ["/x"],
    "Cmd": ["y"],
    "Labels": {"l": "1"},
    "ExposedPorts": {"80/tcp": {}},
    "StopSignal": "SIGTERM",
}


def config(*settings: dict[str, Any]) -> Any:
    """The `config` of an image of these settings on a pulled base."""
    return run_parameters([{"config": BASE, "rootfs": {}}, *({"settings": each} for each in settings)])


def test_a_config_names_its_platform_and_the_diff_ids_of_its_layers_in_order() -> None:
    document = json.loads(config_document(AMD64, LAYERS, {}))
    assert (document["os"], document["architecture"]) == ("linux", "amd64")
    assert document["rootfs"] == {"type": "layers", "diff_ids": [layer.diff_id for layer in LAYERS]}
    assert [entry["created_by"] for entry in document["history"]] == ["layer a", "layer b"]


def test_what_an_image_leaves_open_is_its_bases() -> None:
    assert config({}) == BASE
    assert list(config({})) == sorted(BASE)


def test_what_an_image_says_is_put_over_its_base() -> None:
    settings = {
        "entrypoint": ["/z"],
        "env": {"B": "a=b", "C": "4"},
        "labels": {"k": "2"},
        "exposed_ports": ["8080", "53/udp"],
        "user": "0:0",
        "workdir": "/work",
        "stop_signal": "SIGINT",
    }
    assert config(settings) == {
        "Entrypoint": ["/z"],
        "Env": ["A=1", "B=a=b", "C=4"],
        "ExposedPorts": {"53/udp": {}, "80/tcp": {}, "8080/tcp": {}},
        "Labels": {"k": "2", "l": "1"},
        "StopSignal": "SIGINT",
        "User": "0:0",
        "WorkingDir": "/work",
    }


def test_the_top_of_a_stack_of_images_decides() -> None:
    stacked = config({"user": "1", "env": {"A": "lower"}}, {"user": "2", "cmd": ["z"]})
    assert (stacked["User"], stacked["Cmd"], stacked["Env"]) == ("2", ["z"], ["A=lower", "B=2"])


def test_an_image_from_scratch_says_only_what_was_said() -> None:
    assert run_parameters([{"settings": {"entrypoint": ["/program"]}}]) == {"Entrypoint": ["/program"]}


def test_a_manifest_points_to_its_config_and_layers() -> None:
    document = config_document(AMD64, LAYERS, {})
    manifest = parse_manifest(manifest_document(document, LAYERS, {"a": "b"}))
    assert isinstance(manifest, ImageManifest)
    assert manifest.media_type == OCI_MANIFEST
    assert manifest.annotations == {"a": "b"}
    assert manifest.blobs == (describe(document, OCI_CONFIG), *(layer.descriptor for layer in LAYERS))


def test_an_index_points_to_the_manifest_of_each_platform() -> None:
    images = [describe(b"{}", OCI_MANIFEST, Platform("linux", name)) for name in ("amd64", "arm64")]
    index = parse_manifest(index_document(images, {"a": "b"}))
    assert isinstance(index, ImageIndex)
    assert index.media_type == OCI_INDEX
    assert [str(platform) for platform in index.platforms] == ["linux/amd64", "linux/arm64"]
    assert list(index.manifests) == images
    assert index.annotations == {"a": "b"}
