"""Which version each app gets, and the next one after its git tags."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from release.app import App
from release.errors import Exit, InvalidRequest, ReleaseError
from release.git_tags import GitTags, versions_by_app
from release.request import VersionWish
from release.version import Bump, Version
from release.versions import AppVersion, choose_versions, next_versions
from tests.support.git import NO_CONFIGURATION, GitRepository
from tools.oci.manifest import Platform

API, WEB = (
    App(name, "shop", f"//{name}:image", (Platform("linux", "amd64"),), f"//{name}:metadata") for name in ("api", "web")
)


@pytest.fixture(autouse=True)
def git_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NO_CONFIGURATION.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def clone(tmp_path: Path) -> GitRepository:
    """A repository with a commit, and no remote."""
    repository = GitRepository.create(tmp_path / "clone")
    repository.commit()
    return repository


@pytest.fixture
def remote(tmp_path: Path, clone: GitRepository) -> GitRepository:
    """The clone's remote `origin`, which has its commit."""
    repository = GitRepository.create(tmp_path / "remote.git", bare=True)
    clone.run("remote", "add", "origin", str(repository.folder))
    clone.run("push", "--quiet", "origin", "main")
    return repository


def next_of(clone: GitRepository, bump: str = "minor", app: str = "shop-api") -> str:
    (chosen,) = next_versions([app], Bump(bump), GitTags(clone.folder))
    return str(chosen.version)


def refusal(tags: GitTags, *apps: str) -> str:
    with pytest.raises(ReleaseError) as caught:
        next_versions(apps or ["shop-api"], Bump.MINOR, tags)
    assert caught.value.exit_status == Exit.FAILED
    return str(caught.value)


# Which way


def test_one_version_is_for_all_and_git_is_not_asked(tmp_path: Path) -> None:
    chosen = choose_versions(VersionWish(Version(1, 2, 3)), [API, WEB], [API, WEB], "//...", GitTags(tmp_path / "none"))
    assert chosen == (AppVersion("shop-api", Version(1, 2, 3)), AppVersion("shop-web", Version(1, 2, 3)))


def test_without_a_version_apps_are_released_by_their_commit(tmp_path: Path) -> None:
    assert choose_versions(VersionWish(), [API], [API], "//...", GitTags(tmp_path)) == (AppVersion("shop-api", None),)


def test_a_file_gives_each_app_its_own(tmp_path: Path) -> None:
    file = tmp_path / "versions.yaml"
    file.write_text("shop/web: v2.0.0\napi: v1.0.0\n")
    chosen = choose_versions(VersionWish(file=file), [API, WEB], [API, WEB], "//...", GitTags(tmp_path))
    assert chosen == (AppVersion("shop-api", Version(1, 0, 0)), AppVersion("shop-web", Version(2, 0, 0)))


def test_a_bump_gives_each_app_its_own(tmp_path: Path, clone: GitRepository) -> None:
    clone.tag("shop-api.v1.2.3")
    chosen = choose_versions(VersionWish(bump=Bump.PATCH), [API, WEB], [API, WEB], "//...", GitTags(clone.folder))
    assert chosen == (
        AppVersion("shop-api", Version(1, 2, 4), Version(1, 2, 3)),
        AppVersion("shop-web", Version(0, 0, 1), None),
    )


def test_two_ways_at_once_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="VERSION and --bump"):
        VersionWish(version=Version(1, 0, 0), bump=Bump.MINOR)
    with pytest.raises(InvalidRequest, match="--versions and --bump"):
        VersionWish(file=tmp_path, bump=Bump.MINOR)


def test_no_yaml_is_imported_unless_a_file_is_given() -> None:
    script = "import sys, release.versions, release.git_tagging; sys.exit('yaml' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ":".join(sys.path)})


# Reading tags


def test_a_tag_belongs_to_the_app_whose_whole_name_it_has() -> None:
    names = ["a-b.v1.0.0", "a-b-c.v2.0.0", "b.v3.0.0", "a-b.v1.1.0-rc.v2", "a-b.1.0.0", "a-b.v1", "v9.0.0", "a-b"]
    assert versions_by_app(["a-b", "a-c"], names) == {
        "a-b": {Version(1, 0, 0), Version(1, 1, 0, "rc.v2")},
        "a-c": set(),
    }


