"""The action that writes a layer: what it writes, in how much memory, and what it says of packages that do not fit."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.debian.packages import Member, build_deb, file, raw_deb

# Runs the tool and prints the most memory that it ever had, in KiB. Not getrusage(2): that remembers the parent's, too.
MEASURED = (
    "import sys; from tools.debian.layer_tool import main; code = main(sys.argv[1:]); "
    "print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM:'))); sys.exit(code)"
)
MEMORY_LIMIT = 100_000_000


@dataclass(frozen=True, slots=True)
class Layer:
    blob: Path
    metadata: dict[str, Any]
    listing: list[dict[str, Any]]
    memory: int


def _tool(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    outputs = [f"--blob={folder}/blob", f"--metadata={folder}/metadata", f"--listing={folder}/listing"]
    return subprocess.run(
        [sys.executable, "-c", MEASURED, *outputs, "--created-by=a test", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )


def _layer(folder: Path, *arguments: str | Path) -> Layer:
    result = _tool(folder, *arguments)
    assert result.returncode == 0, result.stderr
    lines = (folder / "listing").read_text().splitlines()
    metadata = json.loads((folder / "metadata").read_text())
    return Layer(folder / "blob", metadata, [json.loads(line) for line in lines], int(result.stdout) * 1024)


def test_the_metadata_and_the_listing_are_about_the_layer(tmp_path: Path) -> None:
    one, two = (build_deb(tmp_path, name, files={f"usr/share/{name}": name}) for name in ("one", "two"))

    layer = _layer(tmp_path / "out", two, one)

    assert layer.metadata["digest"] == f"sha256:{hashlib.sha256(layer.blob.read_bytes()).hexdigest()}"
    assert (layer.metadata["createdBy"], layer.metadata["machine"]) == ("a test", None)
    assert [each["name"] for each in layer.metadata["packages"]] == ["one", "two"]
    with tarfile.open(layer.blob) as archive:
        assert [entry["path"] for entry in layer.listing] == archive.getnames()
    assert {"path": "usr/share/one", "sha256": hashlib.sha256(b"one").hexdigest()}.items() <= next(
        entry for entry in layer.listing if entry["path"] == "usr/share/one"
    ).items()


def test_a_layer_upon_another_has_its_own_packages_only(tmp_path: Path) -> None:
    one, two = (build_deb(tmp_path, name, files={f"usr/share/{name}": name}) for name in ("one", "two"))

    layer = _layer(tmp_path / "out", "--below", one, one, two)

    assert [each["name"] for each in layer.metadata["packages"]] == ["two"]
    assert "usr/share/one" not in {entry["path"] for entry in layer.listing}


def test_the_order_of_the_packages_and_the_place_of_the_files_make_no_difference(tmp_path: Path) -> None:
    below = [build_deb(tmp_path, name, files={f"usr/share/{name}": name}) for name in ("one", "two")]
    own = [build_deb(tmp_path, name, files={f"usr/share/{name}": name}) for name in ("three", "four")]
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in (*below, *own):
        (moved / path.name).write_bytes(path.read_bytes())

    layer = _layer(tmp_path / "out", *(f"--below={path}" for path in below), *own)
    other = _layer(
        tmp_path / "other",
        *(moved / path.name for path in reversed(own)),
        *(f"--below={moved / path.name}" for path in reversed(below)),
    )

    assert (other.metadata, other.listing) == (layer.metadata, layer.listing)


def test_a_package_in_another_version_than_below_is_refused(tmp_path: Path) -> None:
    old, new = (build_deb(tmp_path / version, "libc", version=version) for version in _folders(tmp_path, "1.0", "2.0"))

    result = _tool(tmp_path / "out", "--below", old, new)

    assert result.returncode == 1
    assert "libc is there more than once (1.0 and 2.0)\n  What to do: " in result.stderr
    assert "from one lock" in result.stderr


def _folders(parent: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (parent / name).mkdir()
    return names


@pytest.mark.parametrize("form", ["one large file", "many files", "many packages"])
def test_memory_does_not_grow_with_the_packages(tmp_path: Path, form: str) -> None:
    content = os.urandom(1 << 20)

    def deb(name: str, files: int, repeated: int) -> Path:
        members: list[Member] = [file(f"./usr/lib/{name}/{number}", content * repeated) for number in range(files)]
        return raw_deb(tmp_path, name, members)

    match form:
        case "one large file":
            below, own = [deb("below", 1, 60)], [deb("own", 1, 130)]
        case "many files":
            below, own = [deb("below", 60, 1)], [deb("own", 130, 1)]
        case _:
            below, own = [deb(f"b{number}", 1, 1) for number in range(60)], [deb(f"o{n}", 1, 1) for n in range(130)]

    layer = _layer(tmp_path / "out", *(f"--below={path}" for path in below), *own)

    assert layer.metadata["size"] > 130 << 20
    assert layer.memory < MEMORY_LIMIT
