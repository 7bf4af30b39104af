"""Pushes several image indexes to one registry, as one process. Called by the benchmark of images."""

import json
import sys
from functools import partial
from pathlib import Path

from tools.oci.blobs import FileBlobs
from tools.oci.client import RegistryClient
from tools.oci.manifest import Descriptor
from tools.oci.parallel import run_all
from tools.oci.publication import push_index
from tools.oci.reference import Repository
from tools.oci.tags import TagPolicy, read_tag, write_tag


def main() -> None:
    """Arguments: the registry, a tag, and REPOSITORY=LAYOUT for each image."""
    registry, tag, *images = sys.argv[1:]
    built = {path: _read_layout(Path(layout)) for path, _, layout in (image.partition("=") for image in images)}
    references = [Repository(registry, path).tag(tag) for path in built]
    with RegistryClient(registry) as client:
        states = run_all(
            [partial(read_tag, client, reference, likely=True) for reference in references],
            at_once=client.max_connections,
        )
        # A tag that names the index says that all of it is there, as crane takes it.
        for state, (index, blobs) in zip(states, built.values(), strict=True):
            if state.digest != index.digest:
                report = push_index(client, state.reference.repository, index, blobs)
                write_tag(
                    client, state.reference, report.manifest, policy=TagPolicy.OVERWRITE, state=state, verify=False
                )


def _read_layout(folder: Path) -> tuple[Descriptor, FileBlobs]:
    (index,) = json.loads((folder / "index.json").read_bytes())["manifests"]
    blobs = {f"{blob.parent.name}:{blob.name}": blob for blob in folder.glob("blobs/*/*")}
    return Descriptor.from_json(index), FileBlobs(blobs)


if __name__ == "__main__":
    main()