def test_an_app_may_have_a_version_in_its_name() -> None:
    found = versions_by_app(["shop-api", "shop-api.v2"], ["shop-api.v2.v1.0.0", "shop-api.v2.0.0"])
    assert found == {"shop-api": {Version(2, 0, 0)}, "shop-api.v2": {Version(1, 0, 0)}}


# The next version


@pytest.mark.parametrize(
    ("tags", "major", "minor", "patch"),
    [
        pytest.param([], "v1.0.0", "v0.1.0", "v0.0.1", id="the first one comes after v0.0.0"),
        pytest.param(["v1.9.3", "v1.10.0", "v1.2.0"], "v2.0.0", "v1.11.0", "v1.10.1", id="by order, not by letters"),
        pytest.param(["v1.2.3", "v2.0.0-rc.1"], "v2.0.0", "v1.3.0", "v1.2.4", id="a pre-release does not count"),
        pytest.param(["v1.3.0-rc.2", "v1.3.0-rc.10"], "v2.0.0", "v1.3.0", "v1.3.0", id="nothing but pre-releases"),
        pytest.param(["v0.1.0-a", "v1.0.0-rc.1"], "v1.0.0", "v1.0.0", "v1.0.0", id="the newest of pre-releases"),
        pytest.param(["v0.3.1", "v1", "latest", "v4.0"], "v1.0.0", "v0.4.0", "v0.3.2", id="no versions among them"),
    ],
)
def test_the_next_version_follows_the_newest(
    clone: GitRepository, tags: list[str], major: str, minor: str, patch: str
) -> None:
    clone.tag(*(f"shop-api.{tag}" for tag in tags))
    clone.tag("shop-web.v7.0.0", "v8.0.0")
    assert [next_of(clone, bump) for bump in ("major", "minor", "patch")] == [major, minor, patch]


def test_tags_that_are_not_annotated_or_on_another_branch_count(clone: GitRepository) -> None:
    clone.tag("shop-api.v1.0.0", annotated=False)
    clone.run("checkout", "--quiet", "-b", "other")
    clone.tag("shop-api.v1.1.0", commit=clone.commit("on a branch"))
    clone.run("checkout", "--quiet", "main")
    assert next_of(clone) == "v1.2.0"


def test_tags_of_the_remote_count_where_they_were_not_fetched(clone: GitRepository, remote: GitRepository) -> None:
    clone.tag("shop-api.v1.0.0")
    remote.tag("shop-api.v1.1.0", commit="main")
    assert next_of(clone) == "v1.2.0"
    assert "shop-api.v1.1.0" not in clone.tags()


def test_tags_that_were_not_pushed_count(clone: GitRepository, remote: GitRepository) -> None:
    remote.tag("shop-api.v1.0.0", commit="main")
    clone.tag("shop-api.v1.1.0")
    assert next_of(clone) == "v1.2.0"


def test_no_remote_is_asked_where_none_is_wanted(clone: GitRepository, remote: GitRepository) -> None:
    remote.tag("shop-api.v1.1.0", commit="main")
    (chosen,) = next_versions(["shop-api"], Bump.MINOR, GitTags(clone.folder, remote=None))
    assert str(chosen.version) == "v0.1.0"


