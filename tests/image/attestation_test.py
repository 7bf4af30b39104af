"""SBOMs in an index, as BuildKit stores them: buildx shows them, and a copy or another tag keeps them."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.image.small_image import ARM64, CLICK, LIBC, file
from tests.support.images import ImageMaker
from tests.support.oci_schemas import check_index
from tests.support.registry import LocalRegistry
from tests.support.sbom_validators import assert_valid_cyclonedx, valid_spdx
from tests.support.tools import docker_with_buildx, tool
from tools.image.attestation import Attestation, LayerRecord, attest
from tools.oci.client import RegistryClient
from tools.oci.digest import digest_of
from tools.oci.manifest import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImageIndex,
    ImageManifest,
    Platform,
    parse_manifest,
)
from tools.oci.publication import push_index

IMAGE = Descriptor(OCI_MANIFEST, "sha256:" + "a" * 64, 100, ARM64)
LAYERS = [
    LayerRecord({"packages": [LIBC, CLICK]}, [file("usr/lib/libc.so.6")]),
    LayerRecord({"packages": [CLICK]}),
    LayerRecord({"packages": []}, [file("app/main.py")]),
    LayerRecord({"packages": []}, None),
]


@pytest.fixture
def maker(tmp_path: Path) -> ImageMaker:
    return ImageMaker(tmp_path / "blobs")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    with LocalRegistry(tmp_path / "registry") as registry:
        yield registry


def write(maker: ImageMaker, attestation: Attestation) -> Descriptor:
    """Puts the documents of an attestation among the maker's blobs; returns its entry of the index."""
    for content in (attestation.config, *attestation.statements, attestation.manifest):
        maker.blob(content)
    return attestation.descriptor


def attested_index(maker: ImageMaker) -> ImageIndex:
    """An index of two platforms, each with a package of its own beside those of LAYERS."""
    images = [maker.image(Platform("linux", name), [f"content for {name}"]) for name in ("amd64", "arm64")]
    attestations = []
    for image in images:
        assert image.platform is not None
        own = {**LIBC, "name": f"only-on-{image.platform.architecture}"}
        attestations.append(write(maker, attest(image, image.platform, [*LAYERS, LayerRecord({"packages": [own]})])))
    children = [child.to_json() for child in (*images, *attestations)]
    top = maker.document({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children})
    index = parse_manifest(maker.paths[top.digest].read_bytes())
    assert isinstance(index, ImageIndex)
    return index


def published(maker: ImageMaker, registry: LocalRegistry, *tags: str) -> ImageIndex:
    """An attested index that lies in the registry, as demo/hello."""
    index = attested_index(maker)
    repository = registry.repository("demo/hello")
    with RegistryClient(registry.address) as client:
        push_index(client, repository, index.descriptor, maker.blobs)
        for tag in tags:
            client.put_manifest(repository.tag(tag), index.content, index.media_type)
    return index


