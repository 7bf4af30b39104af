"""The image index under test, as the rules of image tests hand it over: files of the build, none of them unpacked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image.

    Attributes:
      metadata: what the build knows of it: mediaType, digest, size, diffID, createdBy.
      listing: its entries, one JSON object a line; None for a layer that the build did not write (a pulled one).
      blob: the compressed archive; None in a test that has no use for it.
      again: the metadata of a second writing of the same layer; None where there is none, or no use for it.
      again_listing: the entries of that writing.
    """

    metadata: Mapping[str, Any]
    listing: Path | None = None
    blob: Path | None = None
    again: Mapping[str, Any] | None = None
    again_listing: Path | None = None

    @property
    def digest(self) -> str:
        return str(self.metadata["digest"])

    @property
    def size(self) -> int:
        """Compressed bytes."""
        return int(self.metadata["size"])

    @property
    def created_by(self) -> str:
        return str(self.metadata["createdBy"])

    @classmethod
    def from_json(cls, fields: Mapping[str, str]) -> "Layer":
        def document(key: str) -> Any:
            return json.loads(Path(fields[key]).read_bytes()) if key in fields else None

        def path(key: str) -> Path | None:
            return Path(fields[key]) if key in fields else None

        return cls(document("metadata"), path("listing"), path("blob"), document("again"), path("again_listing"))


@dataclass(frozen=True, slots=True)
class Image:
    """The image of one platform.

    Attributes:
      layers: bottom first.
      config: file of the configuration; None in a test that has no use for it.
      manifest: file of the manifest; None likewise.
    """

    layers: tuple[Layer, ...]
    config: Path | None = None
    manifest: Path | None = None

    def layer_name(self, number: int) -> str:
        """The layer of that number, from 0, as a person finds it in the image's history."""
        return f"layer {number + 1} of {len(self.layers)} ({self.layers[number].created_by})"


@dataclass(frozen=True, slots=True)
class Subject:
    """An image index and its images.

    Attributes:
      label: the target that made it.
      images: by platform, such as linux/arm64.
      index: file of the index; None in a test that has no use for it.
    """

    label: str
    images: Mapping[str, Image]
    index: Path | None = None

    @classmethod
    def read(cls, path: Path) -> "Subject":
        """Reads the JSON that the rules write; the paths in it are relative to the folder that tests run in."""
        fields = json.loads(path.read_bytes())
        images = {
            platform: Image(
                tuple(map(Layer.from_json, image["layers"])), _path(image, "config"), _path(image, "manifest")
            )
            for platform, image in fields["images"].items()
        }
        return cls(fields["label"], images, _path(fields, "index"))


def _path(fields: Mapping[str, Any], key: str) -> Path | None:
    return Path(fields[key]) if key in fields else None
