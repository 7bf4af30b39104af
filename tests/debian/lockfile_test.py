"""Locks and package lists: what they may hold, and what is said of those that do not."""

import json
from pathlib import Path
from typing import Any

import pytest

from tools.debian.errors import DebianError
from tools.debian.lockfile import Lock, LockedPackage, Request, differences, format_lock, read_lock
from tools.debian.manifest import read_manifest

REQUEST = Request("trixie", ("amd64", "arm64"), {"web": ("python3",)})
PYTHON = LockedPackage(
    "python3", "3.13.5-1", "amd64", "0" * 64, 28244, "main", "pool/main/p/python3_3.13.5-1_amd64.deb"
)
CLOSURES: dict[str, tuple[str, ...]] = {"web": ("python3",)}
LOCK = Lock(REQUEST, {"amd64": (PYTHON,), "arm64": (PYTHON,)}, {"amd64": CLOSURES, "arm64": CLOSURES})


def test_a_written_lock_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    path.write_text(format_lock(LOCK))

    assert read_lock(path, "renew") == LOCK


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "--option"),
        ("version", "1.0 2.0"),
        ("architecture", "../amd64"),
        ("sha256", "deadbeef"),
        ("archive", "elsewhere"),
        ("path", "pool/../../etc/x.deb"),
        ("path", "/etc/x.deb"),
        ("path", "http://localhost/x.deb"),
        ("path", "pool/main/-o.deb"),
        ("path", "pool/main/x.txt"),
        ("path", None),
        ("colour", "red"),
    ],
)
def test_a_lock_with_something_odd_in_it_is_refused_before_anything_is_fetched(
    tmp_path: Path, field: str, value: Any
) -> None:
    content = json.loads(format_lock(LOCK))
    content["packages"]["amd64"][0][field] = value
    path = tmp_path / "lock.json"
    path.write_text(json.dumps(content))

    with pytest.raises(DebianError, match=r"cannot read the Debian lock .*\n.*\n.*Run `renew` to write it anew"):
        read_lock(path, "renew")


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("sets", {"amd64": {"web": ["python3"]}}, "it has no 'arm64'"),
        (
            "sets",
            {"amd64": {"web": ["python3", "perl"]}, "arm64": {}},
            "set web has perl, which is not among the packages",
        ),
        ("sets", {"amd64": {"..": ["python3"]}, "arm64": {}}, "no set can have the name '..'"),
        ("request", {"suite": "trixie", "architectures": [], "sets": {'x"': []}}, "no set can have the name 'x\"'"),
        ("format", 1, "its format is 1, and this version of the rules reads 2"),
    ],
)
def test_a_lock_whose_sets_make_no_sense_is_refused(tmp_path: Path, key: str, value: Any, why: str) -> None:
    path = tmp_path / "lock.json"
    path.write_text(json.dumps(json.loads(format_lock(LOCK)) | {key: value}))

    with pytest.raises(DebianError) as error:
        read_lock(path, "renew")
    assert error.value.why == why


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1}', "\x00", "<html>"])
def test_what_is_no_lock_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock.json"
    path.write_text(text)

    with pytest.raises(DebianError, match="cannot read the Debian lock"):
        read_lock(path, "renew")


def test_a_lock_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(DebianError, match="No such file or directory\n  What to do: Run `renew` to make it"):
        read_lock(tmp_path / "absent.json", "renew")


def test_every_way_to_be_out_of_step_is_told() -> None:
    wanted = Request("forky", ("amd64",), {"web": ("tzdata",), "tools": ("bash",)})

    assert differences(REQUEST, LOCK) == []
    assert differences(wanted, LOCK) == [
        "the suite is forky, and the lock is for trixie",
        "architecture arm64 is in the lock, and no longer asked for",
        "set tools is asked for, and is not in the lock",
        "set web: package tzdata is asked for, and is not in the lock",
        "set web: package python3 is in the lock, and no longer asked for",
    ]
    assert differences(Request("trixie", ("amd64", "arm64"), {"tools": ("python3",)}), LOCK) == [
        "set tools is asked for, and is not in the lock",
        "set web is in the lock, and no longer asked for",
    ]
    assert differences(REQUEST, Lock(REQUEST, {"amd64": (PYTHON,)}, {"amd64": {"web": ()}})) == [
        "architecture arm64 is asked for, and is not in the lock",
        "set web: package python3 is missing from the lock for amd64",
    ]


def test_a_package_list_is_sorted_so_that_its_order_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "packages.yaml"
    path.write_text("sets: {web: [tzdata, python3], b_1: [bash]}\narchitectures: [arm64, amd64]\nsuite: trixie\n")

    request = read_manifest(path)

    assert request == Request("trixie", ("amd64", "arm64"), {"b_1": ("bash",), "web": ("python3", "tzdata")})
    assert list(request.sets) == ["b_1", "web"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "exactly suite, architectures and sets"),
        ("suite: trixie\n", "exactly suite, architectures and sets"),
        ("suite: trixie\narchitectures: [amd64]\npackages: [python3]\n", "exactly suite, architectures and sets"),
        ("suite: 13\narchitectures: [amd64]\nsets: {web: [a]}\n", "suite is 13"),
        ("suite: trixie\narchitectures: [amd64]\nsets: [python3]\n", "sets has no names"),
        ("suite: trixie\narchitectures: [amd64]\nsets: {}\n", "sets has no names"),
        ("suite: trixie\narchitectures: [amd64]\nsets: {web: python3}\n", "set web is not a list of names"),
        ("suite: trixie\narchitectures: [amd64]\nsets: {Web: [a]}\n", "a set is called 'Web'"),
        ("suite: trixie\narchitectures: [amd64]\nsets: {sets: [a]}\n", "a set is called 'sets'"),
        ("suite: trixie\narchitectures: [amd64]\nsets: {1: [a]}\n", "a set is called 1"),
        ("suite: trixie\narchitectures: []\nsets: {web: [a]}\n", "architectures is not a list of names"),
        ("suite: trixie\narchitectures: [amd64]\nsets: {web: [a, a]}\n", "set web has a more than once"),
        ("suite: trixie\narchitectures: [mips]\nsets: {web: [a]}\n", "there are no images for mips"),
        ("suite: [", "it is not YAML"),
    ],
)
def test_a_package_list_that_says_something_else_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "packages.yaml"
    path.write_text(text)

    with pytest.raises(DebianError, match="cannot read the Debian package list") as error:
        read_manifest(path)
    assert why in error.value.why


def test_the_projects_own_lock_is_in_step_with_its_package_list() -> None:
    folder = Path("tools/debian")

    found = differences(read_manifest(folder / "packages.yaml"), read_lock(folder / "packages.lock.json", "renew"))

    assert found == [], "run bazel run //tools/debian:lock, and commit the lock"


def test_both_architectures_of_the_projects_lock_have_the_same_packages() -> None:
    sets = read_lock(Path("tools/debian/packages.lock.json"), "renew").sets

    assert sets["amd64"] == sets["arm64"]
