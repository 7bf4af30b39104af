"""The tool that writes documents, on layers that the other tool has written."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.image.content import ELF, arguments, file
from tools.image.document_tool import main
from tools.image.layer_tool import main as write_layer
from tools.oci.digest import digest_of
from tools.oci.manifest import ImageIndex, parse_manifest

PLATFORMS = ["linux/amd64", "linux/arm64"]
DOCUMENTS = ["config", "manifest"]
ATTESTED = [
    "attestation_config",
    "attestation_manifest",
    "cyclonedx",
    "cyclonedx_statement",
    "spdx",
    "spdx_statement",
]


def layer(folder: Path, *items: Mapping[str, str], options: Sequence[str] = ()) -> Path:
    folder.mkdir()
    assert write_layer(arguments(folder, items, *options)) == 0
    return folder


def describe(folder: Path, layers: Sequence[Path], settings: Mapping[str, Any], documents: Sequence[str]) -> int:
    """Writes the documents of an image of these layers for both platforms."""
    folder.mkdir(exist_ok=True)
    images = []
    for platform in PLATFORMS:
        out = folder / platform.replace("/", "_")
        out.mkdir()
        images.append(
            {
                "platform": platform,
                "settings": [{"settings": settings}],
                "layers": [
                    {"blob": each.name, "listing": str(each / "listing"), "metadata": str(each / "metadata")}
                    for each in layers
                ],
                "outputs": {name: str(out / name) for name in documents},
            }
        )
    places = [f"--{name}={folder / name}" for name in ("index", "descriptor", "blob-map")]
    return main(["index", *places, "--label=//app:image", '--annotations={"a=b":"c\\nd"}', *map(json.dumps, images)])


def test_an_index_names_what_was_written_and_the_blob_map_names_every_blob(tmp_path: Path) -> None:
    script = layer(
        tmp_path / "script",
        {"kind": "file", "path": "run", "source": file(tmp_path / "x", b"#!/bin/sh\n")},
        {"kind": "file", "path": "bin/sh", "source": file(tmp_path / "y", ELF["amd64"])},
    )
    assert describe(tmp_path / "out", [script], {"entrypoint": ["/run"]}, DOCUMENTS + ATTESTED) == 0

    content = (tmp_path / "out/index").read_bytes()
    index = parse_manifest(content)
    assert isinstance(index, ImageIndex)
    assert index.annotations == {"a=b": "c\nd"}
    assert [str(child.platform) for child in index.manifests] == [*PLATFORMS, "unknown/unknown", "unknown/unknown"]

    names = json.loads((tmp_path / "out/blob-map").read_text())
    places = {digest_of(content): tmp_path / "out/index", digest_of((script / "blob").read_bytes()): script / "blob"}
    for digest, name in names.items():
        path = places.get(digest, tmp_path / "out" / name)
        assert digest_of(path.read_bytes()) == digest, name
    # The layer once, the index, and of each platform what a registry keeps; both have the same attested content.
    assert {"script", "index"} < {*names.values()}
    assert not {name for name in names.values() if name.endswith(("/spdx", "/cyclonedx"))}


def test_without_sboms_an_index_holds_nothing_but_the_images(tmp_path: Path) -> None:
    data = layer(tmp_path / "data", {"kind": "file", "path": "data", "source": file(tmp_path / "x")})
    assert describe(tmp_path / "out", [data], {}, DOCUMENTS) == 0
    index = parse_manifest((tmp_path / "out/index").read_bytes())
    assert isinstance(index, ImageIndex)
    assert [str(child.platform) for child in index.manifests] == PLATFORMS


def test_a_program_of_the_sources_that_fits_one_platform_only_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = {"kind": "file", "path": "run", "source": file(tmp_path / "x", ELF["amd64"])}
    shared = layer(tmp_path / "shared", item, options=["--architecture=amd64"])
    assert describe(tmp_path / "out", [shared], {}, DOCUMENTS) == 1
    assert "//app:image for linux/arm64: the layer 'test' holds programs for amd64" in capsys.readouterr().err


def test_an_entrypoint_that_no_layer_has_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = layer(tmp_path / "data", {"kind": "file", "path": "data", "source": file(tmp_path / "x")})
    assert describe(tmp_path / "out", [data], {"entrypoint": ["/usr/bin/python3", "x"]}, DOCUMENTS) == 1
    assert "//app:image for linux/amd64: its entrypoint /usr/bin/python3 is not in the image" in capsys.readouterr().err


def test_an_entrypoint_whose_interpreter_no_layer_has_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = {"kind": "file", "path": "run", "source": file(tmp_path / "x", b"#!/bin/sh -e\n")}
    script = layer(tmp_path / "script", item)
    assert describe(tmp_path / "out", [script], {"entrypoint": ["/run"]}, DOCUMENTS) == 1
    said = "//app:image for linux/amd64: its entrypoint /run is a script for /bin/sh, which is not in the image"
    assert said in capsys.readouterr().err


def test_an_entrypoint_that_is_text_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    item = {"kind": "file", "path": "run", "source": file(tmp_path / "x", b"echo Hello\n"), "mode": "0755"}
    text = layer(tmp_path / "text", item)
    assert describe(tmp_path / "out", [text], {"entrypoint": ["/run"]}, DOCUMENTS) == 1
    said = "//app:image for linux/amd64: its entrypoint /run cannot be executed: it is no program"
    assert said in capsys.readouterr().err
