"""Real pip on a folder of wheels: nothing here needs a network."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pip.wheels import native_wheels, pin, write_index, write_wheel
from tools.pip.errors import PipError
from tools.pip.fetch import Fetched, fetch, plan
from tools.pip.targets import TARGETS

HOST_PYTHONS = ("311", "312", "313", "314")


class Index:
    """A folder of wheels that pip finds, and a lock."""

    def __init__(self, root: Path) -> None:
        self.wheels = root / "index"
        self.lock = root / "lock.txt"
        self.fetched = root / "fetched"
        self.wheels.mkdir()
        self.fetched.mkdir()

    def fetch(self, name: str, target: str) -> Fetched:
        (line,) = (package.pins[target] for package in plan(self.lock) if package.name == name)
        return fetch(line, TARGETS[target], self.lock, self.fetched)

    def fetched_files(self) -> set[str]:
        return {path.name for path in self.fetched.iterdir()}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    index = Index(tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", str(index.wheels))
    return index


def test_one_pure_wheel_serves_every_target_and_each_needs_what_its_markers_say(index: Index) -> None:
    wheel = write_wheel(
        index.wheels,
        "click",
        requires=[
            "Always_There>=1",
            "backport; python_version < '3.12'",
            "only-arm; platform_machine == 'aarch64'",
            "colorama; sys_platform == 'win32'",
            "speedup; extra == 'fast'",
        ],
    )
    others = [write_wheel(index.wheels, name) for name in ("always-there", "backport", "only-arm", "speedup")]
    index.lock.write_text("".join(pin(each) for each in (wheel, *others)))

    assert index.fetch("click", "linux_amd64") == Fetched(
        wheels=(wheel.name,),
        pure=True,
        needs={
            "host": ("always-there", "backport"),
            "linux_amd64": ("always-there",),
            "linux_arm64": ("always-there", "only-arm"),
        },
    )
    assert index.fetched_files() == {wheel.name}


def test_a_wheel_is_known_by_its_digest(index: Index) -> None:
    wheel = write_wheel(index.wheels, "click")
    index.lock.write_text(pin(wheel))
    assert index.fetch("click", "linux_amd64").digests == (hashlib.sha256(wheel.read_bytes()).hexdigest(),)


def test_the_host_gets_a_native_wheel_for_each_interpreter_and_a_container_exactly_its_own(index: Index) -> None:
    for machine in ("x86_64", "aarch64"):
        wheels = native_wheels(index.wheels, "fast", machine, HOST_PYTHONS)
    index.lock.write_text(pin(*sorted(index.wheels.iterdir())))

    host = index.fetch("fast", "host")
    assert host.wheels == tuple(f"fast-1.0-cp{each}-cp{each}-manylinux_2_17_x86_64.whl" for each in HOST_PYTHONS)
    assert not host.pure
    assert index.fetch("fast", "linux_amd64").wheels == ("fast-1.0-cp313-cp313-manylinux_2_17_x86_64.whl",)
    assert index.fetch("fast", "linux_arm64").wheels == ("fast-1.0-cp313-cp313-manylinux_2_17_aarch64.whl",)
    assert wheels[2].name in index.fetched_files()


@pytest.mark.parametrize(
    "tag", ["cp39-abi3-manylinux_2_28_x86_64", "py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64"]
)
def test_a_wheel_that_promises_to_fit_later_interpreters_is_fetched_once(index: Index, tag: str) -> None:
    wheel = write_wheel(index.wheels, "steady", tag=tag)
    later = write_wheel(index.wheels, "steady", tag="cp314-cp314-manylinux_2_17_x86_64")  # never asked for
    index.lock.write_text(pin(wheel, later))
    assert index.fetch("steady", "host") == Fetched(wheels=(wheel.name,), pure=False, needs={"host": ()})


def test_a_wheel_of_python_code_for_one_interpreter_is_not_pure(index: Index) -> None:
    wheels = [write_wheel(index.wheels, "picky", tag=f"cp{python}-none-any") for python in HOST_PYTHONS]
    index.lock.write_text(pin(*wheels))
    assert index.fetch("picky", "linux_amd64") == Fetched((wheels[2].name,), pure=False, needs={"linux_amd64": ()})
    assert index.fetch("picky", "host").wheels == tuple(wheel.name for wheel in wheels)


def test_interpreters_that_the_marker_leaves_out_need_no_wheel(index: Index) -> None:
    wheels = native_wheels(index.wheels, "backport", "x86_64", ("311", "312"))
    index.lock.write_text(pin(*wheels, marker="python_version < '3.13'"))
    (package,) = plan(index.lock)
    assert set(package.pins) == {"host"}
    assert index.fetch("backport", "host").wheels == tuple(wheel.name for wheel in wheels)


def test_a_container_takes_wheels_for_a_newer_glibc_than_the_host(index: Index) -> None:
    old = write_wheel(index.wheels, "fast", tag="cp313-cp313-manylinux_2_17_x86_64")
    new = write_wheel(index.wheels, "fast", tag="cp313-cp313-manylinux_2_41_x86_64")
    write_wheel(index.wheels, "fast", tag="cp313-cp313-manylinux_2_42_x86_64")
    index.lock.write_text(pin(*index.wheels.iterdir(), marker="python_version == '3.13'"))
    assert index.fetch("fast", "linux_amd64").wheels == (new.name,)
    assert index.fetch("fast", "host").wheels == (old.name,)


def test_a_wheel_that_the_lock_does_not_know_is_passed_over(
    index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = write_wheel(tmp_path / "files", "click")
    better = write_wheel(tmp_path / "files", "click", tag="cp313-cp313-manylinux_2_17_x86_64")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", write_index(tmp_path / "simple", [known, better]))
    index.lock.write_text(pin(known))
    assert index.fetch("click", "linux_amd64").wheels == (known.name,)


def test_extras_of_the_lock_are_followed_through_those_that_stand_for_others(index: Index) -> None:
    wheel = write_wheel(
        index.wheels,
        "web",
        requires=["web[fast]; extra == 'all'", "speedup; extra == 'fast'", "never; extra == 'slow'"],
    )
    speedup = write_wheel(index.wheels, "speedup")
    index.lock.write_text(pin(wheel, extras="[all]") + pin(speedup))
    assert index.fetch("web", "linux_amd64").needs["host"] == ("speedup",)


def test_a_dependency_that_the_lock_lacks_is_an_error_that_names_both(index: Index) -> None:
    wheel = write_wheel(index.wheels, "click", requires=["missing>=2"])
    index.lock.write_text("# head\n" + pin(wheel))
    with pytest.raises(PipError) as error:
        index.fetch("click", "linux_amd64")
    assert error.value.what == "lock.txt:2: click 1.0 needs missing on host (x86_64), which the lock does not have"
    assert "Requires-Dist: missing>=2" in error.value.why
    assert "by the command at its head" in error.value.remedy


def test_an_extra_that_the_lock_lacks_is_an_error_that_names_both(index: Index) -> None:
    app = write_wheel(index.wheels, "app", requires=["web[fast]"])
    web = write_wheel(index.wheels, "web")
    index.lock.write_text(pin(app) + pin(web))
    with pytest.raises(PipError, match=r"lock.txt:3: web is locked without the extra fast\n.*app 1.0 \(lock.txt:1\)"):
        index.fetch("app", "linux_amd64")


def test_another_content_under_the_same_name_is_an_error_with_package_platform_and_line(index: Index) -> None:
    wheel = write_wheel(index.wheels, "click")
    index.lock.write_text("# head\n\n" + pin(wheel))
    with wheel.open("ab") as out:
        out.write(b"\0")
    with pytest.raises(PipError) as error:
        index.fetch("click", "linux_arm64")
    assert error.value.what == "lock.txt:3: no wheel of click 1.0 for linux_arm64 (aarch64), CPython 3.13"
    assert "DO NOT MATCH THE HASHES" in error.value.why
    assert hashlib.sha256(wheel.read_bytes()).hexdigest() in error.value.why
    assert "by the command at its head" in error.value.remedy


@pytest.mark.parametrize(
    ("machine", "pythons", "target", "what"),
    [
        ("x86_64", HOST_PYTHONS, "linux_arm64", "for linux_arm64 (aarch64), CPython 3.13"),
        ("x86_64", ("311", "312", "313"), "host", "for host (x86_64), CPython 3.14"),
        ("aarch64", HOST_PYTHONS, "linux_amd64", "for linux_amd64 (x86_64), CPython 3.13"),
    ],
)
def test_a_platform_without_a_wheel_is_an_error_with_package_platform_and_line(
    index: Index, machine: str, pythons: tuple[str, ...], target: str, what: str
) -> None:
    index.lock.write_text(pin(*native_wheels(index.wheels, "fast", machine, pythons)))
    with pytest.raises(PipError) as error:
        index.fetch("fast", target)
    assert error.value.what == f"lock.txt:1: no wheel of fast 1.0 {what}"
    assert "No matching distribution found for fast==1.0" in error.value.why
    assert "a wheel for this platform" in error.value.remedy


def test_no_network_is_an_error_with_package_platform_and_line(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.lock.write_text(pin(write_wheel(index.wheels.parent, "click")))
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(PipError) as error:
        index.fetch("click", "linux_amd64")
    assert error.value.what == "lock.txt:1: no wheel of click 1.0 for linux_amd64 (x86_64), CPython 3.13"
    assert error.value.why.count("Connection refused") == 1
    assert "reachable" in error.value.remedy


def test_pip_may_be_bound_to_virtual_environments(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    wheel = write_wheel(index.wheels, "click")
    index.lock.write_text(pin(wheel))
    assert index.fetch("click", "linux_amd64").wheels == (wheel.name,)


def test_a_wheel_whose_dependencies_cannot_be_read_is_an_error(index: Index) -> None:
    index.lock.write_text(pin(write_wheel(index.wheels, "click", requires=["no requirement at all"])))
    with pytest.raises(PipError, match=r"click-1.0-py3-none-any.whl|no wheel of click 1.0"):
        index.fetch("click", "linux_amd64")


def test_the_program_prints_its_error_in_three_parts(index: Index) -> None:
    index.lock.write_text("click\n")
    result = run_program(index, [])
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("lock.txt:1: `click` is not pinned\n  Why: ")
    assert "\n  What to do: " in result.stderr


def test_a_python_without_pip_is_an_error_that_says_what_to_install(index: Index) -> None:
    index.lock.write_text("")
    result = run_program(index, ["-S"])
    assert result.returncode == 1
    assert f"Why: {sys.executable} has no pip" in result.stderr
    assert "python3-pip" in result.stderr


def run_program(index: Index, python_options: list[str]) -> subprocess.CompletedProcess[str]:
    root = Path(sys.modules["tools.pip.fetch"].__file__ or "").parents[2]
    return subprocess.run(
        [sys.executable, *python_options, "-m", "tools.pip", "plan", str(index.lock)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
