"""Small images made in a folder: valid for a registry, of no use to run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.oci.blobs import FileBlobs
from tools.oci.digest import digest_of
from tools.oci.manifest import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    ImageIndex,
    Platform,
    parse_manifest,
)


@dataclass(slots=True)
class ImageMaker:
    """Writes blobs to a folder and remembers them as a BlobStore's paths."""

    folder: Path
    paths: dict[str, Path] = field(default_factory=dict)

    @property
    def blobs(self) -> FileBlobs:
        """All blobs made so far."""
        return FileBlobs(dict(self.paths))

    def blob(self, content: bytes, media_type: str = OCI_LAYER) -> Descriptor:
        """Write a blob."""
        self.folder.mkdir(parents=True, exist_ok=True)
        digest = digest_of(content)
        self.paths[digest] = self.folder / digest.replace(":", "-")
        self.paths[digest].write_bytes(content)
        return Descriptor(media_type, digest, len(content))

    def document(self, fields: Mapping[str, Any]) -> Descriptor:
        """Write a manifest or index."""
        return self.blob(json.dumps(fields).encode(), fields["mediaType"])

    def image(self, platform: Platform, layers: Sequence[bytes]) -> Descriptor:
        """Write one platform's image of these (uncompressed) layers, and return its entry for an index."""
        described = [self.blob(layer) for layer in layers]
        config = {
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in described]},
        }
        manifest = self.document(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": self.blob(json.dumps(config).encode(), OCI_CONFIG).to_json(),
                "layers": [layer.to_json() for layer in described],
            }
        )
        return Descriptor(manifest.media_type, manifest.digest, manifest.size, platform)

    def index(
        self, content: str = "", platforms: Sequence[str] = ("linux/amd64", "linux/arm64"), attested: bool = False
    ) -> ImageIndex:
        """Write an index with a layer that the platforms share and one of each its own.

        Args:
            content: what makes it different from others.
            platforms: one image each.
            attested: add a BuildKit attestation for each platform.
        """
        children = [
            self.image(Platform.parse(platform), [b"shared layer", f"{platform} {content}".encode()])
            for platform in platforms
        ]
        if attested:
            unknown = Platform("unknown", "unknown")
            children += [self.image(unknown, [f"statement about {child.digest}".encode()]) for child in children]
        top = self.document(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child.to_json() for child in children]}
        )
        index = parse_manifest(self.paths[top.digest].read_bytes())
        assert isinstance(index, ImageIndex)
        return index
