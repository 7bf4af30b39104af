"""A repository that is not ours: its platforms, its lock, its programs, and slipway as one of its modules."""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.releasing import PLATFORMS, crane, output
from tests.support.engine import Engine, docker_engine
from tests.support.registry import LocalRegistry
from tests.support.sibling import sibling
from tests.support.tools import tool
from tests.support.workspace import Workspace

GREETER = "//services/greeter:greeter_image"
MACHINE = "//services/machine:machine_image"
ARCHITECTURES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}


@pytest.fixture(scope="session")
def consumer(clone: Workspace) -> Iterator[Workspace]:
    with sibling(clone, "consumer", clone.path / "tests" / "consumer") as consumer:
        consumer.build("//...", GREETER, MACHINE)
        yield consumer


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with docker_engine() as engine:
        yield engine


def release(consumer: Workspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`bazel run @slipway//release:release -- ARGUMENTS`, as its users type it."""
    result = consumer.bazel("run", "@slipway//release:release", "--", *arguments)
    assert result.returncode == 0, result.stderr
    return result


def files_of(image: str, platform: str) -> set[str]:
    """The paths of all files in an image."""
    archive = subprocess.run(
        [*tool("crane"), "export", "--insecure", f"--platform={platform}", image, "-"], capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as opened:
        return {member.name for member in opened if not member.isdir()}


def config_of(image: str, platform: str) -> Mapping[str, Any]:
    return json.loads(crane("config", f"--platform={platform}", image))["config"]  # type: ignore[no-any-return]


def tags_of(repository: str) -> list[str]:
    """All tags but that by which a registry without the referrers API keeps provenance."""
    return sorted(tag for tag in crane("ls", repository).split() if not tag.startswith("sha256-"))


@pytest.fixture(scope="session")
def greeter(consumer: Workspace, registry: LocalRegistry) -> str:
    """The repository that front/greeter has been released to, as v1.0.0 and then as v1.0.1."""
    to = ("--commit", consumer.commit, "--registry", registry.address, "--owner", "acme")
    built = release(consumer, "greeter", "v1.0.0", *to)
    assert "Successfully pushed greeter v1.0.0" in built.stderr
    tagged = release(consumer, "front/greeter", "v1.0.1", *to)
    assert "Re-tagging existing image instead of rebuilding" in tagged.stderr
    return f"{registry.address}/acme/front-greeter"


def test_the_release_takes_the_configuration_of_the_repository_that_calls_it(consumer: Workspace, greeter: str) -> None:
    assert tags_of(greeter) == [f"git-{consumer.commit}", "latest", "v1.0.0", "v1.0.1"]


def test_all_names_of_a_release_are_one_digest_with_the_platforms_of_the_repository(greeter: str) -> None:
    assert len({crane("digest", f"{greeter}:{tag}") for tag in tags_of(greeter)}) == 1
    manifests = json.loads(crane("manifest", f"{greeter}:latest"))["manifests"]
    platforms = [f"{each['platform']['os']}/{each['platform']['architecture']}" for each in manifests]
    assert [platform for platform in platforms if platform != "unknown/unknown"] == list(PLATFORMS)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_image_holds_the_programs_and_the_wheels_of_the_repository_and_none_of_ours(
    greeter: str, platform: str
) -> None:
    files = files_of(f"{greeter}:latest", platform)
    assert {path for path in files if path.startswith("app/_main/") and not path.endswith("__init__.py")} == {
        "app/_main/services/greeter/greeter.py",
        "app/_main/services/greeter/page.html",
        "app/_main/services/greeter/page.py",
    }
    assert {path.split("/")[2] for path in files if path.startswith("opt/wheels/")} == {"jinja2", "markupsafe"}
    speedups = f"opt/wheels/markupsafe/markupsafe/_speedups.cpython-313-{ARCHITECTURES[platform]}-linux-gnu.so"
    assert speedups in files
    assert not [path for path in files if path.startswith("app/") and "slipway" in path]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_release_of_a_repository_runs(greeter: str, engine: Engine, platform: str) -> None:
    image = f"{greeter}:latest"
    engine.docker("pull", "--platform", platform, image)
    printed = engine.run(image, "<Ada>", options=("--platform", platform))
    assert printed == f"<p>Hello, &lt;Ada&gt;, from {ARCHITECTURES[platform]}</p>\n"


def test_a_cc_binary_of_a_repository_is_compiled_for_both_platforms(
    consumer: Workspace, registry: LocalRegistry, tmp_path: Path
) -> None:
    release(consumer, "machine", "v1.0.0", "--commit", consumer.commit, "--registry", registry.address)

    image = f"{registry.address}/fleet-machine:latest"
    said = {}
    for platform in PLATFORMS:
        (program,) = config_of(image, platform)["Entrypoint"]
        files = files_of(image, platform)
        assert files == {program.strip("/"), "app/_repo_mapping"}
        archive = subprocess.run(
            [*tool("crane"), "export", "--insecure", f"--platform={platform}", image, "-"],
            capture_output=True,
            check=True,
        )
        root = tmp_path / platform
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as opened:
            opened.extractall(root, filter="data")
        emulator = {"linux/amd64": [], "linux/arm64": tool("qemu-aarch64")}[platform]
        said[platform] = output([*emulator, f"{root}{program}"]).strip()
    assert said == ARCHITECTURES


def test_image_push_and_image_load_work_from_another_repository(
    consumer: Workspace, registry: LocalRegistry, engine: Engine
) -> None:
    repository = f"{registry.address}/pushed/greeter"
    pushed = consumer.bazel("run", f"{GREETER}_push", "--", "--repository", repository, "--tag", "v1")
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.strip() == crane("digest", f"{repository}:v1").strip()

    loaded = consumer.bazel("run", f"{GREETER}_load", environment={"DOCKER_HOST": engine.host})
    assert loaded.returncode == 0, loaded.stderr
    assert "<p>Hello, world, from" in engine.run("front-greeter:latest")


def test_of_our_own_lock_a_build_fetches_only_what_writes_layers(consumer: Workspace) -> None:
    """The programs that push, load and release need more, and are fetched when they are called."""
    output_base = consumer.bazel("info", "output_base").stdout.strip()
    graph = consumer.bazel("cquery", f"deps({GREETER} + {MACHINE})", "--output=label")
    assert graph.returncode == 0, graph.stderr
    ours = {
        label.split("slipway_pip_")[1].partition("//")[0] for label in graph.stdout.split() if "slipway_pip_" in label
    }
    assert {name.partition("__")[0] for name in ours} == {"deflate", "zstandard"}
    fetched = [folder.name for folder in Path(output_base, "external").iterdir() if "slipway_pip" in folder.name]
    assert not [name for name in fetched if "pytest" in name or "hypothesis" in name]


def test_a_platform_that_is_not_said_to_be_a_containers_is_refused(consumer: Workspace) -> None:
    result = consumer.bazel("build", "//services/greeter:for_an_unprepared_platform")
    assert result.returncode != 0
    assert "give each of its platforms the constraint value @slipway//tools/platforms:container" in result.stderr


def test_a_lock_that_is_not_there_is_made_by_a_command_that_the_repository_can_type(
    consumer: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "packages.yaml").write_text("{suite: trixie, architectures: [amd64], sets: {zones: [tzdata]}}")
    files = f"--manifest {tmp_path}/packages.yaml --lock {tmp_path}/packages.lock.json"
    result = consumer.bazel("run", "@slipway//tools/debian:lock", "--", "--check", *files.split())
    assert result.returncode == 1
    assert f"Run `bazel run @slipway//tools/debian:lock -- {files}` to make it." in result.stderr


def test_the_tests_of_a_repository_pass(consumer: Workspace) -> None:
    """That its lock is in step, and what image_test, image_size_test and image_repro_test say of its images."""
    result = consumer.bazel("test", "//...")
    assert result.returncode == 0, result.stdout + result.stderr
    for test in (
        "//:lock_test",
        *(f"//services/archive:archive_{kind}" for kind in ("repro_test", "size_test", "test")),
    ):
        assert f"\n{test} " in f"\n{result.stdout}"
