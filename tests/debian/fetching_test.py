"""Packages are resolved and fetched by the machine's own apt from its own archives; every failure says what to do."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.debian.archive import SUITE, Archive, served_archive
from tools.debian import fetch, lock
from tools.debian.lockfile import Lock, format_lock, read_lock

RENEWAL = "bazel run //tools/debian:lock"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an archive: an app, its libraries, and a security update of one of them."""
    with served_archive(tmp_path_factory.mktemp("archive")) as archive:
        archive.add("debian", SUITE, "app", fields={"Depends": "libapp1 (>= 1.0), app-data", "Recommends": "extra"})
        archive.add("debian", SUITE, "libapp1", version="1:1.0", fields={"Multi-Arch": "same"})
        archive.add("debian", SUITE, "app-data", architecture="all")
        archive.add("debian", SUITE, "extra")
        archive.add("debian", SUITE, "vital", fields={"Essential": "yes"})
        archive.add("debian", f"{SUITE}-updates", "app-data", version="1.1", architecture="all")
        archive.add("debian-security", f"{SUITE}-security", "libapp1", version="1:1.0+deb1~u1")
        return archive.root


@pytest.fixture
def archive(content: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """The archive of the machine that the test runs on."""
    with served_archive(tmp_path, content) as archive:
        monkeypatch.setenv("APT_CONFIG", str(archive.apt_config))
        monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
        yield archive


@pytest.fixture(scope="module")
def lock_text(content: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lock of the app, which is the same wherever the archive is served."""
    folder = tmp_path_factory.mktemp("lock")
    with served_archive(folder, content) as archive, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("APT_CONFIG", str(archive.apt_config))
        monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(folder))
        assert _lock(folder) == 0
    return (folder / "packages.lock.json").read_text()


@pytest.fixture
def locked(tmp_path: Path, archive: Archive, lock_text: str) -> Path:
    """A workspace with a lock; its path."""
    _manifest(tmp_path)
    path = tmp_path / "packages.lock.json"
    path.write_text(lock_text)
    return path


def _manifest(folder: Path, sets: str = "{some: [app]}") -> None:
    manifest = folder / "packages.yaml"
    manifest.write_text(f"suite: {SUITE}\narchitectures: [amd64, arm64]\nsets: {sets}\n")


def _lock(folder: Path, sets: str = "{some: [app]}") -> int:
    _manifest(folder, sets)
    return lock.main(["--manifest", "packages.yaml", "--lock", "packages.lock.json"])


def _fetch(folder: Path, monkeypatch: pytest.MonkeyPatch, architecture: str = "arm64") -> int:
    fetched = folder / "fetched"
    fetched.mkdir(exist_ok=True)
    monkeypatch.chdir(fetched)
    lock_path = str(folder / "packages.lock.json")
    return fetch.main(["--lock", lock_path, "--architecture", architecture, "--renewal", RENEWAL])


def test_a_lock_has_the_newest_versions_of_what_is_needed_for_both_architectures(
    tmp_path: Path, archive: Archive
) -> None:
    assert _lock(tmp_path) == 0

    locked = read_lock(tmp_path / "packages.lock.json", RENEWAL)
    for architecture in ("amd64", "arm64"):
        facts = [(each.name, each.version, each.architecture, each.archive) for each in locked.packages[architecture]]
        assert facts == [
            ("app", "1.0", architecture, "main"),
            ("app-data", "1.1", "all", "main"),
            ("libapp1", "1:1.0+deb1~u1", architecture, "security"),
        ]


def test_each_set_has_its_own_closure_and_a_package_of_several_is_locked_once(tmp_path: Path, archive: Archive) -> None:
    assert _lock(tmp_path, "{web: [app], data: [app-data], both: [extra, app-data]}") == 0

    locked = read_lock(tmp_path / "packages.lock.json", RENEWAL)
    for architecture in ("amd64", "arm64"):
        assert locked.sets[architecture] == {
            "both": ("app-data", "extra"),
            "data": ("app-data",),
            "web": ("app", "app-data", "libapp1"),
        }
        assert [each.name for each in locked.packages[architecture]] == ["app", "app-data", "extra", "libapp1"]


@pytest.mark.parametrize("text", ["", "<<<<<<< HEAD", '{"format": 1}'])
def test_a_lock_that_cannot_be_read_can_be_renewed(tmp_path: Path, archive: Archive, text: str) -> None:
    path = tmp_path / "packages.lock.json"
    path.write_text(text)

    assert _lock(tmp_path) == 0

    assert read_lock(path, RENEWAL).sets["arm64"] == {"some": ("app", "app-data", "libapp1")}


def test_a_lock_names_no_mirror(lock_text: str) -> None:
    assert "http" not in lock_text
    assert "127.0.0.1" not in lock_text


def test_a_second_lock_of_the_same_archive_is_the_same_and_says_so(
    tmp_path: Path, archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _lock(tmp_path) == 0
    before = (tmp_path / "packages.lock.json").read_bytes()

    assert _lock(tmp_path) == 0

    assert (tmp_path / "packages.lock.json").read_bytes() == before
    assert "has the present versions already" in capsys.readouterr().err


def test_a_renewed_lock_says_which_versions_have_changed(
    tmp_path: Path, archive: Archive, locked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.add("debian", f"{SUITE}-updates", "app", version="1.1", architecture="arm64")

    assert _lock(tmp_path) == 0

    said = capsys.readouterr().err
    assert "  app (arm64): 1.0 -> 1.1\n" in said
    assert "  libapp1 (arm64): 1:1.0+deb1~u1 -> gone\n" in said
    assert "(amd64): " not in said


def test_an_essential_package_comes_only_when_it_is_named(tmp_path: Path, archive: Archive) -> None:
    assert _lock(tmp_path, "{some: [app-data, vital]}") == 0

    locked = read_lock(tmp_path / "packages.lock.json", RENEWAL)
    assert [each.name for each in locked.packages["amd64"]] == ["app-data", "vital"]


def test_a_name_that_does_not_exist_is_an_error_in_apts_words(
    tmp_path: Path, archive: Archive, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _lock(tmp_path, "{some: [app, no-such-package]}") == 1

    said = capsys.readouterr().err
    assert f"cannot resolve the Debian packages for {SUITE} on amd64" in said
    assert "Unable to locate package no-such-package" in said
    assert not (tmp_path / "packages.lock.json").exists()


def test_fetching_brings_the_locked_files_and_asks_for_nothing_else(
    tmp_path: Path, archive: Archive, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _fetch(tmp_path, monkeypatch) == 0

    files = ["app-data_1.1_all.deb", "app_1.0_arm64.deb", "libapp1_1.0+deb1~u1_arm64.deb"]
    assert sorted(path.name for path in (tmp_path / "fetched").iterdir()) == files
    assert archive.pool_requests() == files
    assert len(archive.requests) == len(files)


def test_a_version_that_has_gone_is_named_with_the_command_that_renews_the_lock(
    tmp_path: Path, archive: Archive, locked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in archive.root.rglob("libapp1_1.0+deb1~u1_arm64.deb"):
        path.unlink()

    assert _fetch(tmp_path, monkeypatch) == 1

    said = capsys.readouterr().err
    assert said.startswith("libapp1 1:1.0+deb1~u1 (arm64) has gone from Debian's archive\n  Why: ")
    assert "404" in said
    assert f"Run `{RENEWAL}`" in said
    assert "app-data" not in said


def test_an_archive_with_none_of_the_packages_is_told_from_versions_that_have_gone(
    tmp_path: Path, archive: Archive, locked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in archive.root.rglob("*.deb"):
        path.unlink()

    assert _fetch(tmp_path, monkeypatch) == 1

    said = capsys.readouterr().err
    assert "cannot fetch the 3 locked Debian packages" in said
    assert archive.base in said


def test_a_file_that_is_not_the_locked_one_is_refused(
    tmp_path: Path, archive: Archive, locked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in archive.root.rglob("app_1.0_arm64.deb"):
        path.write_bytes(path.read_bytes()[:-1] + b"!")

    assert _fetch(tmp_path, monkeypatch) == 1

    said = capsys.readouterr().err
    assert "cannot fetch app 1.0 (arm64): not the file that was locked\n  Why: apt says: Hash Sum mismatch" in said
    assert not (tmp_path / "fetched/app_1.0_arm64.deb").exists()


def test_a_lock_with_another_hash_is_refused(
    tmp_path: Path, archive: Archive, locked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_lock(locked, RENEWAL)
    changed = tuple(replace(each, sha256="0" * 64) for each in before.packages["arm64"])
    locked.write_text(format_lock(Lock(before.request, {"arm64": changed}, {"arm64": before.sets["arm64"]})))

    assert _fetch(tmp_path, monkeypatch) == 1

    assert "not the file that was locked" in capsys.readouterr().err


def test_without_a_network_the_error_says_so_and_no_version_is_said_to_have_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served_archive(tmp_path) as archive:
        archive.add("debian", SUITE, "app")
        monkeypatch.setenv("APT_CONFIG", str(archive.apt_config))
        monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(tmp_path))
        assert _lock(tmp_path) == 0
    capsys.readouterr()

    assert _fetch(tmp_path, monkeypatch) == 1
    fetching = capsys.readouterr().err
    assert _lock(tmp_path) == 1
    locking = capsys.readouterr().err

    assert re.match(r"cannot fetch app 1\.0 \(arm64\)\n  Why: apt says: .*connect to 127\.0\.0\.1", fetching)
    assert "apt-get update" in fetching
    assert "gone" not in fetching
    assert "cannot resolve the Debian packages" in locking
    assert re.search(r"Why: .*connect to 127\.0\.0\.1", locking)


def test_apt_without_an_archive_among_its_sources_is_an_error(
    tmp_path: Path, archive: Archive, locked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.sources.write_text("")

    assert _fetch(tmp_path, monkeypatch) == 1

    said = capsys.readouterr().err
    assert (
        "cannot find an archive of Debian packages\n  Why: apt on this machine has no archive among its sources" in said
    )


def test_a_machine_without_apt_is_told_where_there_is_one(
    tmp_path: Path, archive: Archive, locked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert _fetch(tmp_path, monkeypatch) == 1

    said = capsys.readouterr().err
    assert "this machine has no apt" in said
    assert "on a Debian machine, or in a container of one" in said


def test_a_third_partys_archive_that_uses_debians_suite_names_is_not_asked(
    tmp_path: Path, archive: Archive, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    third_party = archive.base.removesuffix("/debian") + "/third-party/debian"
    archive.sources.write_text(f"deb {third_party} other stable\n{archive.sources.read_text()}")

    assert _fetch(tmp_path, monkeypatch) == 0

    assert not any("third-party" in path for path in archive.requests)


def test_a_second_archive_is_asked_for_what_the_first_does_not_have(
    tmp_path: Path, archive: Archive, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = archive.base.removesuffix("/debian") + "/empty"
    archive.sources.write_text(f"deb {empty} other main\ndeb {empty} other-updates main\n{archive.sources.read_text()}")

    assert _fetch(tmp_path, monkeypatch) == 0


def test_sources_may_be_in_deb822_form_and_name_a_list_of_mirrors(
    tmp_path: Path, archive: Archive, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("debian", "debian-security"):
        base = archive.base.removesuffix("debian") + name
        (tmp_path / f"{name}.list").write_text(f"# the nearest first\n{base}\tpriority:1\n")
    archive.sources.write_text("")
    (tmp_path / "no-parts/debian.sources").write_text(
        f"Types: deb\nURIs: mirror+file:{tmp_path}/debian.list\nSuites: other other-updates\nComponents: main\n\n"
        f"Types: deb\nURIs: mirror+file:{tmp_path}/debian-security.list\nSuites: other-security\nComponents: main\n"
    )

    assert _fetch(tmp_path, monkeypatch) == 0


def test_an_architecture_that_is_not_in_the_lock_is_named_with_those_that_are(
    tmp_path: Path, archive: Archive, locked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    assert _fetch(tmp_path, monkeypatch, "riscv64") == 1

    assert "has them for amd64, arm64 only" in capsys.readouterr().err


def test_the_check_tells_a_lock_that_is_out_of_step_and_asks_nobody(
    tmp_path: Path, archive: Archive, locked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check = ["--manifest", "packages.yaml", "--lock", "packages.lock.json", "--check"]
    assert lock.main(check) == 0

    _manifest(tmp_path, "{some: [app-data, extra], more: [app]}")

    assert lock.main(check) == 3
    said = capsys.readouterr().err
    assert "set more is asked for, and is not in the lock" in said
    assert "set some: package extra is asked for, and is not in the lock" in said
    assert "set some: package app is in the lock, and no longer asked for" in said
    assert f"{RENEWAL} -- --manifest packages.yaml --lock packages.lock.json" in said
    assert archive.requests == []


def test_a_lock_is_json_with_one_package_a_line(lock_text: str) -> None:
    assert json.loads(lock_text)["request"]["sets"] == {"some": ["app"]}
    assert sum('"name": ' in line for line in lock_text.splitlines()) == 6
