"""How a devroot comes into being, on this machine's real apt. Small ones: a list of two packages takes seconds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devroot.host import OTHER_USER, Host, as_other_user, host


@pytest.fixture(scope="module")
def first_use() -> Iterator[tuple[Host, subprocess.CompletedProcess[str]]]:
    with host() as made:
        yield made, made.run("jq", "--version")


def test_first_use_says_each_step_with_its_time_and_then_runs_the_command(
    first_use: tuple[Host, subprocess.CompletedProcess[str]],
) -> None:
    _, result = first_use
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("jq-")
    for number in range(1, 7):
        assert re.search(rf"^devroot: \[{number}/6\] .* \d+ s$", result.stderr, re.MULTILINE), result.stderr
    assert re.search(r"downloading \d+ packages \([\d.]+ .B\) \.\.\. 10% .* 90% \d+ s", result.stderr)
    assert re.search(r"^devroot: ready after \d+ s: ", result.stderr, re.MULTILINE)


def test_later_use_says_nothing(first_use: tuple[Host, subprocess.CompletedProcess[str]]) -> None:
    made, _ = first_use
    result = made.run("jq", "--version")
    assert (result.returncode, result.stderr) == (0, "")


def test_a_build_leaves_the_root_its_log_and_its_lock(
    first_use: tuple[Host, subprocess.CompletedProcess[str]],
) -> None:
    made, _ = first_use
    (root,) = made.roots
    assert {path.name for path in made.cache.iterdir()} == {root.name, "build.log", "lock"}
    assert {path.name for path in root.iterdir()} == {"bwrap", "entered", "root"}
    assert not list((root / "root/var/cache/apt").iterdir())


def test_a_build_installs_nothing_into_the_host() -> None:
    watched = [Path("/var/lib/dpkg/status"), Path("/var/lib/apt/lists"), Path("/var/cache/apt"), Path("/usr/bin")]
    before = [path.stat().st_mtime_ns for path in watched]
    with host() as made:
        assert made.run("true").returncode == 0
    assert [path.stat().st_mtime_ns for path in watched] == before


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


def test_a_changed_package_list_makes_another_root_and_the_old_one_goes_when_nothing_uses_it() -> None:
    with host(("jq",)) as made:
        assert made.run("true").returncode == 0
        (old,) = made.roots
        _make_older(old)
        living_there = made.start("sleep", "1000")
        _wait_until_in_use(old)
        _make_older(old)

        made.packages.write_text("jq\nprocps\n")
        assert made.run("ps").returncode == 0
        assert len(made.roots) == 2, "a process still lives in the old one"

        living_there.kill()
        living_there.wait()
        made.packages.write_text("procps\n")
        third = made.run("ps")
        assert third.returncode == 0
        assert f"removing {old}" in third.stderr
        assert old not in made.roots
        assert len(made.roots) == 2, "the second was in use a moment ago"


def _make_older(root: Path) -> None:
    two_hours_ago = time.time() - 7200
    os.utime(root / "entered", (two_hours_ago, two_hours_ago))


def _wait_until_in_use(root: Path) -> None:
    for _ in range(200):
        if (root / "entered").stat().st_mtime > time.time() - 3600:
            time.sleep(0.5)
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody entered {root}")
