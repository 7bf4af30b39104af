"""Image manifests and image indexes (image-spec manifest.md, image-index.md), of OCI and of Docker.

What a registry answers is hostile until proven otherwise: the size is limited, the structure checked field by field,
and the bytes are kept as they came, since a manifest's digest is that of its bytes and a re-tag must not change them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from tools.oci.digest import digest_of, is_digest
from tools.oci.errors import InvalidManifest

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

INDEX_TYPES = (OCI_INDEX, DOCKER_LIST)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)

MAX_MANIFEST_SIZE = 4 * 1024 * 1024
"""Bytes. Registries must take manifests up to this size (distribution-spec, "Pushing Manifests"); more is refused."""

_NO_ANNOTATIONS: Mapping[str, str] = MappingProxyType({})
_IMPLIED_VARIANTS = {("arm64", "v8"), ("amd64", "v1")}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """A platform of an image, as in Go's GOOS and GOARCH: `linux/amd64`, `linux/arm/v7`."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read OS/ARCHITECTURE[/VARIANT]. Raises ValueError."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise ValueError(f"{text!r} is not a platform: write OS/ARCHITECTURE[/VARIANT], e.g. linux/amd64")
        return cls(*parts)

    @property
    def normalized(self) -> Platform:
        """Without the variant that goes without saying: linux/arm64/v8 is linux/arm64."""
        if (self.architecture, self.variant) in _IMPLIED_VARIANTS:
            return Platform(self.os, self.architecture)
        return self


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What something is, how many bytes it has and what they hash to (image-spec descriptor.md)."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=lambda: _NO_ANNOTATIONS, hash=False)
    artifact_type: str = ""

    @property
    def is_attestation(self) -> bool:
        """BuildKit's SBOM and provenance in an index: a manifest for the platform unknown/unknown."""
        return self.platform is not None and self.platform.os == "unknown"

    @classmethod
    def from_json(cls, value: object, where: str = "descriptor") -> Descriptor:
        """Check and read a descriptor. Raises InvalidManifest naming `where` it stood."""
        fields = _object(value, where)
        platform = fields.get("platform")
        return cls(
            media_type=_text(fields, "mediaType", where),
            digest=_digest(fields, where),
            size=_size(fields, where),
            platform=None if platform is None else _platform(platform, f"{where}.platform"),
            annotations=_annotations(fields.get("annotations"), where),
            artifact_type=_text(fields, "artifactType", where, default=""),
        )

    def to_json(self) -> dict[str, Any]:
        """The descriptor as the specification writes it, empty fields left out."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform is not None:
            value["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                value["platform"]["variant"] = self.platform.variant
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        return value


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """One platform's image: a config and layers. `content` is what the registry keeps, byte for byte."""

    content: bytes = field(repr=False)
    media_type: str
    digest: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=lambda: _NO_ANNOTATIONS, hash=False)

    @property
    def descriptor(self) -> Descriptor:
        """What names this manifest elsewhere."""
        return Descriptor(self.media_type, self.digest, len(self.content))

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """The config and the layers."""
        return (self.config, *self.layers)


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """Several platforms' manifests under one digest. `content` is what the registry keeps, byte for byte."""

    content: bytes = field(repr=False)
    media_type: str
    digest: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=lambda: _NO_ANNOTATIONS, hash=False)

    @property
    def descriptor(self) -> Descriptor:
        """What names this index elsewhere."""
        return Descriptor(self.media_type, self.digest, len(self.content))

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms that can be run, in the index's order: attestations are none."""
        return tuple(
            child.platform.normalized for child in self.manifests if child.platform and not child.is_attestation
        )


Manifest = ImageIndex | ImageManifest