def imagetools(*arguments: str) -> str:
    command = [*docker_with_buildx(), "buildx", "imagetools", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def shown(reference: str) -> dict[str, Any]:
    """What buildx says of the SBOMs of an image: platform -> SPDX document."""
    sboms = json.loads(imagetools("inspect", "--format", "{{json .SBOM}}", reference))
    return {platform: sbom["SPDX"] for platform, sbom in sboms.items()}


def test_the_manifest_leads_to_both_documents_as_statements_about_the_image() -> None:
    attestation = attest(IMAGE, ARM64, LAYERS)
    manifest = parse_manifest(attestation.manifest)
    assert isinstance(manifest, ImageManifest)
    assert manifest.config == Descriptor(OCI_CONFIG, digest_of(attestation.config), len(attestation.config))
    predicates = {"https://spdx.dev/Document": attestation.spdx, "https://cyclonedx.org/bom": attestation.cyclonedx}
    for layer, content, kind in zip(manifest.layers, attestation.statements, predicates, strict=True):
        assert layer == Descriptor(
            "application/vnd.in-toto+json",
            digest_of(content),
            len(content),
            annotations={"in-toto.io/predicate-type": kind},
        )
        assert json.loads(content) == {
            "_type": "https://in-toto.io/Statement/v0.1",
            "subject": [{"name": "_", "digest": {"sha256": "a" * 64}}],
            "predicateType": kind,
            "predicate": json.loads(predicates[kind]),
        }


def test_the_entry_of_the_index_is_nobodys_platform_and_names_the_image() -> None:
    attestation = attest(IMAGE, ARM64, LAYERS)
    assert attestation.descriptor == Descriptor(
        OCI_MANIFEST,
        digest_of(attestation.manifest),
        len(attestation.manifest),
        Platform("unknown", "unknown"),
        {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": IMAGE.digest},
    )
    assert attestation.descriptor.is_attestation


def test_the_documents_name_each_package_once_and_files_of_layers_without_packages() -> None:
    attestation = attest(IMAGE, ARM64, LAYERS)
    names = [package.name for package in valid_spdx(attestation.spdx).packages]
    assert names == ["image for linux/arm64", "libc6", "click", "app/main.py"]
    assert_valid_cyclonedx(attestation.cyclonedx)
    assert [part["name"] for part in json.loads(attestation.cyclonedx)["components"]] == names[1:]


def test_the_schemas_of_the_oci_allow_every_document_of_an_attested_index(maker: ImageMaker) -> None:
    index = attested_index(maker)
    visited = check_index(index.content, lambda digest: maker.paths[digest].read_bytes())
    assert visited == [OCI_INDEX, *[OCI_MANIFEST, OCI_CONFIG] * 4]
    assert [str(platform) for platform in index.platforms] == ["linux/amd64", "linux/arm64"]


def test_buildx_shows_the_packages_of_each_platform(maker: ImageMaker, registry: LocalRegistry) -> None:
    published(maker, registry, "v1")
    sboms = shown(f"{registry.address}/demo/hello:v1")
    assert {platform: {package["name"] for package in sbom["packages"]} for platform, sbom in sboms.items()} == {
        f"linux/{name}": {f"image for linux/{name}", "libc6", "click", f"only-on-{name}", "app/main.py"}
        for name in ("amd64", "arm64")
    }


def test_another_tag_by_imagetools_has_the_same_digest_and_the_same_sboms(
    maker: ImageMaker, registry: LocalRegistry
) -> None:
    index = published(maker, registry, "old")
    repository = registry.repository("demo/hello")
    before = shown(f"{repository}:old")
    imagetools("create", "--tag", f"{repository}:new", f"{repository}:old")
    with RegistryClient(registry.address) as client:
        assert client.get_manifest(repository.tag("new")).digest == index.digest
    assert shown(f"{repository}:new") == before


def test_a_copy_by_skopeo_keeps_the_sboms(maker: ImageMaker, registry: LocalRegistry) -> None:
    index = published(maker, registry, "v1")
    copy = f"{registry.address}/elsewhere/hello:v1"
    options = ["--all", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"]
    references = [f"docker://{registry.address}/demo/hello:v1", f"docker://{copy}"]
    subprocess.run([*tool("skopeo"), "copy", *options, *references], capture_output=True, check=True)
    with RegistryClient(registry.address) as client:
        assert client.get_manifest(registry.repository("elsewhere/hello").tag("v1")).digest == index.digest
    assert set(shown(copy)) == {"linux/amd64", "linux/arm64"}


def test_nobody_gets_an_attestation_for_an_image(maker: ImageMaker, registry: LocalRegistry) -> None:
    index = published(maker, registry, "v1")
    for child, platform in zip(index.manifests, ("linux/amd64", "linux/arm64"), strict=False):
        digest = subprocess.run(
            [*tool("crane"), "digest", "--platform", platform, f"{registry.address}/demo/hello:v1"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert digest.strip() == child.digest
