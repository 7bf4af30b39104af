"""The image runs: in a real Docker engine, pulled from a real registry, on both platforms."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.releasing import APP, Releaser, output, skopeo
from tests.support.engine import Engine, docker_engine
from tests.support.tools import tool
from tests.support.workspace import Workspace

ARCHITECTURES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
QUIETLY = ("--ui_event_filters=-info,-stdout,-stderr", "--noshow_progress")

# Asks the web app for a path, from within its container: there is no way in from outside.
ASK = "import sys; from urllib.request import *; print(urlopen('http://127.0.0.1:8080' + sys.argv[1]).read().decode())"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a program printed."""

    stdout: str
    stderr: str

    @property
    def megabytes_sent(self) -> float:
        (sent,) = re.findall(r"([0-9.]+) MB of layers sent", self.stderr)
        return float(sent)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with docker_engine() as engine:
        yield engine


@pytest.fixture
def fresh_engine() -> Iterator[Engine]:
    """One that knows no image yet."""
    with docker_engine() as engine:
        yield engine


@pytest.mark.parametrize("platform", ARCHITECTURES)
def test_a_released_image_runs_and_prints_the_architecture_that_it_was_built_for(
    released: Releaser, engine: Engine, platform: str
) -> None:
    image = f"{released.repository}:v1.0.0"
    engine.docker("pull", "--platform", platform, image)
    options = ("--platform", platform)

    assert engine.run(image, options=options).splitlines()[:2] == [
        "Hello, world!",
        f"architecture: {ARCHITECTURES[platform]}",
    ]
    assert "Usage:" in engine.run(image, "--help", options=options)
    assert engine.run(image, "Ada", "--language", "de", options=options).startswith("Hallo, Ada!\n")