def parse_manifest(content: bytes, content_type: str = "", source: str = "the manifest") -> Manifest:
    """Check and read a manifest or index.

    Args:
        content: the bytes as they came.
        content_type: what the server called them (parameters are ignored); empty if nobody did.
        source: the reference or file, for errors.

    Raises:
        InvalidManifest: too large, not JSON, not of one of the four types, a field missing or of a wrong kind.
    """
    try:
        return _parse(content, content_type.partition(";")[0].strip().lower())
    except InvalidManifest as error:
        raise InvalidManifest(f"{source} is not a usable manifest", error.why, error.remedy) from None


def _parse(content: bytes, content_type: str) -> Manifest:
    if len(content) > MAX_MANIFEST_SIZE:
        raise _invalid(f"it has more than {MAX_MANIFEST_SIZE} bytes")
    try:
        fields = _object(json.loads(content), "the document")
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidManifest):
            raise
        raise _invalid(f"it is not JSON ({error}); it begins with {content[:40]!r}") from None
    if fields.get("schemaVersion") != 2:
        raise _invalid(f"schemaVersion is {fields.get('schemaVersion')!r}, not 2")
    declared = _text(fields, "mediaType", "the document", default="")
    media_type = declared or content_type
    if declared and content_type and declared != content_type:
        raise _invalid(f"it says it is {declared}, the server says {content_type}")
    annotations = _annotations(fields.get("annotations"), "the document")
    digest = digest_of(content)
    # A document that is both an index and a manifest means different things to different readers (CVE-2021-41190).
    if media_type in INDEX_TYPES:
        _exclude(fields, ("config", "layers", "fsLayers"), media_type)
        children = tuple(
            Descriptor.from_json(child, f"manifests[{number}]")
            for number, child in enumerate(_list(fields, "manifests"))
        )
        return ImageIndex(content, media_type, digest, children, annotations)
    if media_type in MANIFEST_TYPES:
        _exclude(fields, ("manifests", "fsLayers"), media_type)
        layers = tuple(
            Descriptor.from_json(layer, f"layers[{number}]") for number, layer in enumerate(_list(fields, "layers"))
        )
        config = Descriptor.from_json(fields.get("config"), "config")
        return ImageManifest(content, media_type, digest, config, layers, annotations)
    raise _invalid(f"its media type is {media_type or 'not given'}")


def _invalid(why: str) -> InvalidManifest:
    return InvalidManifest(
        "not a manifest", why, "Expected an OCI or Docker (schema 2) image manifest or index; look at what is there."
    )


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(f"{where} is {_kind(value)}, not an object")
    return value


def _list(fields: dict[str, Any], key: str) -> list[Any]:
    value = fields.get(key)
    if not isinstance(value, list):
        raise _invalid(f"{key} is {_kind(value)}, not a list")
    return value


def _text(fields: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = fields.get(key, default)
    if not isinstance(value, str):
        raise _invalid(f"{where}: {key} is {_kind(value)}, not a text")
    return value


def _digest(fields: dict[str, Any], where: str) -> str:
    digest = _text(fields, "digest", where)
    if not is_digest(digest):
        raise _invalid(f"{where}: {digest[:100]!r} is not a digest")
    return digest


def _size(fields: dict[str, Any], where: str) -> int:
    size = fields.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
        raise _invalid(f"{where}: size is {_kind(size)}, not a number of bytes")
    return size


def _platform(value: object, where: str) -> Platform:
    fields = _object(value, where)
    return Platform(
        _text(fields, "os", where), _text(fields, "architecture", where), _text(fields, "variant", where, default="")
    )


def _annotations(value: object, where: str) -> Mapping[str, str]:
    if value is None:
        return _NO_ANNOTATIONS
    annotations = _object(value, f"{where}.annotations")
    return MappingProxyType({key: _text(annotations, key, f"{where}.annotations") for key in annotations})


def _exclude(fields: dict[str, Any], keys: tuple[str, ...], media_type: str) -> None:
    for key in keys:
        if key in fields:
            raise _invalid(f"a document of type {media_type} must not have {key}")


def _kind(value: object) -> str:
    return "missing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
