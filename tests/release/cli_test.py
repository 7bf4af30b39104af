"""The program as it is called: exit statuses, standard output, signals, and what it takes to start."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from release import command_line, release_cli, start
from release.console import Console
from tests.release.house import COMMIT, House
from tests.support.fault_proxy import FaultProxy
from tools.localregistry import server

PROGRAM = [sys.executable, str(Path(release_cli.__file__).resolve())]


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that is in no workspace; a test's own folder may lie in Bazel's copy of one."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """What the program gets; it finds its modules as this test does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BUILD_", "GITHUB_"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1", "PWD": str(folder), **more}


def call(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *arguments], cwd=folder, env=environment(folder, more), capture_output=True, text=True, check=False
    )


@pytest.fixture
def retag(house: House) -> list[str]:
    """The arguments of a release that only re-tags."""
    house.release(None)
    return ["hello_python", "v1.0.0", "--commit", COMMIT, "--repository", str(house.repository), "--engine", "registry"]


def test_the_help_has_examples_and_exit_statuses(elsewhere: Path) -> None:
    outcome = call(elsewhere, "--help")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert "release hello_python v1.0.0 --commit $(git rev-parse HEAD)\n" in outcome.stdout
    assert re.search(r"^ *3 +refused: a guard said no", outcome.stdout, re.MULTILINE)


def test_standard_output_is_left_to_machines(elsewhere: Path, retag: list[str]) -> None:
    outcome = call(elsewhere, *retag)
    assert (outcome.returncode, outcome.stdout) == (0, ""), outcome.stderr
    assert outcome.stderr.splitlines()[-1] == "Successfully tagged hello_python v1.0.0 from existing commit image"
    assert "\x1b" not in outcome.stderr


def test_the_record_goes_to_standard_output_alone(elsewhere: Path, retag: list[str]) -> None:
    outcome = call(elsewhere, *retag, "--json", "-")
    document = json.loads(outcome.stdout)
    assert document["schema"] == 2
    assert [(each["path"], each["error"]) for each in document["releases"]] == [("retag", None)]


def test_the_record_goes_to_a_file_of_the_folder_that_the_call_came_from(
    elsewhere: Path, tmp_path: Path, retag: list[str]
) -> None:
    """`bazel run` starts the program in another folder."""
    outcome = call(elsewhere, *retag, "--json", "record.json", BUILD_WORKING_DIRECTORY=str(tmp_path))
    assert (outcome.returncode, outcome.stdout) == (0, ""), outcome.stderr
    assert json.loads((tmp_path / "record.json").read_text())["releases"][0]["app"] == "hello_python"
    assert [path.name for path in tmp_path.glob("*record*")] == ["record.json"]


@pytest.mark.parametrize(
    ("file", "why"), [("", "a folder"), (".", "a folder"), ("nowhere/record.json", "there is no folder")]
)
def test_a_record_that_could_not_be_written_ends_a_release_before_it_begins(
    elsewhere: Path, house: House, retag: list[str], file: str, why: str
) -> None:
    outcome = call(elsewhere, *retag, "--json", file)
    assert outcome.returncode == 2
    assert why in outcome.stderr
    assert house.tags() == {COMMIT: house.shelf.image.digest}
    assert list(elsewhere.iterdir()) == []


