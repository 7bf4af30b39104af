"""An image index that Bazel has built, as the programs that `bazel run` starts find it among their runfiles."""

import json
from collections.abc import Mapping
from pathlib import Path

from tools.oci.blobs import FileBlobs
from tools.oci.manifest import Descriptor, ImageIndex, ImageManifest, Platform, parse_manifest
from tools.oci.origin import Origin, read_origins


def read_built_index(folder: Path) -> tuple[Descriptor, FileBlobs]:
    """What names a built index, and its blobs by digest, out of the folder that runnable.bzl makes."""
    names = json.loads((folder / "blobs.json").read_bytes())
    blobs = FileBlobs({digest: folder / "blobs" / name for digest, name in names.items()})
    return Descriptor.from_json(json.loads((folder / "descriptor.json").read_bytes())), blobs


def read_built_origins(folder: Path) -> Mapping[str, Origin]:
    """Where the blobs come from that are not in that folder. Raises InvalidManifest."""
    file = folder / "origins.json"
    return read_origins(file.read_bytes()) if file.exists() else {}


def find_image(store: FileBlobs, index: Descriptor, wanted: Platform) -> ImageManifest:
    """The manifest of one platform of an index.

    Raises:
      ValueError: the index has no such platform; names those that it has.
      OciError: the build's files are not what the index says.
    """
    document = parse_manifest(store.read(index.digest))
    assert isinstance(document, ImageIndex)
    for child in document.manifests:
        if child.platform == wanted:
            manifest = parse_manifest(store.read(child.digest))
            assert isinstance(manifest, ImageManifest)
            return manifest
    raise ValueError(
        f"this image has no platform {wanted}; it has {', '.join(map(str, document.platforms))}. "
        "Choose one of them by --platform."
    )
