"""A built image index among the test's data, read from its OCI layout."""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from tools.oci.manifest import OCI_LAYER_ZSTD, ImageIndex, ImageManifest, parse_manifest

PLATFORMS = ["linux/amd64", "linux/arm64"]


@dataclass(frozen=True, slots=True)
class Built:
    """The image index of the app `name`."""

    name: str

    @property
    def folder(self) -> Path:
        return Path("apps") / self.name

    @property
    def descriptor(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{self.name}_image.descriptor.json").read_text())
        return found

    @property
    def metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{self.name}_metadata.json").read_text())
        return found

    @property
    def index(self) -> ImageIndex:
        document = parse_manifest(self.blob(self.descriptor["digest"]).read_bytes())
        assert isinstance(document, ImageIndex)
        return document

    def blob(self, digest: str) -> Path:
        return self.folder / f"{self.name}_image.layout" / "blobs" / digest.replace(":", "/")

    def image(self, platform: str) -> ImageManifest:
        child = next(child for child in self.index.manifests if str(child.platform) == platform)
        document = parse_manifest(self.blob(child.digest).read_bytes())
        assert isinstance(document, ImageManifest)
        return document

    def config(self, platform: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.blob(self.image(platform).config.digest).read_bytes())
        return found

    def files(self, platform: str) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        """Every entry of the image's layers, and the first bytes of those that are files."""
        for layer in self.image(platform).layers:
            content = self.blob(layer.digest).read_bytes()
            if layer.media_type == OCI_LAYER_ZSTD:
                content = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                for member in archive:
                    file = archive.extractfile(member) if member.isreg() else None
                    yield member, file.read(20) if file else b""

    def machines(self, platform: str) -> dict[str, int]:
        """e_machine of every ELF file in an image, by name."""
        return {
            member.name: int.from_bytes(start[18:20], "little")
            for member, start in self.files(platform)
            if start.startswith(b"\x7fELF")
        }
