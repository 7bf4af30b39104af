"""Commands run in containers of a real engine, on both platforms; what cannot be run is never left out quietly."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.testing.fixtures import SubjectMaker, layer
from tests.support.engine import Engine, docker_engine
from tools.image.entries import bytes_entry
from tools.image.testing.command_check import main

HERE = Path(__file__).parent
CC = HERE / "hello_cc_subject" / "subject.json"
PYTHON = HERE / "hello_python_subject" / "subject.json"
BOTH = "linux/amd64, linux/arm64"


@pytest.fixture(scope="session")
def session_engine() -> Iterator[Engine]:
    with docker_engine() as engine:
        yield engine


@pytest.fixture
def engine(session_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setenv("DOCKER_HOST", session_engine.host)
    monkeypatch.delenv("CI", raising=False)
    return session_engine


@pytest.fixture
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/socket")
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def run(tmp_path: Path) -> "Run":
    return Run(tmp_path)


class Run:
    """Runs the commands of a specification."""

    def __init__(self, folder: Path) -> None:
        self._spec = folder / "spec.yaml"

    def __call__(self, subject: Path, spec: str, engine: str = "required", *options: str) -> int:
        self._spec.write_text(spec, encoding="utf-8")
        fixed = ["--subject", str(subject), "--spec", str(self._spec), "--spec-name", "s", "--engine", engine]
        return main([*fixed, *options])


def test_commands_run_on_every_platform_and_leave_nothing_in_the_engine(
    engine: Engine, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = """
        commands:
          - args: [Ada]
            stdout: {contains: Ada}
            stderr: ""
          - stdout: {matches: "^architecture: x86_64$"}
            platforms: [linux/amd64]
          - stdout: {matches: "^architecture: aarch64$"}
            platforms: [linux/arm64]
    """
    status = run(CC, spec)
    said = capsys.readouterr().out
    assert status == 0, said
    assert [line.partition(" (")[0] for line in said.splitlines()] == [
        "ok     linux/amd64: run Ada",
        "ok     linux/amd64: run",
        "ok     linux/arm64: run Ada",
        "ok     linux/arm64: run",
    ]
    assert engine.docker("ps", "--all", "--quiet") == ""
    assert engine.docker("images", "--all", "--quiet") == ""


def test_what_a_container_did_is_told_with_what_it_should_have_done(
    engine: Engine, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    program = "import os, sys; print('out', os.environ['WHO']); print('err', file=sys.stderr); sys.exit(3)"
    spec = f"""
        commands:
          - entrypoint: [/usr/bin/python3, -c, "{program}"]
            args: [x]
            env: {{WHO: me}}
            stdout: {{matches: "^in"}}
            stderr: "none\\n"
    """
    assert run(PYTHON, spec, "required", "--platform", "linux/amd64") == 1
    said = capsys.readouterr().out
    assert "FAILED linux/amd64: run x (" in said
    assert (
        "  run x\n"
        "      expected  exit status 0\n"
        "      found     exit status 3\n"
        "                standard output: 'out me\\n'\n"
        "                standard error: 'err\\n'\n"
        "      on        linux/amd64\n"
        "      see       s:3\n"
    ) in said
    assert "      expected  standard output: something that matches '^in'\n      found     'out me\\n'\n" in said
    assert "      expected  standard error: 'none\\n'\n      found     'err\\n'\n" in said


def test_a_command_that_does_not_end_is_stopped(engine: Engine, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    program = "import time; print('began', flush=True); time.sleep(600)"
    spec = f'commands: [{{entrypoint: [/usr/bin/python3, -c, "{program}"], timeout: 2}}]'
    assert run(PYTHON, spec, "required", "--platform", "linux/amd64") == 1
    said = capsys.readouterr().out
    assert "      expected  to end within 2 s\n      found     still running\n" in said
    assert "standard output: 'began\\n'" in said
    assert engine.docker("ps", "--all", "--quiet") == ""


def test_a_program_that_is_not_in_the_image_is_a_failure_of_that_command_only(
    engine: Engine, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = "commands: [{entrypoint: [/bin/nothing]}, {args: [--help], exit: 0}]"
    assert run(PYTHON, spec, "required", "--platform", "linux/amd64") == 1
    said = capsys.readouterr().out
    assert "      expected  to start\n" in said
    assert "/bin/nothing" in said
    assert "ok     linux/amd64: run --help" in said


@pytest.mark.parametrize(
    ("policy", "ci", "status"), [("required", "", 1), ("if_available", "", 0), ("if_available", "true", 1)]
)
def test_programs_that_the_engine_cannot_run_are_told(
    engine: Engine,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    policy: str,
    ci: str,
    status: int,
) -> None:
    monkeypatch.setenv("CI", ci)
    # The header of a program for s390x: 64 bits, big-endian, machine 22.
    header = b"\x7fELF" + bytes([2, 2, 1]) + bytes(9) + struct.pack(">HHI", 2, 22, 1) + bytes(4096)
    foreign = layer(bytes_entry("program", header, mode=0o755, origin="test"))
    subject = SubjectMaker(tmp_path / "files", config={"Entrypoint": ["/program"]}).make({"linux/s390x": [foreign]})
    assert run(subject, "commands: [{args: [x]}]", policy) == status
    said = capsys.readouterr().out
    assert "NOT RUN: linux/s390x: the engine cannot run its programs (" in said
    assert "Register an emulator for it (QEMU's binfmt), or give s:1 a list of `platforms`." in said


@pytest.mark.parametrize(
    ("policy", "ci", "status", "end"),
    [
        ("required", "", 1, "Commands were not run, and this test requires an engine.\n"),
        ("if_available", "true", 1, "Commands were not run, and in CI nothing may be left out.\n"),
        ("if_available", "", 0, "Start one, or name its socket in DOCKER_HOST.\n"),
    ],
)
def test_without_an_engine_no_test_says_that_commands_were_run(
    no_engine: None,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    policy: str,
    ci: str,
    status: int,
    end: str,
) -> None:
    monkeypatch.setenv("CI", ci)
    assert run(CC, "commands: [{}]", policy) == status
    said = capsys.readouterr().out
    assert said.startswith("NOT RUN: no Docker engine answers: ")
    assert said.endswith(end)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("files: {/a: }", [], "s has no commands, so there is nothing to run. Leave out `engine`.\n"),
        (
            "commands: [{platforms: [linux/arm64]}]",
            ["--platform", "linux/amd64"],
            "No command of s is for linux/amd64. Correct their platforms, or the test's.\n",
        ),
        ("commands: [{platforms: [linux/arm]}]", [], f"has no platform linux/arm; it has {BOTH}.\n"),
        ("commands: [{arg: []}]", [], "s:1: unknown key 'arg' in a command. Did you mean args?"),
    ],
)
def test_a_test_that_would_run_nothing_fails(
    no_engine: None, run: Run, capsys: pytest.CaptureFixture[str], spec: str, options: list[str], message: str
) -> None:
    assert run(CC, spec, "if_available", *options) == 1
    assert message in capsys.readouterr().out
