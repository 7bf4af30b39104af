"""Pushes several image indexes to one registry, as one process. Called by the benchmark of images."""

import json
import sys
from pathlib import Path

from tools.oci.blobs import FileBlobs
from tools.oci.client import RegistryClient
from tools.oci.manifest import Descriptor
from tools.oci.publication import push_index
from tools.oci.reference import Repository
from tools.oci.tags import TagPolicy, write_tag


def main() -> None:
    """Arguments: the registry, a tag, and REPOSITORY=LAYOUT for each image."""
    registry, tag, *images = sys.argv[1:]
    with RegistryClient(registry) as client:
        for path, _, layout in (image.partition("=") for image in images):
            repository = Repository(registry, path)
            report = push_index(client, repository, *_read_layout(Path(layout)))
            # As others do: a tag that names something else is moved, and is not read again.
            write_tag(client, repository.tag(tag), report.manifest, policy=TagPolicy.OVERWRITE, verify=False)


def _read_layout(folder: Path) -> tuple[Descriptor, FileBlobs]:
    (index,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    blobs = {f"{blob.parent.name}:{blob.name}": blob for blob in folder.glob("blobs/*/*")}
    return Descriptor.from_json(index), FileBlobs(blobs)


if __name__ == "__main__":
    main()