def test_a_released_image_runs_as_an_ordinary_user_on_a_read_only_file_system(
    released: Releaser, engine: Engine
) -> None:
    image = f"{released.repository}:v1.0.0"
    engine.docker("pull", "--platform", "linux/amd64", image)
    locked = ("--platform", "linux/amd64", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")

    assert "Hello, world!" in engine.run(image, options=locked)
    user = engine.docker("image", "inspect", "--format", "{{.Config.User}}", image).strip()
    assert user.split(":")[0] not in ("", "0", "root")


def bazel_run(workspace: Workspace, engine: Engine, target: str, *arguments: str, **environment: str) -> Outcome:
    """`bazel run TARGET -- ARGUMENTS` against the test's engine, as somebody at a terminal types it."""
    result = subprocess.run(
        workspace.command("run", *QUIETLY, target, "--", *arguments),
        cwd=workspace.path,
        env={**workspace.environment, "DOCKER_HOST": engine.host, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return Outcome(result.stdout, result.stderr)


@pytest.mark.parametrize("platform", ARCHITECTURES)
def test_image_load_loads_the_platform_that_was_named(workspace: Workspace, engine: Engine, platform: str) -> None:
    bazel_run(workspace, engine, f"//apps/{APP}:{APP}_image_load", "--platform", platform)
    printed = engine.run(f"demo-{APP}:latest", options=("--platform", platform))
    assert f"architecture: {ARCHITECTURES[platform]}" in printed


def test_image_load_sends_only_what_the_engine_lacks(workspace: Workspace, fresh_engine: Engine) -> None:
    load = f"//apps/{APP}:{APP}_image_load"
    first = bazel_run(workspace, fresh_engine, load)
    assert first.megabytes_sent > 10
    assert bazel_run(workspace, fresh_engine, load).megabytes_sent == 0

    greetings = workspace.path / "apps" / APP / "greetings.yaml"
    greetings.write_text(greetings.read_text().replace("Hello", "Good day"))
    changed = bazel_run(workspace, fresh_engine, load)
    assert changed.megabytes_sent < 0.1
    assert changed.stdout != first.stdout
    assert fresh_engine.run(f"demo-{APP}:latest").startswith("Good day, world!")

    # Another app on the same base.
    assert bazel_run(workspace, fresh_engine, "//apps/hello_web:hello_web_image_load").megabytes_sent < 5


def test_image_run_hands_all_arguments_to_the_container(workspace: Workspace, engine: Engine) -> None:
    run = f"//apps/{APP}:{APP}_image_run"
    assert bazel_run(workspace, engine, run, "Ada", "--language", "de").stdout.startswith("Hallo, Ada!\n")
    assert "Usage:" in bazel_run(workspace, engine, run, "--help").stdout


@pytest.mark.parametrize("platform", ARCHITECTURES)
def test_a_c_program_runs_from_scratch_on_both_platforms(workspace: Workspace, engine: Engine, platform: str) -> None:
    run = "//apps/hello_cc:hello_cc_image_run"
    said = bazel_run(workspace, engine, run, "Ada", DOCKER_DEFAULT_PLATFORM=platform).stdout
    assert said.splitlines() == ["Hello, Ada!", f"architecture: {ARCHITECTURES[platform]}"]


@pytest.mark.parametrize("platform", ARCHITECTURES)
def test_a_script_finds_its_shell_and_its_data(workspace: Workspace, engine: Engine, platform: str) -> None:
    run = "//tests/image/binaries:script_image_run"
    assert bazel_run(workspace, engine, run, DOCKER_DEFAULT_PLATFORM=platform).stdout == "many words\n"


@pytest.mark.parametrize(
    ("program", "why", "what_to_do"),
    [
        ("dynamic", "is linked dynamically and needs /lib64/ld-linux-x86-64.so.2", "minimal_base, or link the program"),
        ("script", "is a script for /bin/sh", "shell_base has sh"),
        ("env_script", "is a script for /usr/bin/env", "which needs no env"),
    ],
)
def test_a_program_that_its_base_cannot_start_makes_no_image(
    workspace: Workspace, program: str, why: str, what_to_do: str
) -> None:
    label = f"//tests/image/binaries:unfit_{program}_image"
    built = workspace.bazel("build", label)
    assert built.returncode == 1, built.stderr
    entrypoint = f"/app/_main/tests/image/binaries/{program}"
    assert f"{label} for linux/amd64: its entrypoint {entrypoint} {why}, which is not in the image" in built.stderr
    assert what_to_do in built.stderr


def test_a_python_program_without_python_makes_no_image(workspace: Workspace) -> None:
    label = "//tests/image/binaries:unfit_python_image"
    built = workspace.bazel("build", label)
    assert built.returncode == 1, built.stderr
    said = f"{label} for linux/amd64: its py_binary is started by /usr/bin/python3, which is not in the image"
    assert said in built.stderr
    assert "Choose a base that has it, such as @slipway//tools/debian:base" in built.stderr


@pytest.mark.parametrize(("target", "file"), [("nothing", "nothing"), ("text", "words.txt")])
def test_a_file_that_is_no_program_makes_no_image(workspace: Workspace, target: str, file: str) -> None:
    label = f"//tests/image/binaries:unfit_{target}_image"
    built = workspace.bazel("build", label)
    assert built.returncode == 1, built.stderr
    entrypoint = f"/app/_main/tests/image/binaries/{file}"
    assert f"{label} for linux/amd64: its entrypoint {entrypoint} cannot be executed: it is no program" in built.stderr
    assert "Give a script a first line such as #!/bin/sh" in built.stderr


@pytest.mark.parametrize("platform", ARCHITECTURES)
def test_the_web_app_answers_and_ends_when_it_is_asked_to(workspace: Workspace, engine: Engine, platform: str) -> None:
    bazel_run(workspace, engine, "//apps/hello_web:hello_web_image_load", "--platform", platform)
    container = engine.docker(
        "run", "--detach", "--network=none", "--platform", platform, "demo-hello_web:latest"
    ).strip()

    def get(path: str) -> str:
        deadline = time.monotonic() + 60
        while True:
            try:
                return engine.docker("exec", container, "/usr/bin/python3", "-c", ASK, path)
            except AssertionError:
                assert time.monotonic() < deadline, engine.docker("logs", container)
                time.sleep(0.2)

    assert json.loads(get("/healthz")) == {"status": "ok"}
    assert f"architecture: {ARCHITECTURES[platform]}" in get("/?name=Ada")
    engine.docker("stop", "--time=30", container)
    assert engine.docker("inspect", "--format={{.State.ExitCode}}", container).strip() == "0"
    engine.docker("rm", container)


def test_the_arm64_image_runs_under_qemu_without_an_engine(released: Releaser, tmp_path: Path) -> None:
    source = f"docker://{released.repository}:v1.0.0"
    skopeo("copy", "--override-arch=arm64", "--src-tls-verify=false", source, f"oci:{tmp_path}/layout:arm64")
    unpack = [*tool("umoci"), "raw", "unpack", "--image", f"{tmp_path}/layout:arm64", str(tmp_path / "root")]
    output([*unpack, *([] if os.geteuid() == 0 else ["--rootless"])])
    config = json.loads(skopeo("inspect", "--config", f"oci:{tmp_path}/layout:arm64"))["config"]
    # The emulator looks for libraries below -L; the programs themselves are named where they lie.
    program = [f"{tmp_path}/root{path}" for path in config["Entrypoint"]]
    printed = output([*tool("qemu-aarch64"), "-L", str(tmp_path / "root"), *program])
    assert printed.splitlines()[:2] == ["Hello, world!", "architecture: aarch64"]
