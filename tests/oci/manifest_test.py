"""Manifests and indexes, as they should be and as they should not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.images import ImageMaker
from tools.oci.digest import digest_of
from tools.oci.errors import InvalidManifest
from tools.oci.manifest import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    MAX_MANIFEST_SIZE,
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

DIGEST = "sha256:" + "a" * 64
CONFIG = {"mediaType": OCI_CONFIG, "digest": DIGEST, "size": 2}
LAYER = {"mediaType": OCI_LAYER_GZIP, "digest": DIGEST, "size": 3}
CHILD = {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 4, "platform": {"os": "linux", "architecture": "arm64"}}
IMAGE = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [CHILD]}


def encode(fields: object) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_an_image_manifest_is_read_with_config_layers_and_its_own_digest(media_type: str) -> None:
    content = encode({**IMAGE, "mediaType": media_type})
    manifest = parse_manifest(content, f"{media_type}; charset=utf-8")
    assert isinstance(manifest, ImageManifest)
    assert manifest.content == content
    assert manifest.digest == digest_of(content)
    assert [blob.size for blob in manifest.blobs] == [2, 3]
    assert manifest.descriptor == Descriptor(media_type, manifest.digest, len(content))


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_is_read_with_its_platforms(media_type: str) -> None:
    index = parse_manifest(encode({**INDEX, "mediaType": media_type}), media_type)
    assert isinstance(index, ImageIndex)
    assert index.media_type == media_type
    assert index.platforms == (Platform("linux", "arm64"),)


def test_the_media_type_may_stand_in_the_document_or_in_the_header_alone() -> None:
    assert parse_manifest(encode(INDEX)).media_type == OCI_INDEX
    without = {key: value for key, value in INDEX.items() if key != "mediaType"}
    assert parse_manifest(encode(without), OCI_INDEX).media_type == OCI_INDEX


def test_attestations_are_no_platforms(maker: ImageMaker) -> None:
    index = maker.index(attested=True)
    assert len(index.manifests) == 4
    assert [str(platform) for platform in index.platforms] == ["linux/amd64", "linux/arm64"]


def changed(base: dict[str, Any], **fields: object) -> bytes:
    return encode({**base, **fields})


@pytest.mark.parametrize(
    ("content", "content_type", "why"),
    [
        (b"", "", "not JSON"),
        (b"<html>Sign in</html>", "text/html", "not JSON"),
        (encode(IMAGE)[:-20], OCI_MANIFEST, "not JSON"),
        (b"\xff\xfe", "", "not JSON"),
        (b"[" * 100_000, "", "not JSON"),
        (b"[]", "", "not an object"),
        (b"null", "", "not an object"),
        (b" " * (MAX_MANIFEST_SIZE + 1), "", "more than 4194304 bytes"),
        (encode(INDEX), OCI_MANIFEST, "the server says"),
        (encode(INDEX), "text/html", "the server says"),
        (changed(INDEX, mediaType="application/json"), "", "media type is application/json"),
        (encode({"schemaVersion": 2, "manifests": []}), "", "not given"),
        (changed(INDEX, schemaVersion=1), "", "schemaVersion is 1"),
        (changed(INDEX, mediaType=5), "", "mediaType is int"),
        (changed(INDEX, manifests={}), "", "manifests is dict"),
        (changed(INDEX, manifests=None), "", "manifests is missing"),
        (changed(INDEX, manifests=[None]), "", r"manifests\[0\] is missing"),
        (changed(INDEX, manifests=[{**CHILD, "digest": "sha256:x"}]), "", "is not a digest"),
        (changed(INDEX, manifests=[{**CHILD, "digest": "../../etc/passwd"}]), "", "is not a digest"),
        (changed(INDEX, manifests=[{**CHILD, "size": -1}]), "", "size is int"),
        (changed(INDEX, manifests=[{**CHILD, "size": True}]), "", "size is bool"),
        (changed(INDEX, manifests=[{**CHILD, "size": 1e3}]), "", "size is float"),
        (changed(INDEX, manifests=[{**CHILD, "size": 2**63}]), "", "size is int"),
        (changed(INDEX, manifests=[{**CHILD, "platform": {"os": "linux"}}]), "", "architecture is missing"),
        (changed(INDEX, manifests=[{**CHILD, "annotations": {"a": 1}}]), "", "a is int"),
        (changed(INDEX, layers=[]), "", "must not have layers"),
        (changed(IMAGE, manifests=[]), "", "must not have manifests"),
        (changed(IMAGE, fsLayers=[]), "", "must not have fsLayers"),
        (changed(IMAGE, config=None), "", "config is missing"),
        (changed(IMAGE, layers="x"), "", "layers is str"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_source_and_the_reason(
    content: bytes, content_type: str, why: str
) -> None:
    with pytest.raises(InvalidManifest, match=why) as caught:
        parse_manifest(content, content_type, "example.org/app:v1")
    assert "example.org/app:v1" in caught.value.what
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/arm/v7", Platform("linux", "arm", "v7")),
    ],
)
def test_a_platform_is_written_as_it_is_read(text: str, platform: Platform) -> None:
    assert Platform.parse(text) == platform
    assert str(platform) == text


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "linux/arm/v7/x"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="OS/ARCHITECTURE"):
        Platform.parse(text)


def test_a_variant_that_goes_without_saying_makes_no_difference() -> None:
    assert Platform.parse("linux/arm64/v8").normalized == Platform.parse("linux/arm64")
    assert Platform.parse("linux/arm/v7").normalized == Platform.parse("linux/arm/v7")


WORDS = st.text(st.characters(codec="utf-8"), max_size=20)
DESCRIPTORS = st.builds(
    Descriptor,
    media_type=WORDS,
    digest=st.binary(max_size=8).map(digest_of),
    size=st.integers(0, 2**63 - 1),
    platform=st.none() | st.builds(Platform, WORDS, WORDS, WORDS),
    annotations=st.dictionaries(WORDS, WORDS, max_size=3),
    artifact_type=WORDS,
)


@given(DESCRIPTORS)
def test_every_descriptor_that_is_written_is_read_back(descriptor: Descriptor) -> None:
    assert Descriptor.from_json(json.loads(json.dumps(descriptor.to_json()))) == descriptor


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*IMAGE, *INDEX, *CHILD]), inner),
    ),
    st.sampled_from([OCI_INDEX, OCI_MANIFEST]),
)
def test_no_json_does_anything_but_parse_or_be_refused(value: object, media_type: str) -> None:
    fields = {"schemaVersion": 2, "mediaType": media_type, **(value if isinstance(value, dict) else {"layers": value})}
    with contextlib.suppress(InvalidManifest):
        parse_manifest(encode(fields))
