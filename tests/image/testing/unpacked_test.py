"""What the file system of an image is taken for is what another program unpacks from it."""

import json
import os
import stat
import subprocess
from pathlib import Path

from tests.image.testing.fixtures import MadeLayer, SubjectMaker, directory, file, hardlink, layer, symlink
from tests.support.tools import tool
from tools.image.testing.checks import file_system
from tools.image.testing.subject import Image, Subject
from tools.oci.digest import digest_of

LAYERS = (
    layer(
        directory("a"),
        file("a/kept", "kept"),
        file("a/changed", "first"),
        file("a/gone", "gone"),
        directory("b", 0o700),
        file("b/x", "x"),
        directory("b/deep"),
        file("b/deep/y", "y"),
        directory("c"),
        file("c/z", "z"),
        file("becomes_a_directory", "file"),
        directory("becomes_a_file"),
        file("becomes_a_file/inside", "inside"),
        directory("becomes_a_link"),
        file("becomes_a_link/inside", "inside"),
        symlink("link", "a/kept"),
        symlink("becomes_a_real_file", "a/kept"),
        name="bottom",
    ),
    layer(
        file("a/changed", "second", mode=0o4755),
        file("a/.wh.gone"),
        directory("b", 0o755),
        file("b/.wh..wh..opq"),
        file("b/new", "new"),
        file(".wh.c"),
        directory("becomes_a_directory"),
        file("becomes_a_directory/inside", "inside"),
        file("becomes_a_file", "file"),
        symlink("becomes_a_link", "a"),
        file("becomes_a_real_file", "real"),
        file("d/e/implied", "implied"),
        hardlink("d/e/shared", "d/e/implied"),
        name="middle",
    ),
    layer(
        directory("c"),
        file("c/again", "again"),
        file("d/.wh.e"),
        file("d/e/once_more", "once more"),
        name="top",
    ),
)


def test_umoci_unpacks_the_same_files(tmp_path: Path) -> None:
    image = made(tmp_path, *LAYERS)
    expected = {
        path: (node.kind, node.mode if node.kind != "symlink" else 0, node.size, node.target)
        for path, node, _ in file_system(image).below("/")
    }
    assert unpacked(image, tmp_path) == expected
    assert {"b/new", "c/again", "d/e/once_more"} < expected.keys()


def made(folder: Path, *layers: MadeLayer) -> Image:
    subject = Subject.read(SubjectMaker(folder / "files").make({"linux/amd64": layers}))
    return subject.images["linux/amd64"]


def unpacked(image: Image, folder: Path) -> dict[str, tuple[str, int, int, str]]:
    """Kind, mode, size and target of all that umoci makes of an image, by path."""
    layout = folder / "layout"
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    assert image.manifest
    assert image.config
    for path in (image.manifest, image.config, *(each.blob for each in image.layers)):
        assert path
        content = path.read_bytes()
        (blobs / digest_of(content).removeprefix("sha256:")).write_bytes(content)
    manifest = image.manifest.read_bytes()
    descriptor = {
        "mediaType": json.loads(manifest)["mediaType"],
        "digest": digest_of(manifest),
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": "tag"},
    }
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    result = subprocess.run(
        [*tool("umoci"), "raw", "unpack", *rootless, "--image", f"{layout}:tag", str(folder / "root")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    root = folder / "root"
    return {str(path.relative_to(root)): _facts(path) for path in root.rglob("*")}


def _facts(path: Path) -> tuple[str, int, int, str]:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return "symlink", 0, 0, str(path.readlink())
    if stat.S_ISDIR(status.st_mode):
        return "directory", stat.S_IMODE(status.st_mode), 0, ""
    return "file", stat.S_IMODE(status.st_mode), status.st_size, ""
