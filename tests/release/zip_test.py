"""release.zip: without Bazel, its packages or an environment, on whatever Python there is."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from release import zip_main
from release.build_command import build
from release.config import Config
from tests.release.house import COMMIT, House
from tests.support.registry import LocalRegistry
from tools.oci.reference import Repository


def starts(python: str) -> bool:
    """Whether there is such a Python; a version manager may have its name without it."""
    return bool(shutil.which(python)) and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0


PYTHONS = ["python3", *filter(starts, ("python3.11", "python3.12", "python3.13"))]
"""The machine's own, and whichever of the others it has."""


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    """A copy outside of everything that was built."""
    (built,) = Path(os.environ["TEST_SRCDIR"]).rglob("release.zip")
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copy(built, folder))


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that is in no workspace."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def call(
    command: Sequence[str | Path], *arguments: str | Path, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it in an empty environment."""
    return subprocess.run(
        [*command, *arguments],
        cwd=folder or "/",
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(params=PYTHONS)
def command(request: pytest.FixtureRequest, program: Path) -> list[str | Path]:
    """The program, started by each Python."""
    return [request.param, program]


def module_version() -> str:
    (file,) = (
        path for path in Path(os.environ["TEST_SRCDIR"]).rglob("MODULE.bazel") if (path.parent / "release").is_dir()
    )
    match = re.search(r'^module\(\n    name = "slipway",\n    version = "([^"]+)"', file.read_text(), re.MULTILINE)
    assert match is not None
    return match[1]


def test_its_version_is_that_of_the_module(program: Path, command: list[str | Path]) -> None:
    for way in (command, [program]):
        outcome = call(way, "--version")
        assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, f"slipway {module_version()}\n", "")


def test_nothing_is_imported_to_tell_the_version(program: Path, elsewhere: Path) -> None:
    script = (
        "import runpy, sys\n"
        f"sys.argv = [{str(program)!r}, '--version']\n"
        "before = set(sys.modules)\n"
        "try:\n"
        f"    runpy.run_path({str(program)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    outcome = call(["python3", "-c", script], folder=elsewhere)
    assert outcome.returncode == 0, outcome.stderr
    version, imported = outcome.stdout.split("\n", 1)
    assert version.startswith("slipway ")
    # What running a zip takes is in Python's hands.
    slow = {"click", "yaml", "release", "tools", "ssl", "socket", "http", "json", "argparse", "subprocess", "email"}
    assert {name.partition(".")[0] for name in imported.split()} & slow == set()


def test_an_image_is_tagged_again_in_an_empty_environment(
    house: House, command: list[str | Path], elsewhere: Path
) -> None:
    house.publish(house.shelf.image, COMMIT)
    arguments = ["hello_python", "v1.0.0", "--commit", COMMIT, "--repository", str(house.repository)]
    arguments += ["--engine", "registry", "--no-provenance", "--json", "record.json"]
    outcome = call(command, "release", *arguments, folder=elsewhere)
    assert outcome.returncode == 0, outcome.stderr
    (record,) = json.loads((elsewhere / "record.json").read_text())["releases"]
    assert record["path"] == "retag"
    assert set(house.tags().values()) == {house.shelf.image.digest}
    assert set(house.tags()) == {COMMIT, "v1.0.0", "latest"}


def test_notes_are_written_of_a_record_in_an_empty_environment(
    house: House, command: list[str | Path], elsewhere: Path
) -> None:
    house.publish(house.shelf.image, COMMIT)
    arguments = ["hello_python", "v1.0.0", "--commit", COMMIT, "--repository", str(house.repository)]
    arguments += ["--engine", "registry", "--no-provenance", "--json", "record.json"]
    assert call(command, "release", *arguments, folder=elsewhere).returncode == 0
    outcome = call(command, "notes", "v1.0.0", "--from", "record.json", "--file", "NOTES.md", folder=elsewhere)
    assert (outcome.returncode, outcome.stderr) == (0, "Wrote NOTES.md\n")
    notes = (elsewhere / "NOTES.md").read_text(encoding="utf-8")
    assert f"docker pull {house.repository}@{house.shelf.image.digest}\n" in notes


def test_a_configuration_is_read_by_the_part_of_the_parser_that_is_python(
    house: House, command: list[str | Path], elsewhere: Path
) -> None:
    house.publish(house.shelf.image, COMMIT)
    (elsewhere / "config.yaml").write_text("tags:\n  version: 'x-{version}'\n")
    arguments = ["hello_python", "v1.0.0", "--commit", COMMIT, "--repository", str(house.repository)]
    arguments += ["--engine", "registry", "--no-provenance", "--config", "config.yaml"]
    assert call(command, "release", *arguments, folder=elsewhere).returncode == 0
    assert "x-v1.0.0" in house.tags()


def test_an_artifact_is_published_out_of_it(
    house: House, command: list[str | Path], elsewhere: Path, registry: LocalRegistry
) -> None:
    shelf = house.shelf
    build(shelf.apps(Config()), COMMIT, False, elsewhere / "images.tar", house.outside())
    owner = house.repository.path
    arguments = ["images.tar", "v1.0.0", f"--to={registry.address}/{owner}", "--json", "-"]
    outcome = call(command, "publish", *arguments, folder=elsewhere)
    assert outcome.returncode == 0, outcome.stderr
    (record,) = json.loads(outcome.stdout)["releases"]
    assert record["artifact_digest"] == record["digest"] == shelf.image.digest
    repository = Repository(registry.address, f"{owner}/demo-hello_python")
    assert house.client.get_manifest(repository.tag("v1.0.0")).digest == shelf.image.digest


def test_the_doctor_is_in_it(house: House, command: list[str | Path]) -> None:
    outcome = call(command, "doctor", str(house.repository), "--json", "-")
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout)["ready"] is True


@pytest.mark.parametrize("verb", sorted(zip_main.VERBS))
def test_every_verb_is_whole(command: list[str | Path], verb: str) -> None:
    outcome = call(command, verb, "--help")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith(f"Usage: {verb} ")


def test_of_every_verb_there_is_it_is_known_whether_it_needs_bazel() -> None:
    """A new one belongs into VERBS or OUTSIDE of zip_main.py."""
    verbs = {path.name.removesuffix("_cli.py") for path in Path(zip_main.__file__).parent.glob("*_cli.py")}
    assert "doctor" in verbs
    assert verbs - {*zip_main.VERBS, *zip_main.OUTSIDE} == set()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["build", "app"], 2, "Cannot run build: it needs Bazel"),
        (["nonsense"], 2, "there is no such verb\nName one of these: doctor, inspect, notes, publish, release"),
        (["release", "hello_python", "v1.0.0"], 2, "release.zip works without Bazel\nTo re-tag"),
    ],
)
def test_what_needs_bazel_is_told_with_what_to_do(
    command: list[str | Path], elsewhere: Path, arguments: list[str], status: int, words: str
) -> None:
    (elsewhere / "MODULE.bazel").touch()  # It does not look for one.
    outcome = call(command, *arguments, folder=elsewhere)
    assert (outcome.returncode, outcome.stdout) == (status, "")
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_an_image_that_is_not_there_is_not_built(house: House, command: list[str | Path], elsewhere: Path) -> None:
    arguments = ["release", "hello_python", "v1.0.0", "--commit", COMMIT, "--repository", str(house.repository)]
    outcome = call(command, *arguments, folder=elsewhere)
    assert outcome.returncode == 3
    assert "release.zip works without Bazel" in outcome.stderr
    assert house.tags() == {}


def test_it_says_what_it_can_do(command: list[str | Path]) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        outcome = call(command, *arguments)
        assert (outcome.returncode, outcome.stderr) == (0, "")
        assert all(f"  {verb} " in outcome.stdout for verb in zip_main.VERBS)
