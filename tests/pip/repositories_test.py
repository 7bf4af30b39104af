"""The repositories of a lock, made by a real Bazel, in a clone of the workspace that has a second lock."""

import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pip.wheels import native_wheels, pin, write_wheel
from tests.support.workspace import Workspace, shared_workspace

SECOND_LOCK = """
pip.lock(
    name = "second",
    requirements = "//:second.txt",
)
use_repo(pip, "second")
"""
NEIGHBOUR = """
module(name = "neighbour")

bazel_dep(name = "slipway", version = "0.1.0")
bazel_dep(name = "rules_python", version = "1.4.1")

pip = use_extension("@slipway//tools/pip:extensions.bzl", "pip")
pip.lock(
    name = "{hub}",
    requirements = "//:requirements.txt",
)
use_repo(pip, pip = "{hub}")
"""
PROGRAM = """
load("@rules_python//python:defs.bzl", "py_binary")

py_binary(
    name = "program",
    srcs = ["program.py"],
    deps = ["{target}"],
)
"""
ELF_MACHINES = {"linux_amd64": 62, "linux_arm64": 183}


class Clone:
    """A workspace to which a lock is added; the packages of that lock come from a folder."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self.workspace = workspace
        self.folder = folder
        self.output_base = Path(workspace.bazel("info", "output_base").stdout.strip())

    def add_lock(self, text: str) -> None:
        """Gives the workspace's own module a second lock."""
        (self.workspace.path / "second.txt").write_text(text)
        self.workspace.append("MODULE.bazel", SECOND_LOCK)

    def add_neighbour(self, lock: str, hub: str, target: str) -> None:
        """Adds a module that has a lock of its own, whose repository it calls `@pip`, and a program."""
        files = {"MODULE.bazel": NEIGHBOUR.format(hub=hub), "requirements.txt": lock}
        write_program(self.workspace.add_module("neighbour", files), target)

    def folders(self, target: str, platform: str = "") -> list[Path]:
        """The folders on the search path of a program that depends on `target`, for a platform or for the host."""
        write_program(self.workspace.path / "second", target)
        options = [f"--platforms=//tools/platforms:{platform}"] if platform else []
        result = self.bazel("build", *options, "//second:program")
        assert result.returncode == 0, result.stderr
        runfiles = self.workspace.path / "bazel-bin/second/program.runfiles"
        return [path.resolve() for path in runfiles.glob("*/site-packages")]

    def modules(self, target: str, platform: str = "") -> set[str]:
        """The files in these folders, save for metadata."""
        tops = self.folders(target, platform)
        files = {str(path.relative_to(top)) for top in tops for path in top.rglob("*") if path.is_file()}
        return {path for path in files if ".dist-info" not in path}

    def fetched(self, version: str) -> set[str]:
        """The wheels of a version that the second lock has fetched, each as "REPOSITORY: TAG OF THE INTERPRETER"."""
        wheels = self.output_base.glob(f"external/*second_*/*-{version}-*.whl")
        return {f"{wheel.parent.name.rpartition('second_')[2]}: {wheel.name.split('-')[2]}" for wheel in wheels}

    def bazel(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Bazel with a pip that knows nothing but the folder."""
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder), "PIP_CONFIG_FILE": "/dev/null"}
        return self.workspace.bazel(*arguments, environment=pip)


def write_program(folder: Path, target: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "BUILD.bazel").write_text(PROGRAM.format(target=target))
    (folder / "program.py").write_text("import sys\nprint(*sys.path, sep='\\n')\n")


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    with shared_workspace() as workspace:
        yield workspace


@pytest.fixture
def clone(workspace: Workspace, tmp_path: Path) -> Iterator[Clone]:
    yield Clone(workspace, tmp_path)
    workspace.reset()


def test_each_target_gets_its_own_wheels_and_fetches_no_others(clone: Clone) -> None:
    version = f"1.{time.time_ns()}"  # one that no earlier run has left behind
    fast = [
        *native_wheels(clone.folder, "fast", "x86_64", ("311", "312", "313", "314"), version),
        *native_wheels(clone.folder, "fast", "aarch64", ("313",), version),
    ]
    only_arm = native_wheels(clone.folder, "only-arm", "aarch64", ("313",), version)
    app = write_wheel(clone.folder, "app", version, requires=["fast", "only-arm; platform_machine == 'aarch64'"])
    clone.add_lock(pin(app) + pin(*fast) + pin(*only_arm, marker="platform_machine == 'aarch64'"))

    assert clone.modules("@second//app") == {
        "app/__init__.py",
        "fast/__init__.py",
        *(f"fast/_fast.cpython-{python}-x86_64-linux-gnu.so" for python in ("311", "312", "313", "314")),
    }
    on_the_host = {"app: py3", "fast: cp313", *(f"fast__host: cp{python}" for python in ("311", "312", "313", "314"))}
    assert clone.fetched(version) == on_the_host

    assert clone.modules("@second//app", "linux_amd64") == {
        "app/__init__.py",
        "fast/__init__.py",
        "fast/_fast.cpython-313-x86_64-linux-gnu.so",
    }
    assert clone.fetched(version) == on_the_host

    assert clone.modules("@second//app", "linux_arm64") == {
        "app/__init__.py",
        "fast/__init__.py",
        "fast/_fast.cpython-313-aarch64-linux-gnu.so",
        "only_arm/__init__.py",
        "only_arm/_fast.cpython-313-aarch64-linux-gnu.so",
    }
    assert clone.fetched(version) == on_the_host | {"fast__linux_arm64: cp313", "only_arm__linux_arm64: cp313"}


def test_packages_that_need_one_another_come_together(clone: Clone) -> None:
    egg = write_wheel(clone.folder, "egg", requires=["hen"])
    hen = write_wheel(clone.folder, "hen", requires=["egg", "farm"])
    farm = write_wheel(clone.folder, "farm")
    clone.add_lock(pin(egg, via="hen") + pin(hen, via="egg") + pin(farm, via="hen"))
    everything = {"egg/__init__.py", "hen/__init__.py", "farm/__init__.py"}
    assert clone.modules("@second//egg") == clone.modules("@second//hen") == everything


def test_a_changed_wheel_stops_the_build_with_package_platform_and_line(clone: Clone) -> None:
    wheel = write_wheel(clone.folder, "changed")
    clone.add_lock("# head\n" + pin(wheel))
    with wheel.open("ab") as out:
        out.write(b"\0")
    result = clone.bazel("build", "@second//changed")
    assert result.returncode != 0
    what = "second.txt:2: no wheel of changed 1.0 for linux_amd64 (x86_64), CPython 3.13\n  Why: pip says:\n"
    assert what in result.stderr
    assert "DO NOT MATCH THE HASHES" in result.stderr
    assert "\n  What to do: " in result.stderr


def test_a_platform_without_a_wheel_stops_only_the_build_for_it(clone: Clone) -> None:
    clone.add_lock(pin(*native_wheels(clone.folder, "lonely", "x86_64", ("311", "312", "313", "314"))))
    assert clone.bazel("build", "@second//lonely").returncode == 0
    result = clone.bazel("build", "--platforms=//tools/platforms:linux_arm64", "@second//lonely")
    assert result.returncode != 0
    assert "second.txt:1: no wheel of lonely 1.0 for linux_arm64 (aarch64), CPython 3.13" in result.stderr


def test_a_module_that_uses_this_one_has_a_lock_of_its_own(clone: Clone) -> None:
    clone.add_neighbour(pin(write_wheel(clone.folder, "colour")), hub="pip", target="@pip//colour")
    result = clone.bazel("run", "@neighbour//:program")
    assert result.returncode == 0, result.stderr
    (folder,) = (path for path in result.stdout.splitlines() if path.endswith("pip_colour/site-packages"))
    assert Path(folder, "colour/__init__.py").exists()


def test_two_locks_of_one_name_are_an_error_that_names_both_modules(clone: Clone) -> None:
    clone.add_neighbour(pin(write_wheel(clone.folder, "colour")), hub="slipway_pip", target="@pip//colour")
    result = clone.bazel("build", "@neighbour//:program")
    assert result.returncode != 0
    assert 'two locks are named "slipway_pip"\n  Why: slipway and neighbour both call pip.lock' in result.stderr
    assert "\n  What to do: " in result.stderr


@pytest.mark.parametrize("platform", ["linux_amd64", "linux_arm64"])
def test_native_code_of_a_real_package_is_for_the_machine_of_the_platform(workspace: Workspace, platform: str) -> None:
    workspace.build(f"--platforms=//tools/platforms:{platform}", "@pip//pyyaml")
    result = workspace.bazel("cquery", f"--platforms=//tools/platforms:{platform}", "@pip//pyyaml", "--output=files")
    (library,) = Path(workspace.path, result.stdout.strip()).glob("yaml/*.so")
    (machine,) = struct.unpack_from("<H", library.read_bytes(), 18)
    assert machine == ELF_MACHINES[platform]
