"""The main job: a first release, the same commit again, and what happens when something fails in between."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.releasing import APP, PLATFORMS, Releaser, crane, first_on_path, json_of, program, record_of
from tests.support.tools import tool
from tests.support.workspace import Workspace

ENGINES = ("imagetools", "registry")


@pytest.fixture
def failing_imagetools(tmp_path: Path) -> dict[str, str]:
    """An environment whose `docker` is the real one, but for imagetools, which fails."""
    program(
        tmp_path / "failing" / "docker",
        f"""
        case "$1 $2" in
        "buildx imagetools") echo "ERROR: failed to copy: unexpected status: 500" >&2; exit 1 ;;
        esac
        exec {" ".join(tool("docker"))} "$@"
        """,
    )
    return first_on_path(tmp_path / "failing")


@pytest.fixture
def docker_without_buildx(tmp_path: Path) -> dict[str, str]:
    """An environment whose `docker` is the real one, in a mount namespace where its plugins are hidden."""
    *entering, docker = tool("docker")
    hide = "for folder in /usr/lib*/docker/cli-plugins; do mount -t tmpfs none $folder; done"
    program(
        tmp_path / "bare" / "docker",
        f"""
        exec {" ".join(entering)} unshare --map-root-user --mount sh -c '{hide}; exec {docker} "$@"' docker "$@"
        """,
    )
    return first_on_path(tmp_path / "bare")


@pytest.fixture
def no_docker(tmp_path: Path) -> dict[str, str]:
    """An environment without any `docker` on PATH."""
    folder = tmp_path / "no-docker"
    folder.mkdir()
    for directory in reversed(os.environ["PATH"].split(os.pathsep)):
        for found in Path(directory).glob("*"):
            if not found.name.startswith("docker"):
                (folder / found.name).unlink(missing_ok=True)
                (folder / found.name).symlink_to(found)
    assert shutil.which("docker", path=str(folder)) is None
    return {"PATH": str(folder)}


def test_the_first_release_builds_pushes_and_writes_three_tags(release: Releaser) -> None:
    commit = release.workspace.commit
    outcome = release.run(
        [
            *release.workspace.command("run", "//release:release", "--"),
            *(APP, "v1.0.0", "--commit", commit, *release.to),
        ]
    )

    assert outcome.status == 0, outcome.stderr
    assert outcome.stdout == ""
    outcome.says(
        f"No existing image found for commit {commit[:7]}, will build",
        "Building OCI image index with platform transitions...",
        "✅ Built OCI image index containing 2 platform variants",
        "Pushing OCI image index with 3 tags...",
        f"Successfully pushed {APP} v1.0.0",
    )
    assert outcome.bazel.count("build") == 1
    tags = release.tags()
    assert set(tags) == {commit, "v1.0.0", "latest"}
    assert len(set(tags.values())) == 1
    index = json_of(crane("manifest", f"{release.repository}:v1.0.0"))
    platforms = [f"{each['platform']['os']}/{each['platform']['architecture']}" for each in index["manifests"]]
    assert platforms == [*PLATFORMS, *["unknown/unknown"] * len(PLATFORMS)]  # Each platform's SBOM comes after them.


@pytest.mark.parametrize("engine", ENGINES)
def test_releasing_the_same_commit_again_builds_nothing_and_uploads_nothing(released: Releaser, engine: str) -> None:
    commit = released.workspace.commit
    outcome = released(APP, "v1.0.1", "--commit", commit, "--engine", engine)

    assert outcome.status == 0, outcome.stderr
    outcome.says(
        f"✅ Found existing image for commit {commit[:7]}: {released.repository}:{commit}",
        "Optimizing: Re-tagging existing image instead of rebuilding",
        "✅ Tagged with v1.0.1",
        "✅ Tagged with latest",
        f"Successfully tagged {APP} v1.0.1 from existing commit image",
    )
    assert outcome.bazel in (("query",), ())
    assert outcome.blob_uploads == ()
    tags = released.tags()
    assert set(tags) == {commit, "v1.0.0", "v1.0.1", "latest"}
    assert len(set(tags.values())) == 1


def test_the_registry_engine_with_all_its_guards_takes_at_most_15_requests(released: Releaser) -> None:
    """Four of them for the manifests of two platforms and of their SBOMs, and two for provenance."""
    released.change_app()
    commit = released.workspace.commit
    assert released(APP, "--commit", commit).status == 0
    outcome = released(APP, "v1.1.0", "--commit", commit, "--engine", "registry")

    assert outcome.status == 0, outcome.stderr
    assert len(outcome.requests) <= 15, outcome.requests
    assert [request.path.rpartition("/")[2] for request in outcome.writes] == ["v1.1.0", "latest"]
    tags = released.tags()
    assert tags["v1.1.0"] == tags["latest"] == tags[commit] != tags["v1.0.0"]


def test_a_repository_given_whole_is_retagged_without_any_call_of_bazel(released: Releaser) -> None:
    commit = released.workspace.commit
    outcome = released.run([*released.command, APP, "v1.0.1", "--commit", commit, "--repository", released.repository])

    assert outcome.status == 0, outcome.stderr
    assert outcome.bazel == ()
    assert "v1.0.1" in released.tags()


def test_the_same_release_twice_writes_nothing_the_second_time(released: Releaser) -> None:
    outcome = released(APP, "v1.0.0", "--commit", released.workspace.commit)

    assert outcome.status == 0, outcome.stderr
    outcome.says("✅ Tagged with v1.0.0 (already)")
    assert outcome.writes == ()


def test_imagetools_failing_is_answered_by_a_rebuild_that_ends_well(
    released: Releaser, failing_imagetools: dict[str, str]
) -> None:
    commit = released.workspace.commit
    outcome = released(APP, "v1.0.2", "--commit", commit, environment=failing_imagetools)

    assert outcome.status == 0, outcome.stderr
    outcome.says(
        f"✅ Found existing image for commit {commit[:7]}…",
        "Optimizing: Re-tagging existing image instead of rebuilding",
        "Failed to tag existing image, falling back to rebuild: …unexpected status: 500…",
        "Rebuilding image...",
        f"Successfully pushed {APP} v1.0.2 (after fallback)",
    )
    assert outcome.bazel.count("build") == 1
    tags = released.tags()
    assert set(tags) == {commit, "v1.0.0", "v1.0.2", "latest"}
    assert len(set(tags.values())) == 1


def test_imagetools_failing_in_a_tree_that_may_not_build_is_answered_by_the_registry_engine(
    released: Releaser, failing_imagetools: dict[str, str]
) -> None:
    commit = released.workspace.commit
    (released.workspace.path / "uncommitted").write_text("")
    outcome = released(APP, "v1.0.2", "--commit", commit, environment=failing_imagetools)

    assert outcome.status == 0, outcome.stderr
    assert "build" not in outcome.bazel
    assert released.tags()["v1.0.2"] == released.tags()[commit]


def test_a_docker_without_buildx_is_answered_by_the_registry_engine(
    released: Releaser, docker_without_buildx: dict[str, str]
) -> None:
    commit = released.workspace.commit
    outcome = released(APP, "v1.0.1", "--commit", commit, environment=docker_without_buildx)

    assert outcome.status == 0, outcome.stderr
    assert "build" not in outcome.bazel
    outcome.says("✅ Tagged with v1.0.1", "✅ Tagged with latest")
    assert released.tags()["v1.0.1"] == released.tags()[commit]


def test_a_machine_without_docker_retags_by_the_registry_engine(released: Releaser, no_docker: dict[str, str]) -> None:
    commit = released.workspace.commit
    outcome = released(APP, "v1.0.1", "--commit", commit, environment=no_docker)

    assert outcome.status == 0, outcome.stderr
    assert "build" not in outcome.bazel
    assert released.tags()["v1.0.1"] == released.tags()[commit]


def test_a_dry_run_writes_nothing_to_the_registry_and_builds_nothing(release: Releaser) -> None:
    commit = release.workspace.commit
    first = release(APP, "v1.0.0", "--commit", commit, "--dry-run")
    assert (first.status, first.writes, release.tags()) == (0, (), {}), first.stderr
    assert "build" not in first.bazel

    assert release(APP, "v1.0.0", "--commit", commit).status == 0
    again = release(APP, "v1.0.1", "--commit", commit, "--dry-run")
    assert (again.status, again.writes) == (0, ()), again.stderr
    assert set(release.tags()) == {commit, "v1.0.0", "latest"}


def test_no_build_refuses_an_absent_image_and_retags_a_present_one(release: Releaser) -> None:
    commit = release.workspace.commit
    refused = release(APP, "v1.0.0", "--commit", commit, "--no-build")
    assert (refused.status, refused.writes) == (3, ()), refused.stderr
    assert "build" not in refused.bazel

    assert release(APP, "--commit", commit).status == 0
    retagged = release(APP, "v1.0.0", "--commit", commit, "--no-build")
    assert (retagged.status, retagged.blob_uploads) == (0, ()), retagged.stderr
    assert "v1.0.0" in release.tags()


def test_without_a_version_only_the_commit_tag_is_written(release: Releaser) -> None:
    commit = release.workspace.commit
    outcome = release(APP, "--commit", commit)

    assert outcome.status == 0, outcome.stderr
    assert set(release.tags()) == {commit}
    again = release(APP, "--commit", commit)
    assert (again.status, again.writes) == (0, ()), again.stderr


def test_without_a_commit_two_tags_are_written_and_no_commit_tag_is_asked_for(release: Releaser) -> None:
    (release.workspace.path / "uncommitted").write_text("")
    outcome = release(APP, "v1.0.0")

    assert outcome.status == 0, outcome.stderr
    assert outcome.bazel.count("build") == 1
    assert set(release.tags()) == {"v1.0.0", "latest"}
    assert not [each for each in outcome.requests if release.workspace.commit in each.path]


def test_every_app_is_released_by_one_query_and_one_build(release: Releaser) -> None:
    commit = release.workspace.commit
    outcome = release("all", "v1.0.0", "--commit", commit, "--json", "-")

    assert outcome.status == 0, outcome.stderr
    assert outcome.bazel == ("query", "build")
    outcome.says("3 apps done")
    records = json_of(outcome.stdout)["releases"]
    assert [record["app"] for record in records] == ["demo-hello_cc", "demo-hello_python", "demo-hello_web"]
    for record in records:
        for tag in (commit, "v1.0.0", "latest"):
            assert crane("digest", f"{record['repository']}:{tag}").strip() == record["digest"]
    # Layers that apps share travel once: the others mount them.
    sent = [request.path.partition("digest=")[2] for request in outcome.blob_uploads if request.method == "PUT"]
    assert len(sent) == len(set(sent))
    assert sum(record["blobs"]["mounted"] for record in records) > 0

    again = release("all", "v1.1.0", "--commit", commit, "--engine", "registry")
    assert again.status == 0, again.stderr
    assert again.bazel == ("query",)
    assert not again.blob_uploads


@pytest.fixture
def remote(workspace: Workspace, tmp_path: Path) -> Iterator[Path]:
    """The remote `origin` of the workspace, which has its commit."""
    bare = tmp_path / "remote.git"
    workspace.git("init", "--quiet", "--bare", str(bare))
    workspace.git("remote", "add", "origin", str(bare))
    workspace.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    yield bare
    workspace.git("remote", "remove", "origin")
    for name in workspace.git("tag", "--list").split():
        workspace.git("tag", "--delete", name)


def test_apps_get_their_next_versions_after_git_tags_and_git_tags_after_that(release: Releaser, remote: Path) -> None:
    workspace = release.workspace
    workspace.git("tag", "demo-hello_python.v1.4.2")
    workspace.git("push", "--quiet", "origin", "demo-hello_python.v1.4.2")
    workspace.git("tag", "--delete", "demo-hello_python.v1.4.2")
    commit = workspace.commit
    call = ("hello_python,hello_cc", "--bump", "minor", "--commit", commit, "--git-tag")

    rehearsal = release(*call, "--dry-run")
    assert rehearsal.status == 0, rehearsal.stderr
    assert "demo-hello_python.v1.5.0" in rehearsal.stderr
    assert workspace.git("ls-remote", "--tags", "origin").count("\n") == 0

    outcome = release(*call, "--json", "-")
    assert outcome.status == 0, outcome.stderr
    versions = {record["app"]: record["version"] for record in json_of(outcome.stdout)["releases"]}
    assert versions == {"demo-hello_cc": "v0.1.0", "demo-hello_python": "v1.5.0"}
    outcome.says("git tag demo-hello_cc.v0.1.0 is pushed", "git tag demo-hello_python.v1.5.0 is pushed")
    for name in ("demo-hello_cc.v0.1.0", "demo-hello_python.v1.5.0"):
        assert workspace.git("--git-dir", str(remote), "rev-parse", f"{name}^{{commit}}") == commit


def test_standard_output_has_the_record_and_nothing_else(released: Releaser) -> None:
    commit = released.workspace.commit
    outcome = released(APP, "v1.0.1", "--commit", commit, "--json", "-")

    assert outcome.status == 0, outcome.stderr
    record = record_of(outcome.stdout)
    assert released.tags()["v1.0.1"] in outcome.stdout
    assert record
    outcome.says("✅ Tagged with v1.0.1")


def test_an_older_version_leaves_latest_where_it_is(released: Releaser) -> None:
    commit = released.workspace.commit
    assert released(APP, "v2.0.0", "--commit", commit).status == 0
    outcome = released(APP, "v1.5.0", "--commit", commit)

    assert outcome.status == 0, outcome.stderr
    assert "latest stays at v2.0.0" in outcome.stderr
    assert len(outcome.writes) == 1


def test_a_rebuild_of_a_commit_that_is_there_gives_the_same_digest(released: Releaser) -> None:
    commit = released.workspace.commit
    before = released.tags()[commit]
    outcome = released(APP, "v1.0.1", "--commit", commit, "--rebuild")

    assert outcome.status == 0, outcome.stderr
    assert outcome.bazel.count("build") == 1
    assert released.tags() == {commit: before, "v1.0.0": before, "v1.0.1": before, "latest": before}


def test_another_commit_with_the_same_content_is_the_same_digest(released: Releaser) -> None:
    first = released.workspace.commit
    (released.workspace.path / "NOTES").write_text("nothing that an image contains\n")
    released.workspace.commit_all("Add notes")
    second = released.workspace.commit
    outcome = released(APP, "v1.1.0", "--commit", second, "--json", "-")

    assert outcome.status == 0, outcome.stderr
    record = record_of(outcome.stdout)
    assert (record["blobs"]["uploaded"], record["provenance"]["step"]) == (0, "write")
    tags = released.tags()
    assert set(tags) == {first, second, "v1.0.0", "v1.1.0", "latest"}
    assert len(set(tags.values())) == 1


def test_a_commit_that_is_not_checked_out_is_built_in_a_work_tree_of_its_own(release: Releaser) -> None:
    commit = release.workspace.commit
    (release.workspace.path / "NOTES").write_text("a later commit\n")
    release.workspace.commit_all("Add notes")

    refused = release(APP, "v1.0.0", "--commit", commit)
    assert (refused.status, refused.writes) == (3, ()), refused.stderr
    assert "--checkout" in refused.stderr

    outcome = release(APP, "v1.0.0", "--commit", commit, "--checkout")
    assert outcome.status == 0, outcome.stderr
    assert set(release.tags()) == {commit, "v1.0.0", "latest"}
    assert len(release.workspace.git("worktree", "list").splitlines()) == 1
