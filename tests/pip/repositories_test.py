"""The repositories of a lock, made by a real Bazel, in a clone of the workspace that has a second lock."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pip.wheels import native_wheels, pin, write_wheel
from tests.support.workspace import Workspace, shared_workspace

EXTENSION = 'pip.lock(name = "{name}", requirements = "//:second.txt")\nuse_repo(pip, "{name}")\n'
RUNFILES = """
def format(target):
    return json.encode([each.path for each in providers(target)["DefaultInfo"].default_runfiles.files.to_list()])
"""
ELF_MACHINES = {"linux_amd64": 62, "linux_arm64": 183}


class Clone:
    """A workspace to which a lock is added; the packages of that lock come from a folder."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self.workspace = workspace
        self.folder = folder
        self.output_base = Path(workspace.bazel("info", "output_base").stdout.strip())

    def add_lock(self, text: str, name: str = "second") -> None:
        (self.workspace.path / "second.txt").write_text(text)
        with (self.workspace.path / "MODULE.bazel").open("a") as module:
            module.write(EXTENSION.format(name=name))

    def build(self, target: str, platform: str = "") -> list[Path]:
        """The folders that a target puts among runfiles, for a platform or for the host; fails with Bazel's words."""
        options = [f"--platforms=//tools/platforms:{platform}"] if platform else []
        self._bazel("build", *options, target)
        (self.workspace.path / "runfiles.cquery").write_text(RUNFILES)
        paths = self._bazel("cquery", *options, target, "--output=starlark", "--starlark:file=runfiles.cquery")
        root = Path(self._bazel("info", *options, "execution_root").strip())
        return [root / path for path in json.loads(paths)]

    def modules(self, target: str, platform: str = "") -> set[str]:
        """The files, save for metadata, in the folders of `build`."""
        files = {path.relative_to(top) for top in self.build(target, platform) for path in top.rglob("*") if path.is_file()}
        return {str(path) for path in files if ".dist-info" not in str(path)}

    def failure(self, *arguments: str) -> str:
        """What Bazel says when it fails."""
        with pytest.raises(AssertionError) as error:
            self._bazel(*arguments)
        return str(error.value)

    def fetched(self) -> set[str]:
        """The wheels of the second lock that are here, each as "REPOSITORY: TAG OF THE INTERPRETER"."""
        wheels = self.output_base.glob("external/*second_*/*.whl")
        return {f"{wheel.parent.name.rpartition('second_')[2]}: {wheel.name.split('-')[2]}" for wheel in wheels}

    def _bazel(self, *arguments: str) -> str:
        result = self.workspace.bazel(*arguments, environment=self._environment())
        assert result.returncode == 0, result.stderr
        return result.stdout

    def _environment(self) -> dict[str, str]:
        return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder), "PIP_CONFIG_FILE": "/dev/null"}


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    with shared_workspace() as workspace:
        yield workspace


@pytest.fixture
def clone(workspace: Workspace, tmp_path: Path) -> Iterator[Clone]:
    yield Clone(workspace, tmp_path)
    workspace.reset()


def test_each_target_gets_its_own_wheels_and_fetches_no_others(clone: Clone) -> None:
    fast = [
        *native_wheels(clone.folder, "fast", "x86_64", ("311", "312", "313", "314")),
        *native_wheels(clone.folder, "fast", "aarch64", ("313",)),
    ]
    only_arm = native_wheels(clone.folder, "only-arm", "aarch64", ("313",))
    app = write_wheel(clone.folder, "app", requires=["fast", "only-arm; platform_machine == 'aarch64'"])
    clone.add_lock(pin(app) + pin(*fast) + pin(*only_arm, marker="platform_machine == 'aarch64'"))

    assert clone.modules("@second//app") == {
        "app/__init__.py",
        "fast/__init__.py",
        *(f"fast/_fast.cpython-{python}-x86_64-linux-gnu.so" for python in ("311", "312", "313", "314")),
    }
    on_the_host = {"app: py3", "fast: cp313", *(f"fast__host: cp{python}" for python in ("311", "312", "313", "314"))}
    assert clone.fetched() == on_the_host

    assert clone.modules("@second//app", "linux_amd64") == {
        "app/__init__.py",
        "fast/__init__.py",
        "fast/_fast.cpython-313-x86_64-linux-gnu.so",
    }
    assert clone.fetched() == on_the_host

    assert clone.modules("@second//app", "linux_arm64") == {
        "app/__init__.py",
        "fast/__init__.py",
        "fast/_fast.cpython-313-aarch64-linux-gnu.so",
        "only_arm/__init__.py",
        "only_arm/_fast.cpython-313-aarch64-linux-gnu.so",
    }
    assert clone.fetched() == on_the_host | {"fast__linux_arm64: cp313", "only_arm__linux_arm64: cp313"}


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
    error = clone.failure("build", "@second//changed")
    assert "second.txt:2: no wheel of changed 1.0 for linux_amd64 (x86_64), CPython 3.13\n  Why: pip says:" in error
    assert "DO NOT MATCH THE HASHES" in error
    assert "\n  What to do: " in error


def test_a_platform_without_a_wheel_stops_only_the_build_for_it(clone: Clone) -> None:
    clone.add_lock(pin(*native_wheels(clone.folder, "lonely", "x86_64", ("311", "312", "313", "314"))))
    clone.build("@second//lonely")
    error = clone.failure("build", "--platforms=//tools/platforms:linux_arm64", "@second//lonely")
    assert "second.txt:1: no wheel of lonely 1.0 for linux_arm64 (aarch64), CPython 3.13" in error


def test_two_locks_of_one_name_are_an_error_that_names_it(clone: Clone) -> None:
    clone.add_lock("", name="slipway_pip")
    error = clone.failure("query", "@pip//click")
    assert 'two locks are named "slipway_pip"' in error
    assert "What to do: " in error


@pytest.mark.parametrize("platform", ["linux_amd64", "linux_arm64"])
def test_native_code_of_a_real_package_is_for_the_machine_of_the_platform(clone: Clone, platform: str) -> None:
    libraries = [path for folder in build_from_the_index(clone, platform) for path in folder.rglob("*.so")]
    assert libraries
    for library in libraries:
        (machine,) = struct.unpack_from("<H", library.read_bytes(), 18)
        assert machine == ELF_MACHINES[platform], library.name


def build_from_the_index(clone: Clone, platform: str) -> list[Path]:
    """pyyaml of the project's own lock, with the machine's own pip configuration where it is not here yet."""
    clone.workspace.build(f"--platforms=//tools/platforms:{platform}", "@pip//pyyaml")
    return clone.build("@pip//pyyaml", platform)
