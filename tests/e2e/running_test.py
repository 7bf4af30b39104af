"""The image runs: in a real Docker engine, pulled from a real registry, on both platforms."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.releasing import APP, Releaser, output, skopeo
from tests.support.engine import Engine, docker_engine
from tests.support.tools import tool

ARCHITECTURES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
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


@pytest.mark.parametrize("platform", ARCHITECTURES)
def test_image_load_loads_the_platform_that_was_named(released: Releaser, engine: Engine, platform: str) -> None:
    load = released.workspace.command("run", f"//apps/{APP}:{APP}_image_load", "--", "--platform", platform)
    environment = released.environment({"DOCKER_HOST": engine.host})
    result = subprocess.run(
        load, cwd=released.workspace.path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr

    printed = engine.run(f"demo-{APP}:latest", options=("--platform", platform))
    assert f"architecture: {ARCHITECTURES[platform]}" in printed


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