def test_a_record_goes_into_a_pipe_and_through_a_link_without_replacing_them(elsewhere: Path, retag: list[str]) -> None:
    (elsewhere / "link").symlink_to("target.json")
    assert call(elsewhere, *retag, "--json", "link").returncode == 0
    assert (elsewhere / "link").is_symlink()
    assert json.loads((elsewhere / "target.json").read_text())["releases"][0]["version"] == "v1.0.0"

    os.mkfifo(elsewhere / "pipe")
    with subprocess.Popen(["cat", elsewhere / "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        assert call(elsewhere, *retag, "--json", "pipe").returncode == 0
        assert json.loads(reader.communicate(timeout=30)[0])["releases"][0]["version"] == "v1.0.0"
    assert (elsewhere / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ([], 2, "Missing argument 'APP... [VERSION]'"),
        (["app", "1.0.0"], 2, "Version '1.0.0' does not follow semantic versioning format"),
        (["app", ""], 2, "Version '' does not follow semantic versioning format"),
        (["app", "v1.0.0", "--bump", "minor"], 2, "VERSION and --bump: they contradict each other"),
        (["app", "v1.0.0", "--git-tag"], 2, "--git-tag needs a version and --commit"),
        (["app", "--commit", "abcdef1", "--git-tag"], 2, "--git-tag needs a version and --commit"),
        ([" , ", "v1.0.0"], 2, "no app is named"),
        (["app", "more", "v1.0.0", "--repository", "ghcr.io/a/b"], 2, "a repository is one app's"),
        (["app", "v1.0.0", "--commit", "main"], 2, "commit 'main' is not hexadecimal"),
        (["app", "v1.0.0", "--nonsense"], 2, "No such option"),
        (["app", "v1.0.0", "--engine", "skopeo"], 2, "'skopeo' is not one of 'imagetools', 'registry'"),
        (["app", "v1.0.0", "--repository", "app"], 2, "it has no path after the registry"),
        (["app", "v1.0.0", "--registry", "https://ghcr.io"], 2, "a registry is HOST or HOST:PORT"),
        (["app", "v1.0.0", "--config", "missing.yaml"], 2, "missing.yaml"),
        (["app", "v1.0.0"], 2, "is not in a Bazel workspace"),
        (["app"], 2, "neither a VERSION nor a --commit"),
    ],
)
def test_a_wrong_call_is_told_from_a_failure(elsewhere: Path, arguments: list[str], status: int, words: str) -> None:
    outcome = call(elsewhere, *arguments)
    assert (outcome.returncode, outcome.stdout) == (status, "")
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_the_configuration_of_the_calling_workspace_counts(elsewhere: Path, retag: list[str]) -> None:
    (elsewhere / "release").mkdir()
    (elsewhere / "inner").mkdir()
    (elsewhere / "release" / "config.yaml").write_text("tags:\n  version: 'x-{version}'\n")
    plain = call(elsewhere, *retag, "--dry-run")
    (elsewhere / "MODULE.bazel").touch()
    inside = call(elsewhere / "inner", *retag, "--dry-run")
    told = call(Path("/"), *retag, "--dry-run", BUILD_WORKSPACE_DIRECTORY=str(elsewhere))
    assert ":x-v1.0.0: " not in plain.stderr
    assert ":x-v1.0.0: " in inside.stderr
    assert ":x-v1.0.0: " in told.stderr


def test_what_only_builds_or_docker_need_is_not_imported_to_retag(elsewhere: Path, retag: list[str]) -> None:
    (elsewhere / "MODULE.bazel").touch()
    program = [sys.executable, "-X", "importtime", *PROGRAM[1:], *retag]
    outcome = subprocess.run(
        program, cwd=elsewhere, env=environment(elsewhere, {}), capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    imported = set(re.findall(r"^import time: .*\| +([\w.]+)$", outcome.stderr, re.MULTILINE))
    assert {"click", "release.flow", "tools.oci.client"} <= imported
    for module in (
        *(
            "yaml",
            "docker",
            "requests",
            "urllib3",
            "asyncio",
            "concurrent.futures",
            "logging",
            "tempfile",
            "subprocess",
        ),
        *("release.workshop", "release.bazel", "release.builder", "release.built_image", "release.source_tree"),
        *("release.child", "release.config_file", "release.cosign", "tools.localregistry.server"),
    ):
        assert module not in imported, module


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_release_ends_at_once_with_one_line(
    elsewhere: Path, retag: list[str], house: House, proxy: FaultProxy, number: signal.Signals, status: int
) -> None:
    proxy.latency = 2.0
    victim = subprocess.Popen(
        [*PROGRAM, *retag], cwd=elsewhere, env=environment(elsewhere, {}), stderr=subprocess.PIPE, text=True
    )
    # Its connections are there, and their answers are not.
    while not sockets(victim.pid):
        time.sleep(0.01)
    time.sleep(0.1)
    victim.send_signal(number)
    said = victim.communicate(timeout=30)[1]
    assert victim.returncode == status
    assert said == "Error: interrupted; nothing misleading is left, and the same command finishes the rest\n"
    proxy.latency = 0.0
    assert set(house.tags()) == {COMMIT}


def sockets(pid: int) -> list[str]:
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            links.append(str(descriptor.readlink()))
        except OSError:
            continue
    return [link for link in links if link.startswith("socket:")]


def test_ctrl_c_ends_docker_too(elsewhere: Path, retag: list[str], tmp_path: Path) -> None:
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    trap = f"trap 'echo ended > {tmp_path}/ended; exit 130' INT"
    docker.write_text(f"#!/bin/sh\n{trap}\necho $$ > {tmp_path}/pid\nwhile :; do sleep 0.05; done\n")
    docker.chmod(0o755)
    path = f"{docker.parent}{os.pathsep}{os.environ['PATH']}"
    victim = subprocess.Popen(
        [*PROGRAM, *retag[:-1], "imagetools"],
        cwd=elsewhere,
        env=environment(elsewhere, {"PATH": path}),
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "pid").exists():
        time.sleep(0.01)
    victim.send_signal(signal.SIGINT)
    said = victim.communicate(timeout=30)[1]
    assert victim.returncode == 130
    assert said.splitlines()[-1].startswith("Error: interrupted")
    assert (tmp_path / "ended").read_text() == "ended\n"


def test_colours_are_for_terminals(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as stream:
        for colour in (False, True):
            console = Console(stream, colour)
            console.say("said")
            console.warn("warned")
            console.fail("failed")
        stream.seek(0)
        assert stream.read().splitlines() == [
            *("said", "Warning: warned", "Error: failed"),
            *("said", "\x1b[33mWarning: warned\x1b[0m", "\x1b[31mError: failed\x1b[0m"),
        ]


def test_the_log_is_written_whatever_the_locale(elsewhere: Path, retag: list[str]) -> None:
    outcome = subprocess.run(
        [*PROGRAM, *retag],
        cwd=elsewhere,
        env=environment(elsewhere, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        capture_output=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    assert "✅ Tagged with v1.0.0".encode() in outcome.stderr


def test_the_registry_of_this_machine_is_started_when_nothing_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = io.StringIO()
    try:
        command_line.start_local_registry(f"127.0.0.1:{port}", Console(log))
        assert server.answers(server.Address("127.0.0.1", port))
        assert "Starting a registry" in log.getvalue()
        said = log.getvalue()
        command_line.start_local_registry(f"127.0.0.1:{port}", Console(log))
        assert log.getvalue() == said
    finally:
        server.stop(port)


def test_compiled_modules_are_kept_in_the_users_cache_and_made_again_for_another_source(
    elsewhere: Path, tmp_path: Path
) -> None:
    package = tmp_path / "release"
    package.mkdir()
    program = package / "release_cli.py"
    program.write_text(Path(release_cli.__file__).read_text())
    (package / "start.py").write_text(Path(start.__file__).read_text())
    cache = tmp_path / "cache"
    for number in (1, 2):
        (package / "command_line.py").write_text(f"def main(arguments):\n    return {number}\n")
        os.utime(package / "command_line.py", (number, number))
        for _ in range(2):
            outcome = subprocess.run(
                [sys.executable, str(program)],
                env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1", "XDG_CACHE_HOME": str(cache)}
                | {"PYTHONDONTWRITEBYTECODE": "1"},  # as it is started among Bazel's outputs
                check=False,
            )
            assert outcome.returncode == number
    assert len(list(cache.rglob("command_line.*.pyc"))) == 1
    assert list(tmp_path.rglob("__pycache__")) == []
