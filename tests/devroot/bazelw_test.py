"""Which Bazel `bazelw` runs, and what Debian's can do without a network."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.devroot.host import WORKSPACE, outside

BAZELW = WORKSPACE / "bazelw"
SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def run_bazelw(
    *arguments: str, cwd: Path = WORKSPACE, environment: Mapping[str, str] | None = None, inside: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs bazelw as on a machine without a Bazel, or as in the devroot."""
    kept = {name: value for name, value in os.environ.items() if name not in ("BAZEL", "TEST_TMPDIR")}
    view = [str(WORKSPACE / "tools/devroot/enter")] if inside else outside()
    return subprocess.run(
        [*view, str(BAZELW), *arguments],
        cwd=cwd,
        env={**kept, "PATH": SYSTEM_PATH, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder on PATH, for programs called like Bazel that tell how they were called."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def add_program(programs: Path, name: str, version: str = "7.4.0") -> Path:
    program = programs / name
    program.write_text(
        "#!/bin/sh\n"
        f'[ "$*" = --version ] && {{ echo "bazel {version}"; exit; }}\n'
        f'echo "{name} {version}, BAZEL=$BAZEL, arguments $*"\n'
    )
    program.chmod(0o755)
    return program


def search(programs: Path) -> dict[str, str]:
    return {"PATH": f"{programs}:{SYSTEM_PATH}"}


def test_a_machine_without_bazel_gets_debians() -> None:
    if any(os.access(f"{folder}/bazel", os.X_OK) for folder in SYSTEM_PATH.split(":")) and not outside():
        pytest.skip("this machine has a Bazel in its system folders")
    result = run_bazelw("--version")
    assert result.stdout.split() == ["bazel", "7.7.1"], result.stderr


@pytest.mark.parametrize("version", ["7.0.0", "7.7.1", "8.4.2"])
def test_a_bazel_of_a_fitting_version_is_used(programs: Path, version: str) -> None:
    bazel = add_program(programs, "bazel", version)
    result = run_bazelw("build", "//a b:c", environment=search(programs))
    assert result.stdout == f"bazel {version}, BAZEL={bazel}, arguments build //a b:c\n"


@pytest.mark.parametrize("version", ["4.2.3", "6.5.0", "9.0.0", "70.1.0"])
def test_a_bazel_of_another_version_is_passed_over(programs: Path, version: str) -> None:
    add_program(programs, "bazel", version)
    assert run_bazelw("--version", environment=search(programs)).stdout.split() == ["bazel", "7.7.1"]


def test_bazelisk_comes_before_bazel(programs: Path) -> None:
    add_program(programs, "bazel")
    bazelisk = add_program(programs, "bazelisk")
    result = run_bazelw("info", environment=search(programs))
    assert result.stdout == f"bazelisk 7.4.0, BAZEL={bazelisk}, arguments info\n"


def test_the_variable_comes_before_all(programs: Path, tmp_path: Path) -> None:
    add_program(programs, "bazelisk")
    chosen = add_program(tmp_path, "chosen")
    result = run_bazelw("info", environment=search(programs) | {"BAZEL": str(chosen)})
    assert result.stdout == f"chosen 7.4.0, BAZEL={chosen}, arguments info\n"


def test_a_variable_that_names_bazelw_itself_starts_no_endless_chain(programs: Path) -> None:
    bazelisk = add_program(programs, "bazelisk")
    result = run_bazelw("info", environment=search(programs) | {"BAZEL": "./bazelw"})
    assert result.stdout == f"bazelisk 7.4.0, BAZEL={bazelisk}, arguments info\n"


def test_a_variable_that_names_no_program_is_an_error() -> None:
    result = run_bazelw("info", environment={"BAZEL": "/nowhere/bazel"})
    assert result.returncode == 127
    assert "BAZEL is /nowhere/bazel, which is no program" in result.stderr
    assert "to do: unset BAZEL" in result.stderr


def test_already_inside_it_only_becomes_bazel() -> None:
    assert run_bazelw("--version", inside=True).stdout.split() == ["bazel", "7.7.1"]


@pytest.fixture
def project() -> Iterator[Path]:
    """A workspace that names versions of the public registry, with programs in two languages and for two machines."""
    with tempfile.TemporaryDirectory(prefix="bazelw-test-") as folder:
        path = Path(folder, "project")
        path.mkdir()
        (path / "MODULE.bazel").write_text(
            'module(name = "project")\n'
            'bazel_dep(name = "bazel_skylib", version = "1.7.1")\n'
            'bazel_dep(name = "platforms", version = "0.0.11")\n'
            'bazel_dep(name = "rules_cc", version = "0.1.1")\n'
            'bazel_dep(name = "rules_python", version = "1.4.1")\n'
            'bazel_dep(name = "rules_shell", version = "0.4.1")\n'
        )
        (path / "BUILD.bazel").write_text(
            'load("@rules_cc//cc:defs.bzl", "cc_binary")\n'
            'load("@rules_python//python:defs.bzl", "py_binary")\n'
            'load("@rules_shell//shell:sh_binary.bzl", "sh_binary")\n'
            'cc_binary(name = "in_cc", srcs = ["in_cc.cc"])\n'
            'py_binary(name = "in_python", srcs = ["in_python.py"])\n'
            'sh_binary(name = "in_sh", srcs = ["in_sh.sh"])\n'
        )
        (path / "in_cc.cc").write_text('#include <iostream>\nint main() { std::cout << "C++\\n"; }\n')
        (path / "in_python.py").write_text('print("Python")\n')
        (path / "in_sh.sh").write_text("#!/bin/sh\necho sh\n")
        (path / "in_sh.sh").chmod(0o755)
        (path / ".bazelrc").write_text(f"startup --output_user_root={folder}/output\ncommon --lockfile_mode=off\n")
        yield path
        run_bazelw("shutdown", cwd=path)
        # Bazel makes its output read-only.
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)


def test_it_builds_without_a_registry_or_a_warning_and_finds_its_server_again(project: Path) -> None:
    build = run_bazelw("build", "//...", cwd=project)
    assert build.returncode == 0, build.stderr
    assert "WARNING" not in build.stderr
    first, second = (run_bazelw("info", "server_pid", cwd=project).stdout for _ in range(2))
    assert int(first) == int(second)
    for name, output in (("in_cc", "C++\n"), ("in_python", "Python\n"), ("in_sh", "sh\n")):
        result = run_bazelw("run", "--ui_event_filters=-info", f"//:{name}", cwd=project)
        assert result.stdout == output, result.stderr
    graph = run_bazelw("mod", "graph", cwd=project)
    assert graph.returncode == 0, graph.stderr
