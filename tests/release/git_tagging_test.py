"""The git tag that a release leaves: on the remote at its commit, or a warning that says what to do."""

import base64
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from release.git_tagging import TagReport, TagState, VerifiedRelease, push_git_tags, survey_git_tags, warnings
from release.git_tags import GitTags
from release.version import Version
from tests.support.git import NO_CONFIGURATION, GitRepository

DIGEST = "sha256:" + "1a" * 32


@pytest.fixture(autouse=True)
def git_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NO_CONFIGURATION.items():
        monkeypatch.setenv(name, value)
    for name in ("EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def remote(tmp_path: Path) -> GitRepository:
    return GitRepository.create(tmp_path / "remote.git", bare=True)


@pytest.fixture
def clone(tmp_path: Path, remote: GitRepository) -> GitRepository:
    """A clone of the remote, with two commits that both have."""
    repository = GitRepository.create(tmp_path / "clone")
    repository.commit("first")
    repository.commit("second")
    repository.run("remote", "add", "origin", str(remote.folder))
    repository.run("push", "--quiet", "origin", "main")
    return repository


@pytest.fixture
def head(clone: GitRepository) -> str:
    return clone.run("rev-parse", "HEAD")


@pytest.fixture
def older(clone: GitRepository) -> str:
    return clone.run("rev-parse", "HEAD~1")


def release(commit: str, app: str = "shop-api", version: str = "v1.0.0") -> VerifiedRelease:
    return VerifiedRelease(
        app, Version.parse(version), commit, DIGEST, (f"ghcr.io/acme/{app}", f"mirror.example/{app}")
    )


def push(clone: GitRepository, *releases: VerifiedRelease, seconds: float = 60.0) -> tuple[TagReport, ...]:
    return push_git_tags(releases, GitTags(clone.folder, network_seconds=seconds))


def states(reports: tuple[TagReport, ...]) -> list[str]:
    return [report.state.value for report in reports]


def warning(*reports: TagReport) -> str:
    (said,) = warnings(reports)
    return said


def objects(repository: GitRepository) -> dict[str, str]:
    """The object of each tag by itself."""
    lines = repository.run("for-each-ref", "--format=%(refname:strip=2) %(objectname)", "refs/tags/").splitlines()
    return dict(line.split() for line in lines)


# What is written


def test_the_tag_is_annotated_and_says_what_was_released(
    clone: GitRepository, remote: GitRepository, head: str
) -> None:
    (report,) = push(clone, release(head))
    assert (report.tag, report.state, report.commit) == ("shop-api.v1.0.0", TagState.PUSHED, head)
    assert warnings([report]) == ()
    assert remote.tags() == clone.tags() == {"shop-api.v1.0.0": head}
    assert remote.run("cat-file", "-t", "shop-api.v1.0.0") == "tag"
    assert objects(remote) == objects(clone)
    remote.run("fsck", "--strict")
    assert remote.run("for-each-ref", "--format=%(contents)", "refs/tags/") == (
        "Release shop-api v1.0.0\n\nApp: shop-api\nVersion: v1.0.0\n"
        f"Image: ghcr.io/acme/shop-api@{DIGEST}\nImage: mirror.example/shop-api@{DIGEST}"
    )
    trailers = remote.run("for-each-ref", "--format=%(contents:trailers:key=Version,valueonly)", "refs/tags/")
    assert trailers == "v1.0.0"


def test_a_commit_may_be_abbreviated(clone: GitRepository, remote: GitRepository, older: str) -> None:
    assert states(push(clone, release(older[:8].upper()))) == ["pushed"]
    assert remote.tags() == {"shop-api.v1.0.0": older}


def test_many_tags_are_pushed_at_once(clone: GitRepository, remote: GitRepository, head: str, older: str) -> None:
    remote.hook("post-receive", "echo push >> pushes\n")
    releases = [release(older if number % 2 else head, f"shop-app{number}") for number in range(40)]
    assert states(push(clone, *releases)) == ["pushed"] * 40
    assert remote.tags() == clone.tags() == {each.tag: each.commit for each in releases}
    assert (remote.folder / "pushes").read_text() == "push\n"


def test_nothing_is_pushed_but_the_tags_whatever_is_configured(
    clone: GitRepository, remote: GitRepository, head: str
) -> None:
    clone.tag("private")
    for key, value in (
        ("push.followTags", "true"),
        ("push.gpgSign", "true"),
        ("tag.gpgSign", "true"),
        ("core.editor", "false"),
        ("remote.origin.push", "refs/heads/*:refs/heads/copy/*"),
    ):
        clone.run("config", key, value)
    assert states(push(clone, release(head))) == ["pushed"]
    assert remote.tags() == {"shop-api.v1.0.0": head}
    assert remote.run("for-each-ref", "--format=%(refname)", "refs/heads/") == "refs/heads/main"


def tagger(repository: GitRepository) -> str:
    return repository.run("for-each-ref", "--format=%(taggername) %(taggeremail)", "refs/tags/")


def test_the_tagger_is_who_git_is_configured_to_be(clone: GitRepository, remote: GitRepository, head: str) -> None:
    clone.run("config", "user.name", "Ada")
    clone.run("config", "user.email", "ada@example.com")
    push(clone, release(head))
    assert tagger(remote) == "Ada <ada@example.com>"


def test_the_tagger_may_be_told_by_the_environment(
    clone: GitRepository, remote: GitRepository, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Bob")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "bob@example.com")
    push(clone, release(head))
    assert tagger(remote) == "Bob <bob@example.com>"


def test_nobody_is_guessed_where_git_does_not_know_who_it_is(
    clone: GitRepository, remote: GitRepository, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With an address git would take the name of this machine's user.
    monkeypatch.setenv("EMAIL", "somebody@example.com")
    begun = int(time.time())
    assert states(push(clone, release(head))) == ["pushed"]
    assert tagger(remote) == "Slipway <noreply@slipway.invalid>"
    assert int(remote.run("for-each-ref", "--format=%(taggerdate:unix)", "refs/tags/")) >= begun


def test_a_survey_writes_nothing(clone: GitRepository, remote: GitRepository, head: str, older: str) -> None:
    remote.tag("shop-web.v1.0.0", commit=head)
    remote.tag("shop-cli.v1.0.0", commit=older)
    reports = survey_git_tags([release(head, f"shop-{app}") for app in ("api", "web", "cli")], GitTags(clone.folder))
    assert states(reports) == ["planned", "already", "conflict"]
    assert clone.tags() == {}
    assert set(remote.tags()) == {"shop-web.v1.0.0", "shop-cli.v1.0.0"}
    assert clone.run("count-objects").startswith("3 objects")


# What is there already


def test_the_same_again_writes_nothing(clone: GitRepository, remote: GitRepository, head: str) -> None:
    push(clone, release(head))
    before = objects(remote)
    remote.hook("pre-receive", "exit 1\n")
    (report,) = push(clone, release(head))
    assert (report.state, report.commit) == (TagState.ALREADY, head)
    assert objects(remote) == before


def test_a_tag_at_the_commit_that_is_not_annotated_is_left(
    clone: GitRepository, remote: GitRepository, head: str
) -> None:
    remote.tag("shop-api.v1.0.0", commit=head, annotated=False)
    assert states(push(clone, release(head[:7]))) == ["already"]
    assert objects(remote) == {"shop-api.v1.0.0": head}


def test_a_tag_at_another_commit_is_never_moved(
    clone: GitRepository, remote: GitRepository, head: str, older: str
) -> None:
    remote.tag("shop-api.v1.0.0", commit=older)
    reports = push(clone, release(head), release(head, "shop-web"))
    assert states(reports) == ["conflict", "pushed"]
    assert remote.tags() == {"shop-api.v1.0.0": older, "shop-web.v1.0.0": head}
    assert warning(*reports) == (
        f"git tag shop-api.v1.0.0 stays where it is: on origin it is at commit {older[:12]}, not at {head[:12]}\n"
        "The release itself is done. A tag is never moved: see which commit is the right one, and if it is this one, "
        "delete the tag (git push origin :refs/tags/shop-api.v1.0.0) and repeat the command."
    )


def test_a_tag_that_is_only_here_is_pushed_as_it_is(clone: GitRepository, remote: GitRepository, head: str) -> None:
    clone.tag("shop-api.v1.0.0")
    assert states(push(clone, release(head))) == ["pushed"]
    assert objects(remote) == objects(clone)
    assert remote.run("for-each-ref", "--format=%(contents)", "refs/tags/") == "shop-api.v1.0.0"


def test_a_tag_that_is_here_at_another_commit_is_neither_moved_nor_pushed(
    clone: GitRepository, remote: GitRepository, head: str, older: str
) -> None:
    clone.tag("shop-api.v1.0.0", commit=older)
    reports = push(clone, release(head))
    assert states(reports) == ["conflict"]
    assert f"here it is at commit {older[:12]}, not at {head[:12]}, and origin has none" in warning(*reports)
    assert "git tag -d shop-api.v1.0.0" in warning(*reports)
    assert (clone.tags(), remote.tags()) == ({"shop-api.v1.0.0": older}, {})


# What fails, and leaves nothing half made


def test_a_remote_that_refuses_is_a_warning_in_its_own_words(
    clone: GitRepository, remote: GitRepository, head: str
) -> None:
    remote.hook("pre-receive", "echo 'No tags on a Friday.' >&2; exit 1\n")
    reports = push(clone, release(head), release(head, "shop-web"))
    assert states(reports) == ["failed", "failed"]
    said = warning(*reports)
    assert said.startswith("git tag shop-api.v1.0.0, shop-web.v1.0.0 is not pushed: ")
    assert "pre-receive hook declined" in said
    assert "remote: No tags on a Friday." in said
    assert said.endswith("\nThe release itself is done; the same command tries the tag again.")
    assert clone.tags() == remote.tags() == {}
    (remote.folder / "hooks/pre-receive").unlink()
    assert states(push(clone, release(head), release(head, "shop-web"))) == ["pushed", "pushed"]


def test_one_refused_tag_does_not_hold_up_the_others(clone: GitRepository, remote: GitRepository, head: str) -> None:
    remote.hook("update", 'case "$1" in *web*) echo "web is frozen" >&2; exit 1;; esac\n')
    reports = push(clone, *(release(head, f"shop-{app}") for app in ("api", "web", "cli")))
    assert states(reports) == ["pushed", "failed", "pushed"]
    assert "git tag shop-web.v1.0.0 is not pushed: [remote rejected] (hook declined)" in warning(*reports)
    assert "web is frozen" in warning(*reports)
    assert remote.tags() == clone.tags() == {"shop-api.v1.0.0": head, "shop-cli.v1.0.0": head}


def test_a_hook_of_the_clone_may_refuse_too(clone: GitRepository, remote: GitRepository, head: str) -> None:
    clone.hook("pre-push", "echo 'not from here' >&2; exit 1\n")
    assert "not from here" in warning(*push(clone, release(head)))
    assert clone.tags() == remote.tags() == {}


def race(clone: GitRepository, remote: GitRepository, commit: str) -> None:
    """Have somebody else create the tag when our push has asked already what there is."""
    identity = "-c user.name=Other -c user.email=other@example.com"
    clone.hook("pre-push", f"unset GIT_DIR; git -C {remote.folder} {identity} tag -a -m x shop-api.v1.0.0 {commit}\n")


def test_of_two_releases_at_once_the_later_finds_the_tag_there(
    clone: GitRepository, remote: GitRepository, head: str
) -> None:
    race(clone, remote, head)
    reports = push(clone, release(head), release(head, "shop-web"))
    assert states(reports) == ["already", "pushed"]
    assert warnings(reports) == ()
    assert remote.run("for-each-ref", "--format=%(taggername)", "refs/tags/shop-api.v1.0.0") == "Other"
    assert set(clone.tags()) == {"shop-web.v1.0.0"}


def test_a_tag_that_another_commit_got_meanwhile_is_not_moved(
    clone: GitRepository, remote: GitRepository, head: str, older: str
) -> None:
    race(clone, remote, older)
    reports = push(clone, release(head))
    assert states(reports) == ["conflict"]
    assert f"on origin it is at commit {older[:12]}" in warning(*reports)
    assert remote.tags() == {"shop-api.v1.0.0": older}


def test_a_push_that_hangs_ends_with_a_warning(
    clone: GitRepository, remote: GitRepository, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("release.git_tagging.PUSH_SECONDS", 1.0)
    remote.hook("pre-receive", "sleep 60\n")
    begun = time.monotonic()
    reports = push(clone, release(head))
    assert time.monotonic() - begun < 20
    assert "git was ended, since it took longer than 1 s" in warning(*reports)
    assert clone.tags() == remote.tags() == {}


def test_a_push_that_got_through_before_it_broke_off_counts(
    clone: GitRepository, remote: GitRepository, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("release.git_tagging.PUSH_SECONDS", 2.0)
    remote.hook("post-receive", "sleep 60\n")
    reports = push(clone, release(head))
    assert states(reports) == ["pushed"]
    assert remote.tags() == clone.tags() == {"shop-api.v1.0.0": head}


def test_a_remote_that_is_gone_is_one_warning_for_all_tags(clone: GitRepository, head: str) -> None:
    clone.run("remote", "set-url", "origin", "/nowhere/at/all")
    said = warning(*push(clone, *(release(head, f"shop-app{number}") for number in range(5))))
    assert "shop-app0.v1.0.0, shop-app1.v1.0.0, shop-app2.v1.0.0 and 2 more is not pushed" in said
    assert "'/nowhere/at/all' does not appear to be a git repository" in said
    assert clone.tags() == {}


def test_a_repository_without_a_remote_is_a_warning(clone: GitRepository, head: str) -> None:
    clone.run("remote", "remove", "origin")
    assert "there is no remote to push it to\nThe release itself is done. Name a remote" in warning(
        *push(clone, release(head))
    )


def test_no_git_and_no_repository_are_warnings(
    clone: GitRepository, head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    for folder, words in ((tmp_path / "plain", "not a git repository"), (tmp_path / "none", "git cannot be run")):
        assert words in warning(*push_git_tags([release(head)], GitTags(folder)))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git cannot be run" in warning(*push(clone, release(head)))


def test_a_commit_that_is_not_here_is_a_warning(clone: GitRepository, remote: GitRepository, head: str) -> None:
    gone = "0123456789" * 4
    reports = push(clone, release(gone), release(head, "shop-web"))
    assert states(reports) == ["failed", "pushed"]
    assert f"git does not have commit {gone} here" in warning(*reports)
    assert f"git fetch origin {gone}" in warning(*reports)


def test_a_branch_that_is_called_like_a_commit_is_none(clone: GitRepository, remote: GitRepository) -> None:
    clone.run("branch", "abcdef0")
    assert "the name of something else" in warning(*push(clone, release("abcdef0")))
    assert remote.tags() == {}


def test_a_commit_that_is_not_here_may_have_its_tag_already(
    tmp_path: Path, clone: GitRepository, remote: GitRepository, older: str, head: str
) -> None:
    remote.tag("shop-api.v1.0.0", commit=older)
    clone.run("clone", "--quiet", "--depth=1", f"file://{remote.folder}", str(tmp_path / "shallow"))
    shallow = GitRepository(tmp_path / "shallow")
    assert states(push(shallow, release(older))) == ["already"]
    # And what is here is pushed from a shallow clone.
    assert states(push(shallow, release(head, "shop-web"))) == ["pushed"]
    assert remote.tags()["shop-web.v1.0.0"] == head


def test_a_version_that_makes_no_name_for_git_holds_up_no_other(
    clone: GitRepository, remote: GitRepository, head: str
) -> None:
    reports = push(clone, release(head, version="v1.0.0-rc.lock"), release(head, "shop-web"))
    assert states(reports) == ["failed", "pushed"]
    assert "git allows no name that ends with .lock" in warning(*reports)


# Logins


class Server(http.server.BaseHTTPRequestHandler):
    """Wants a login, and takes none."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Authorization", ""))
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    Server.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_nobody_is_asked_for_a_password(
    clone: GitRepository, head: str, server: http.server.ThreadingHTTPServer
) -> None:
    clone.run("remote", "set-url", "origin", f"http://127.0.0.1:{server.server_port}/x.git")
    assert "terminal prompts disabled" in warning(*push(clone, release(head), seconds=10))


@pytest.mark.parametrize("login", ["bot:hid-den", "hid-den", "bot:hid-den%40x"])
@pytest.mark.parametrize("way", ["url", "pushurl", "insteadOf"])
def test_no_message_gives_a_login_away(
    clone: GitRepository,
    remote: GitRepository,
    head: str,
    server: http.server.ThreadingHTTPServer,
    login: str,
    way: str,
) -> None:
    address = f"127.0.0.1:{server.server_port}/"
    if way == "url":
        clone.run("remote", "set-url", "origin", f"http://{login}@{address}x.git?key=hid-den")
    elif way == "pushurl":
        clone.run("remote", "set-url", "--push", "origin", f"http://{login}@{address}x.git")
    else:
        clone.run("remote", "set-url", "origin", f"http://{address}x.git")
        clone.run("config", f"url.http://{login}@{address}.insteadOf", f"http://{address}")
    said = warning(*push(clone, release(head), seconds=10))
    assert any(base64.b64decode(word.partition(" ")[2]).find(b"hid-den") >= 0 for word in Server.asked)
    assert "127.0.0.1" in said
    assert "hid-den" not in said


def test_a_login_that_a_hook_repeats_is_not_given_away_either(
    clone: GitRepository, remote: GitRepository, head: str
) -> None:
    clone.run("config", "url.http://bot:hid-den@git.example/.insteadOf", "http://git.example/")
    remote.hook("pre-receive", "echo 'hid-den may not write to http://x:y@git.example/shop' >&2; exit 1\n")
    said = warning(*push(clone, release(head)))
    assert "*** may not write to http://git.example/shop" in said


def test_a_trace_is_not_taken_for_an_error(clone: GitRepository, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TRACE", "1")
    monkeypatch.setenv("GIT_TRACE_PACKET", "1")
    assert states(push(clone, release(head))) == ["pushed"]
