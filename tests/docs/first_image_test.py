"""The guide "your first image" does what it says: every file of it is written, every command is run."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.engine import Engine, docker_engine
from tests.support.registry import LocalRegistry
from tests.support.sibling import sibling
from tests.support.workspace import IDENTITY, Workspace, bazel_program, shared_workspace

GUIDE = Path(__file__).parents[2] / "docs" / "first-image.md"

# "`path`:" and a block, "Add to `path`:" and a block, or a block of commands.
BLOCK = re.compile(
    r"(?:(?P<added>Add to )?`(?P<path>[^`\n]+)`:\n\n)?```(?P<language>\w*)\n(?P<text>.*?)```\n", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and lines that it prints, in this order (but for results of tests); `…` stands for any text."""

    line: str
    printed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class File:
    """A file, or the end of one that is there."""

    path: str
    text: str
    added: bool


def steps(guide: str) -> Iterator[Command | File]:
    """What a reader does, in the guide's order."""
    for block in BLOCK.finditer(guide):
        if block["language"] == "console":
            for call in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
                line, *printed = call.splitlines()
                yield Command(line, tuple(printed))
        else:
            assert block["path"], f"no file is named above the block {block['text']!r}"
            yield File(block["path"], block["text"], bool(block["added"]))


@pytest.fixture
def folder() -> Iterator[Workspace]:
    """An empty folder beside a clone of this repository called slipway."""
    with shared_workspace() as clone, sibling(clone, "first_image") as empty:
        link = empty.path.parent / "slipway"
        link.unlink(missing_ok=True)
        link.symlink_to(clone.path)
        # What the guide says of the module is to be enough; the caches are the tests' own.
        settings = empty.path / "user.bazelrc"
        settings.write_text((clone.path / "user.bazelrc").read_text())
        yield empty


@pytest.fixture
def engine() -> Iterator[Engine]:
    with docker_engine() as engine:
        yield engine


def test_every_command_of_the_guide_does_what_it_says(folder: Workspace, engine: Engine, tmp_path: Path) -> None:
    with LocalRegistry(tmp_path / "registry") as registry:
        make_bazel(folder, tmp_path / "bin" / "bazel")
        environment = {
            **folder.environment,
            **IDENTITY,
            "DOCKER_HOST": engine.host,
            "PATH": f"{tmp_path}/bin:{folder.environment['PATH']}",
        }
        for step in steps(GUIDE.read_text(encoding="utf-8").replace("127.0.0.1:5000", registry.address)):
            if isinstance(step, File):
                write(folder.path, step)
            else:
                check(step, folder.path, environment)


def make_bazel(folder: Workspace, path: Path) -> None:
    """The program that the guide calls `bazel`: the tests' own, with their caches."""
    options = f"{shlex.join(folder.startup_options)} --bazelrc={folder.path}/user.bazelrc"
    # With the PATH that does not lead here, since bazelw would look for a `bazel` on it.
    search_path = shlex.quote(folder.environment["PATH"])
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nPATH={search_path} exec {shlex.quote(bazel_program())} {options} "$@"\n')
    path.chmod(0o755)


def write(folder: Path, file: File) -> None:
    path = folder / file.path
    path.parent.mkdir(exist_ok=True)
    with path.open("a" if file.added else "w", encoding="utf-8") as opened:
        opened.write(file.text)


def check(command: Command, folder: Path, environment: dict[str, str]) -> None:
    result = subprocess.run(
        ["bash", "-c", command.line],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{command.line}: {result.stdout}"
    said = iter(result.stdout.splitlines())
    for line in command.printed:
        pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
        # Results of tests are in any order: Bazel puts those that it had before the others.
        lines = result.stdout.splitlines() if line.startswith("//") else said
        assert any(map(pattern.fullmatch, lines)), f"{command.line}: {line!r} is missing in:\n{result.stdout}"


def test_the_guide_is_read_whole() -> None:
    """A block in a form that is not known would be left out, and the test would still pass."""
    guide = GUIDE.read_text(encoding="utf-8")
    assert 2 * len(list(BLOCK.finditer(guide))) == guide.count("```")
    assert sum(isinstance(step, Command) for step in steps(guide)) == guide.count("\n$ ")
