"""The git tree: whether it is a commit, and copies of it that are."""

import os
import subprocess
from pathlib import Path

import pytest

from release.errors import Exit, Refused
from release.source_tree import SourceTree

IDENTITY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "Test"), ("EMAIL", "test@example.com"))
}


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **IDENTITY}, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits; the workspace is a folder in it."""
    top = tmp_path / "repository"
    (top / "workspace").mkdir(parents=True)
    git(top, "init", "--quiet", "--initial-branch=main")
    (top / ".gitignore").write_text("ignored\n")
    for content in ("first", "second"):
        (top / "workspace" / "file").write_text(content)
        git(top, "add", "--all")
        git(top, "commit", "--quiet", "--message", content)
    return top


@pytest.fixture
def tree(repository: Path) -> SourceTree:
    return SourceTree(repository / "workspace")


def test_a_clean_tree_at_the_commit_may_build_it(tree: SourceTree, repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    (repository / "ignored").touch()
    for written in (head, head[:7], head.upper()):
        tree.check_is(written)


def refused(tree: SourceTree, commit: str) -> str:
    with pytest.raises(Refused) as caught:
        tree.check_is(commit)
    assert caught.value.exit_status == Exit.REFUSED
    return str(caught.value)


CHOICES = "Commit first, or leave out --commit to release the working tree, or add --checkout"


def test_another_commit_is_refused_with_what_can_be_done(tree: SourceTree, repository: Path) -> None:
    said = refused(tree, git(repository, "rev-parse", "HEAD~1"))
    assert f"the working tree is at commit {git(repository, 'rev-parse', 'HEAD')[:12]}" in said
    assert CHOICES in said


@pytest.mark.parametrize("where", ["workspace/file", "workspace/new", "beside"])
def test_a_tree_with_changes_is_refused_with_their_names(tree: SourceTree, repository: Path, where: str) -> None:
    (repository / where).write_text("changed")
    said = refused(tree, git(repository, "rev-parse", "HEAD"))
    assert f"changes that are not committed: {where}" in said
    assert CHOICES in said


def test_of_many_changes_only_a_few_are_named(tree: SourceTree, repository: Path) -> None:
    for number in range(5):
        (repository / f"new{number}").touch()
    assert "new0, new1, new2 and 2 more" in refused(tree, git(repository, "rev-parse", "HEAD"))


def test_a_tree_that_git_cannot_judge_is_refused(tree: SourceTree, repository: Path) -> None:
    (repository / ".git/index").write_bytes(b"nonsense")
    said = refused(tree, git(repository, "rev-parse", "HEAD"))
    assert "git cannot tell whether the working tree has changes" in said


def test_new_files_count_whatever_a_user_has_configured(tree: SourceTree, repository: Path) -> None:
    git(repository, "config", "status.showUntrackedFiles", "no")
    (repository / "new").touch()
    assert "changes that are not committed: new" in refused(tree, git(repository, "rev-parse", "HEAD"))


def test_the_workspace_is_judged_even_where_a_hook_names_another_repository(
    tree: SourceTree, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = git(repository, "rev-parse", "HEAD")
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    tree.check_is(head)


def test_a_commit_that_git_does_not_have_is_refused(tree: SourceTree) -> None:
    said = refused(tree, "0123456789")
    assert "git does not have it" in said
    assert "Fetch it" in said


def test_a_branch_that_is_called_like_a_commit_is_none(tree: SourceTree, repository: Path) -> None:
    git(repository, "branch", "abcdef0")
    assert "the name of something else" in refused(tree, "abcdef0")


def test_a_folder_without_git_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    assert "not a git repository" in refused(SourceTree(tmp_path / "plain"), "0123456789")


def test_a_checkout_is_the_workspace_at_the_commit_and_leaves_no_trace(
    tree: SourceTree, repository: Path, tmp_path: Path
) -> None:
    first = git(repository, "rev-parse", "HEAD~1")
    (repository / "workspace" / "file").write_text("changed")
    before = git(repository, "status", "--porcelain"), git(repository, "worktree", "list")
    places = []
    for _ in range(2):
        with tree.checked_out(first[:8], tmp_path / "cache") as checkout:
            assert (checkout.workspace / "file").read_text() == "first"
            assert git(checkout.workspace, "rev-parse", "HEAD") == first
            places.append(checkout)
        assert not checkout.workspace.exists()
    # The same place each time, for Bazel to find again what it built there.
    assert places[0] == places[1]
    assert (git(repository, "status", "--porcelain"), git(repository, "worktree", "list")) == before


def test_a_checkout_is_removed_when_the_build_in_it_fails(tree: SourceTree, repository: Path, tmp_path: Path) -> None:
    def build() -> None:
        with tree.checked_out(git(repository, "rev-parse", "HEAD"), tmp_path / "cache") as checkout:
            (checkout.workspace / "half-made").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build()
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    assert list(tmp_path.glob("cache/*/tree")) == []


def test_what_a_killed_checkout_has_left_is_in_nobodys_way(tree: SourceTree, repository: Path, tmp_path: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    with tree.checked_out(head, tmp_path) as checkout:
        git(repository, "worktree", "lock", str(checkout.workspace.parent))
        top = checkout.workspace.parent
    with tree.checked_out(head, tmp_path) as checkout:
        assert (checkout.workspace / "file").read_text() == "second"
        # As after `rm -rf`, which git is not told of.
        subprocess.run(["rm", "-rf", str(top)], check=True)
    with tree.checked_out(head, tmp_path) as checkout:
        assert (checkout.workspace / "file").read_text() == "second"


def test_a_commit_that_is_not_there_is_not_checked_out(tree: SourceTree, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="git does not have it"), tree.checked_out("0123456789", tmp_path):
        pass
