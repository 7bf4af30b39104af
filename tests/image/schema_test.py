"""Every document of an image that the rules build is what its standard says: the OCI's, SPDX and CycloneDX."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import ValidationError

from tests.support.oci_schemas import check_document, check_index, check_layout_marker
from tests.support.sbom_validators import assert_valid_cyclonedx, valid_spdx
from tools.image.documents import (
    Layer,
    Settings,
    config_document,
    describe,
    index_document,
    manifest_document,
    run_parameters,
)
from tools.oci.manifest import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
    Platform,
    parse_manifest,
)

LAYOUT = Path(__file__).parents[2] / "apps" / "hello_python" / "hello_python_image.layout"
ARM64 = Platform("linux", "arm64")
LAYER = Layer(Descriptor(OCI_LAYER_ZSTD, "sha256:" + "a" * 64, 10), "sha256:" + "b" * 64, "a layer")
SETTINGS = {
    "entrypoint": ["/usr/bin/env", "größe"],
    "cmd": [""],
    "env": {"A": "1", "EMPTY": ""},
    "labels": {"org.example.label": "value"},
    "annotations": {"org.example.annotation": "value"},
    "exposed_ports": ["8080/tcp", "53/udp"],
    "user": "65532:65532",
    "workdir": "/work",
    "stop_signal": "SIGINT",
}


def blob(digest: str) -> bytes:
    return (LAYOUT / "blobs" / digest.replace(":", "/")).read_bytes()


@pytest.fixture
def index() -> Any:
    """The index of a real app, which the layout of the app names."""
    (top,) = json.loads((LAYOUT / "index.json").read_bytes())["manifests"]
    return json.loads(blob(top["digest"]))


def test_the_layout_of_an_app_and_every_document_in_it_are_valid() -> None:
    check_layout_marker((LAYOUT / "oci-layout").read_bytes())
    visited = check_index((LAYOUT / "index.json").read_bytes(), blob)
    assert visited == [OCI_INDEX, OCI_INDEX, *[OCI_MANIFEST, OCI_CONFIG] * 4]


def test_the_sboms_of_an_app_are_valid_and_name_what_is_in_it(index: Any) -> None:
    images = {child["digest"]: child["platform"]["architecture"] for child in index["manifests"][:2]}
    attested = {}
    for child in index["manifests"][2:]:
        spdx, cyclonedx = (json.loads(blob(layer["digest"])) for layer in json.loads(blob(child["digest"]))["layers"])
        subject = child["annotations"]["vnd.docker.reference.digest"]
        for statement in (spdx, cyclonedx):
            assert statement["subject"][0]["digest"] == {"sha256": subject.removeprefix("sha256:")}
        names = [package.name for package in valid_spdx(json.dumps(spdx["predicate"]).encode()).packages]
        assert_valid_cyclonedx(json.dumps(cyclonedx["predicate"]).encode())
        assert names[1:] == [part["name"] for part in cyclonedx["predicate"]["components"]]
        attested[images[subject]] = names
    assert attested.keys() == {"amd64", "arm64"}
    for architecture, names in attested.items():
        assert names[0] == f"image for linux/{architecture}"
        assert {"libc6", "click", "PyYAML", "app/_main/apps/hello_python/hello_python.py"} <= set(names)
        assert len(set(names)) == len(names)


def test_the_sboms_of_an_app_say_what_is_known_of_each_package(index: Any) -> None:
    statement = json.loads(blob(json.loads(blob(index["manifests"][2]["digest"]))["layers"][0]["digest"]))
    packages = {package["name"]: package for package in statement["predicate"]["packages"]}
    for name, beginning in {"libc6": "pkg:deb/debian/libc6@2.", "click": "pkg:pypi/click@8."}.items():
        assert packages[name]["externalRefs"][0]["referenceLocator"].startswith(beginning)
        assert len(packages[name]["checksums"][0]["checksumValue"]) == 64
    assert packages["libc6"]["sourceInfo"].startswith("built package from: glibc 2.")
    assert packages["click"]["licenseDeclared"] == "BSD-3-Clause"


def test_a_config_with_every_setting_is_valid() -> None:
    run = run_parameters([{"settings": SETTINGS}])
    assert set(SETTINGS) == set(Settings.__dataclass_fields__)
    assert set(run) == {"Cmd", "Entrypoint", "Env", "ExposedPorts", "Labels", "StopSignal", "User", "WorkingDir"}
    assert check_document(config_document(ARM64, [LAYER], run), OCI_CONFIG)["config"] == run


def test_an_annotated_manifest_and_an_annotated_index_are_valid() -> None:
    manifest = manifest_document(config_document(ARM64, [LAYER], {}), [LAYER], {"a": "b"})
    check_document(manifest, OCI_MANIFEST)
    index = index_document([describe(manifest, OCI_MANIFEST, ARM64)], {"a": "b"})
    check_document(index, OCI_INDEX)
    assert [dict(parse_manifest(document).annotations) for document in (manifest, index)] == [{"a": "b"}] * 2


@pytest.mark.parametrize(
    ("media_type", "change"),
    [
        (OCI_CONFIG, {"config": {"Env": "A=1"}}),
        (OCI_CONFIG, {"config": {"ExposedPorts": {"80/tcp": None}}}),
        (OCI_CONFIG, {"created": "yesterday"}),
        (OCI_CONFIG, {"rootfs": {"type": "layers"}}),
        (OCI_MANIFEST, {"layers": [{"mediaType": "a/b", "size": 1, "digest": "sha256"}]}),
        (OCI_MANIFEST, {"layers": [{"mediaType": "tar", "size": 1, "digest": "sha256:00"}]}),
        (OCI_MANIFEST, {"annotations": {"a": 1}}),
        (OCI_INDEX, {"manifests": [{"mediaType": "a/b", "size": "1", "digest": "sha256:00"}]}),
        (OCI_INDEX, {"schemaVersion": 1}),
    ],
)
def test_the_schemas_do_refuse_what_is_wrong(media_type: str, change: dict[str, Any]) -> None:
    config = config_document(ARM64, [LAYER], {})
    manifest = manifest_document(config, [LAYER], {})
    documents = {
        OCI_CONFIG: config,
        OCI_MANIFEST: manifest,
        OCI_INDEX: index_document([describe(manifest, OCI_MANIFEST, ARM64)], {}),
    }
    fields = check_document(documents[media_type], media_type)
    with pytest.raises(ValidationError):
        check_document(json.dumps({**fields, **change}).encode(), media_type)
