"""What those get that build the same images by other means."""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from bench.workload import Workload
from tests.support.images import ImageMaker
from tests.support.workspace import source_tree
from tools.oci.layout import opened, write_layout_directory
from tools.oci.manifest import OCI_INDEX, Platform


def test_others_get_what_is_in_the_layers_of_the_base_and_of_an_apps_dependencies(tmp_path: Path) -> None:
    workload = Workload(tmp_path / "bench", source_tree(), 1, 1)
    base = write_layout(tmp_path / "base", ["base"])
    app = write_layout(tmp_path / "app", ["base", "click", "yaml", "the app's own"])

    workload.export(base, app)

    for architecture in ("amd64", "arm64"):
        assert texts(workload.context / f"base-{architecture}.tar.gz") == [f"base {architecture}"]
        dependencies = workload.context / f"dependencies-{architecture}.tar.gz"
        assert texts(dependencies) == [f"click {architecture}", f"yaml {architecture}"]


def write_layout(folder: Path, layers: Sequence[str]) -> Path:
    """A layout of images with a layer of one file for each text."""
    maker = ImageMaker(folder / "made")
    images = [
        maker.image(Platform("linux", architecture), [f"{text} {architecture}" for text in layers])
        for architecture in ("amd64", "arm64")
    ]
    manifests = [image.to_json() for image in images]
    index = maker.document({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})
    write_layout_directory([index], opened(maker.paths), folder)
    return folder


def texts(archive: Path) -> list[str]:
    with tarfile.open(archive) as opened:
        return [file.read().decode() for member in opened if (file := opened.extractfile(member))]
