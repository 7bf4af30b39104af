"""How a devroot comes into being, on this machine's real apt. Small ones: a list of two packages takes seconds."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.devroot.host import OTHER_USER, Host, as_other_user, host


@dataclass(frozen=True, slots=True)
class FirstUse:
    """A host on which `enter jq --version` was the first call, and what that changed in the machine itself."""

    host: Host
    result: subprocess.CompletedProcess[str]
    changed: tuple[Path, ...]


@pytest.fixture(scope="module")
def first_use() -> Iterator[FirstUse]:
    watched = [Path("/var/lib/dpkg/status"), Path("/var/lib/apt/lists"), Path("/var/cache/apt"), Path("/usr/bin")]
    before = [path.stat().st_mtime_ns for path in watched]
    with host() as made:
        result = made.run("jq", "--version")
        after = [path.stat().st_mtime_ns for path in watched]
        changed = tuple(path for path, old, new in zip(watched, before, after, strict=True) if old != new)
        yield FirstUse(made, result, changed)


def test_first_use_says_each_step_with_its_time_and_then_runs_the_command(first_use: FirstUse) -> None:
    result = first_use.result
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("jq-")
    for number in range(1, 7):
        assert re.search(rf"^devroot: \[{number}/6\] .* \d+ s$", result.stderr, re.MULTILINE), result.stderr
    assert re.search(r"downloading \d+ packages \([\d.]+ .B\) \.\.\. 10% .* 90% \d+ s", result.stderr)
    assert re.search(r"^devroot: ready after \d+ s: ", result.stderr, re.MULTILINE)


def test_later_use_says_nothing(first_use: FirstUse) -> None:
    result = first_use.host.run("jq", "--version")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_build_leaves_the_root_its_log_and_its_lock(first_use: FirstUse) -> None:
    made = first_use.host
    (root,) = made.roots
    assert {path.name for path in made.cache.iterdir()} == {root.name, "build.log", "lock"}
    assert {path.name for path in root.iterdir()} == {"bwrap", "entered", "root"}
    assert not list((root / "root/var/cache/apt").iterdir())


def test_a_build_installs_nothing_into_the_host(first_use: FirstUse) -> None:
    assert first_use.changed == ()


def test_an_ordinary_user_makes_and_enters_a_root_that_is_all_theirs() -> None:
    with host(owner=OTHER_USER) as made:
        result = made.run("sh", "-c", "id --user; ps --no-headers --ppid $$ --format comm", before=as_other_user())
        assert result.returncode == 0, result.stderr
        user = os.geteuid() or OTHER_USER
        assert result.stdout.splitlines() == [str(user), "ps"]
        assert {path.lstat().st_uid for path in (made.cache).rglob("*")} == {user}
        removed = subprocess.run([*as_other_user(), "rm", "-rf", str(made.cache)], check=False)
        assert removed.returncode == 0


def test_a_killed_build_leaves_nothing_half_made_and_of_two_calls_at_once_one_waits() -> None:
    with host() as made:
        killed = made.start("true")
        made.wait_for("[3/6]")
        killed.kill()
        killed.wait()
        assert made.roots == []

        first = made.start("jq", "--version")
        made.wait_for("[2/6]")
        second = made.run("jq", "--version")
        output, _ = first.communicate()
        assert (first.returncode, second.returncode) == (0, 0), second.stderr
        assert output == second.stdout
        assert re.search(r"waiting for process \d+, which is making a root file system", second.stderr)
        assert "[1/6]" not in second.stderr
        assert len(made.roots) == 1
        assert made.half_made == []


def test_an_interrupted_build_removes_what_it_made() -> None:
    with host() as made:
        build = made.start("true")
        made.wait_for("[3/6]")
        build.terminate()
        assert build.wait() == -signal.SIGTERM
        assert made.roots == made.half_made == []


def test_a_changed_package_list_makes_another_root_and_the_old_one_goes_when_nothing_uses_it(
    first_use: FirstUse,
) -> None:
    made = first_use.host
    (old,) = made.roots
    _make_older(old)
    living_there = made.start("sleep", "1000")
    _wait_until_entered(old)
    _make_older(old)

    made.packages.write_text("jq\n")
    assert made.run("jq", "--version").returncode == 0
    assert len(made.roots) == 2, "a process still lives in the old one"

    living_there.kill()
    living_there.wait()
    assert made.run("true").returncode == 0
    for _ in range(200):
        if old not in made.roots:
            break
        time.sleep(0.05)
    assert len(made.roots) == 1


def _make_older(root: Path) -> None:
    two_hours_ago = time.time() - 7200
    os.utime(root / "entered", (two_hours_ago, two_hours_ago))


def _wait_until_entered(root: Path) -> None:
    """Returns when a process has the root mounted."""
    while not any(f"{root.name}/root" in mounts for mounts in _mounts_of_processes()):
        time.sleep(0.05)


def _mounts_of_processes() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/mountinfo"):
        # A process may end at any moment.
        with contextlib.suppress(OSError):
            yield path.read_text()