def test_thousands_of_tags_are_read_by_one_call_each(
    clone: GitRepository, remote: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = [f"shop-app{number}" for number in range(200)]
    lines = [f"create refs/tags/{app}.v1.{minor}.0 main\n" for app in apps for minor in range(25)]
    remote.run("update-ref", "--stdin", given="".join(lines))
    trace = tmp_path / "git"
    calls = tmp_path / "calls"
    trace.write_text(f'#!/bin/sh\necho "$1" >> {calls}\nPATH=${{PATH#*:}} exec git "$@"\n')
    trace.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    chosen = next_versions(apps, Bump.MINOR, GitTags(clone.folder))
    assert {str(each.version) for each in chosen} == {"v1.25.0"}
    assert len(chosen) == 200
    assert sorted(calls.read_text().split()) == ["for-each-ref", "ls-remote", "remote"]


# A failure is never a first release


@pytest.fixture
def shallow(tmp_path: Path, clone: GitRepository, remote: GitRepository) -> GitRepository:
    """A clone of the newest commit without tags, as a CI makes it; the remote has a tag."""
    clone.commit("another")
    clone.tag("shop-api.v1.0.0")
    clone.run("push", "--quiet", "--tags", "origin", "main")
    clone.run("clone", "--quiet", "--depth=1", "--no-tags", f"file://{remote.folder}", str(tmp_path / "shallow"))
    return GitRepository(tmp_path / "shallow")


def test_a_shallow_clone_knows_the_tags_of_its_remote(shallow: GitRepository) -> None:
    assert next_of(shallow) == "v1.1.0"
    assert next_of(shallow, app="shop-web") == "v0.1.0"


def test_a_shallow_clone_by_itself_knows_of_no_first_release(shallow: GitRepository) -> None:
    said = refusal(GitTags(shallow.folder, remote=None), "shop-api", "shop-web")
    assert "the next version of shop-api, shop-web: git has no tag of it here, but this is a shallow clone" in said
    assert "git fetch --tags --unshallow" in said


def test_a_tag_of_another_app_does_not_make_a_shallow_clone_whole(shallow: GitRepository) -> None:
    shallow.tag("shop-web.v1.0.0")
    said = refusal(GitTags(shallow.folder, remote=None), "shop-api", "shop-web")
    assert "the next version of shop-api: git has no tag of it here" in said


def test_what_a_shallow_clone_is_told_to_do_helps(shallow: GitRepository) -> None:
    shallow.run("fetch", "--quiet", "--tags", "--unshallow")
    (chosen,) = next_versions(["shop-api"], Bump.MINOR, GitTags(shallow.folder, remote=None))
    assert str(chosen.version) == "v1.1.0"


def test_a_whole_clone_without_tags_knows_of_no_first_release(
    tmp_path: Path, clone: GitRepository, remote: GitRepository
) -> None:
    clone.run("clone", "--quiet", "--no-tags", str(remote.folder), str(tmp_path / "tagless"))
    assert "was made without tags" in refusal(GitTags(tmp_path / "tagless", remote=None))


def test_no_repository_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    said = refusal(GitTags(tmp_path / "plain"))
    assert "not a git repository" in said
    assert "say which version it is: VERSION, or --versions FILE" in said


def test_no_git_is_an_error(clone: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert "git cannot be run" in refusal(GitTags(clone.folder))


@pytest.mark.parametrize("content", ["", "nonsense\n"])
def test_a_broken_tag_is_an_error(clone: GitRepository, content: str) -> None:
    clone.tag("shop-api.v1.0.0")
    (clone.folder / ".git/refs/tags/shop-api.v1.0.0").write_text(content)
    assert "git cannot read its tags" in refusal(GitTags(clone.folder))


def test_a_tag_whose_object_is_gone_is_an_error(clone: GitRepository) -> None:
    clone.tag("shop-api.v1.0.0")
    name = clone.run("rev-parse", "shop-api.v1.0.0")
    (clone.folder / ".git/objects" / name[:2] / name[2:]).unlink()
    assert "git cannot read its tags" in refusal(GitTags(clone.folder))


def test_a_remote_that_is_gone_is_an_error(clone: GitRepository) -> None:
    clone.tag("shop-api.v1.0.0")
    clone.run("remote", "add", "origin", "/nowhere/at/all")
    assert "the remote origin cannot be asked for its tags: fatal: '/nowhere/at/all' does not" in refusal(
        GitTags(clone.folder)
    )


def test_a_remote_by_another_name_is_not_guessed(clone: GitRepository) -> None:
    clone.run("remote", "add", "upstream", "/nowhere")
    assert "there is no remote 'origin', only upstream" in refusal(GitTags(clone.folder))


@pytest.fixture
def silent_server() -> Iterator[int]:
    """The port of a server that accepts connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_remote_that_says_nothing_is_an_error_soon(clone: GitRepository, silent_server: int) -> None:
    clone.run("remote", "add", "origin", f"git://127.0.0.1:{silent_server}/x.git")
    begun = time.monotonic()
    said = refusal(GitTags(clone.folder, network_seconds=0.5))
    assert "git was ended, since it took longer than 0.5 s" in said
    assert time.monotonic() - begun < 10
