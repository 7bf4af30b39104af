"""The images that others stand on: one set-up, and the minimal layer is one and the same blob in all of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.debian.roots import ARCHITECTURES, metadata

# The layers of each, bottom first.
BASES = {
    "base": ["minimal", "python3"],
    "minimal_base": ["minimal"],
    "shell_base": ["minimal", "shell"],
}


def _blob(base: str, digest: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((_layout(base) / "blobs" / digest.replace(":", "/")).read_bytes())
    return content


def _layout(base: str) -> Path:
    return Path(f"tests/debian/{base}_index.layout")


def _manifest(base: str, architecture: str) -> dict[str, Any]:
    index = _blob(base, json.loads((_layout(base) / "index.json").read_bytes())["manifests"][0]["digest"])
    (digest,) = (each["digest"] for each in index["manifests"] if each["platform"]["architecture"] == architecture)
    return _blob(base, digest)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("base", BASES)
def test_an_image_has_the_layers_of_its_sets_and_the_minimal_one_is_that_of_all(base: str, architecture: str) -> None:
    layers = [layer["digest"] for layer in _manifest(base, architecture)["layers"]]

    assert layers == [metadata(name, architecture)["digest"] for name in BASES[base]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("base", BASES)
def test_all_run_as_nobody_who_owns_anything_but_a_home_directory(base: str, architecture: str) -> None:
    config = _blob(base, _manifest(base, architecture)["config"]["digest"])["config"]

    assert config == {
        "User": "65532:65532",
        "Env": ["LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "WorkingDir": "/home/nonroot",
    }
