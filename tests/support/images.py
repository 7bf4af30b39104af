"""Small images made in a folder: valid for a registry, of no use to run."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
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
    OCI_LAYER_GZIP,
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

    def image(self, platform: Platform, texts: Sequence[str], env: Sequence[str] = ()) -> Descriptor:
        """Write one platform's image with a layer of one file for each text; return its entry for an index."""
        layers = [_layer(text) for text in texts]
        described = [self.blob(gzip.compress(layer, mtime=0), OCI_LAYER_GZIP) for layer in layers]
        config = {
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {"Env": list(env)} if env else {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
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
        self,
        content: str = "",
        platforms: Sequence[str] = ("linux/amd64", "linux/arm64"),
        attested: bool = False,
        env: Sequence[str] = (),
    ) -> ImageIndex:
        """Write an index with a layer that the platforms share and one of each its own.

        Args:
            content: what makes it different from others.
            platforms: one image each.
            attested: add a BuildKit attestation for each platform.
            env: environment variables of the images, NAME=VALUE.
        """
        children = [
            self.image(Platform.parse(platform), ["shared by all platforms", f"{platform} {content}"], env)
            for platform in platforms
        ]
        if attested:
            unknown = Platform("unknown", "unknown")
            children += [self.image(unknown, [f"statement about {child.digest}"]) for child in children]
        top = self.document(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child.to_json() for child in children]}
        )
        index = parse_manifest(self.paths[top.digest].read_bytes())
        assert isinstance(index, ImageIndex)
        return index


def _layer(text: str) -> bytes:
    """An uncompressed layer with one file, file.txt, of this text."""
    content = text.encode()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo("file.txt")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return layer.getvalue()
