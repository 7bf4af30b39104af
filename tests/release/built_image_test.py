"""Reading what Bazel tells of a build."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from release.built_image import BuildOutputs, OutputFile, check_groups, image_of, read_build_events
from release.errors import ReleaseError
from tests.support.images import ImageMaker
from tools.oci.errors import BlobMismatch
from tools.oci.manifest import ImageIndex, ImageManifest, parse_manifest
from tools.oci.reference import Repository

TARGET = "//apps/a:a_image"
ROOT = "/home/me/.cache/bazel/_bazel_me/1/execroot/_main"
ORIGIN = {"repository": "registry.example/base", "size": 1, "insecure": False}
HEX = "0123456789abcdef" * 4


def file(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "uri": "bytestream://elsewhere", "pathPrefix": ["bazel-out", "k8-fastbuild", "bin"], **more}


def events(*groups: tuple[str, str], aspect: str = "") -> list[str]:
    """A build event file, shortened: two sets of files, the second within the first."""
    completed: dict[str, Any] = {"label": TARGET}
    documents: list[dict[str, Any]] = [
        {"id": {"started": {}}, "started": {"command": "build"}},
        {"id": {"workspace": {}}, "workspaceInfo": {"localExecRoot": ROOT}},
        {
            "id": {"namedSet": {"id": "1"}},
            "namedSetOfFiles": {"files": [file("apps/a/layer", digest=HEX), file("apps/a/config")]},
        },
        {
            "id": {"namedSet": {"id": "0"}},
            "namedSetOfFiles": {
                "files": [file("apps/a/index", digest=HEX), file("apps/a/layer", digest=HEX)],
                "fileSets": [{"id": "1"}],
            },
        },
        {
            "id": {"targetCompleted": {**completed, "aspect": "//x:y.bzl%lint"}},
            "completed": {"outputGroup": [{"name": "made_blobs", "fileSets": [{"id": "7"}]}]},
        },
        {
            "id": {"targetCompleted": completed},
            "completed": {
                "success": True,
                "outputGroup": [{"name": name, "fileSets": [{"id": number}]} for name, number in groups],
            },
        },
    ]
    return [json.dumps(document) + "\n" for document in documents]


def test_the_files_of_output_groups_are_found_once_each_through_nested_sets() -> None:
    outputs = read_build_events(events(("descriptor", "1"), ("made_blobs", "0")))[TARGET]
    folder = Path(ROOT, "bazel-out/k8-fastbuild/bin/apps/a")
    assert outputs.groups["made_blobs"] == (
        OutputFile(folder / "index", HEX),
        OutputFile(folder / "layer", HEX),
        OutputFile(folder / "config", ""),
    )


@pytest.mark.parametrize("groups", [(), (("made_blobs", "0"),), (("descriptor", "0"),)])
def test_a_target_without_the_output_groups_of_an_image_is_none(groups: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ReleaseError, match=rf"{TARGET}.*no output group"):
        check_groups(read_build_events(events(*groups))[TARGET], TARGET)


@dataclass(slots=True)
class Remote:
    """Blobs that are not on this machine before they are downloaded."""

    hidden: dict[Path, bytes] = field(default_factory=dict)
    downloads: list[list[str]] = field(default_factory=list)

    def hide(self, path: Path) -> None:
        self.hidden[path] = path.read_bytes()
        path.unlink()

    def __call__(self, paths: Sequence[Path]) -> None:
        missing = [path for path in paths if not path.exists()]
        if missing:
            self.downloads.append([path.name for path in missing])
        for path in missing:
            path.write_bytes(self.hidden[path])


def nothing_pulled(digests: Sequence[str]) -> dict[str, Path]:
    raise AssertionError(f"{digests} were to be pulled")


@pytest.fixture
def maker(tmp_path: Path) -> ImageMaker:
    return ImageMaker(tmp_path)


def outputs_of(maker: ImageMaker, image: ImageIndex, told: bool = True) -> BuildOutputs:
    descriptor = maker.folder / "descriptor.json"
    descriptor.write_text(json.dumps(image.descriptor.to_json()))
    blobs = [OutputFile(path, digest.partition(":")[2] if told else "") for digest, path in maker.paths.items()]
    return BuildOutputs({"descriptor": (OutputFile(descriptor, ""),), "made_blobs": tuple(blobs)})


@pytest.mark.parametrize("told", [True, False], ids=["digests from Bazel", "digests from the files"])
def test_a_built_image_is_its_index_and_where_its_blobs_lie(maker: ImageMaker, told: bool) -> None:
    index = maker.index()
    image = image_of(outputs_of(maker, index, told), TARGET, Remote(), nothing_pulled)
    assert (image.target, image.manifest) == (TARGET, index)
    for digest, path in maker.paths.items():
        assert image.blobs.read(digest) == path.read_bytes()


def test_only_what_is_asked_for_is_downloaded(maker: ImageMaker) -> None:
    index = maker.index()
    outputs = outputs_of(maker, index)
    remote = Remote()
    for each in (*outputs.groups["made_blobs"], *outputs.groups["descriptor"]):
        remote.hide(each.path)
    image = image_of(outputs, TARGET, remote, nothing_pulled)
    children = [maker.paths[child.digest].name for child in index.manifests]
    assert remote.downloads == [["descriptor.json"], [maker.paths[index.digest].name], children]
    layers = [digest for digest in maker.paths if digest not in {index.digest, *(c.digest for c in index.manifests)}]
    image.blobs.prepare(layers[:2])
    assert remote.downloads[3:] == [[maker.paths[digest].name for digest in layers[:2]]]
    with image.blobs.open(layers[0]) as stream:
        assert stream.read()


def test_pulled_layers_are_built_when_they_are_asked_for_and_once(maker: ImageMaker) -> None:
    index = maker.index()
    image = parse_manifest(maker.paths[index.manifests[0].digest].read_bytes())
    assert isinstance(image, ImageManifest)
    layers = [layer.digest for layer in image.layers]
    outputs = outputs_of(maker, index)
    origins = maker.folder / "origins.json"
    origins.write_text(json.dumps(dict.fromkeys(layers, ORIGIN)))
    made = tuple(file for file in outputs.groups["made_blobs"] if f"sha256:{file.digest}" not in layers)
    groups = {**outputs.groups, "made_blobs": made, "origins": (OutputFile(origins, ""),)}
    fetched: list[str] = []

    def fetch(digests: Sequence[str]) -> dict[str, Path]:
        fetched.extend(digests)
        return {digest: maker.paths[digest] for digest in digests}

    blobs = image_of(BuildOutputs(groups), TARGET, Remote(), fetch).blobs
    assert blobs.origin(layers[0]) == Repository("registry.example", "base")
    assert blobs.origin(index.digest) is None
    assert fetched == []
    for _ in range(2):
        blobs.prepare([index.digest, layers[0]])
    assert fetched == [layers[0]]
    with blobs.open(layers[0]) as stream:
        assert stream.read() == maker.paths[layers[0]].read_bytes()


def test_a_descriptor_of_something_else_is_an_error(maker: ImageMaker) -> None:
    outputs = outputs_of(maker, maker.index())
    other = OutputFile(maker.folder / "other", HEX)
    with pytest.raises(ReleaseError, match=r"no built file has that digest"):
        image_of(BuildOutputs({**outputs.groups, "made_blobs": (other,)}), TARGET, Remote(), nothing_pulled)


def test_a_blob_that_is_not_what_bazel_says_is_an_error(maker: ImageMaker) -> None:
    index = maker.index()
    outputs = outputs_of(maker, index)
    maker.paths[index.digest].write_bytes(b"{}")
    with pytest.raises(BlobMismatch, match="its content is not"):
        image_of(outputs, TARGET, Remote(), nothing_pulled)
