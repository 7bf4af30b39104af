"""Bad input from end to end: a clear error, the right exit status, and nothing written."""

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.releasing import APP, Outcome, Releaser, crane
from tests.support.fault_proxy import Answer, Fault, FaultProxy, error_answer

USAGE, REFUSED, NOT_ASKED = 2, 3, 4


# What a registry, or something before it, may say instead of the truth when it is asked for a manifest.
NONSENSE: dict[str, Callable[[Answer], Answer]] = {
    "401": lambda answer: error_answer(401, "UNAUTHORIZED", "log in first", WWW_Authenticate='Basic realm="test"'),
    "403": lambda answer: error_answer(403, "DENIED", "requested access to the resource is denied"),
    "a web page": lambda answer: Answer(200, {"Content-Type": "text/html"}, b"<html>Accept the terms of use</html>"),
    "half of the JSON": lambda answer: replace(answer, body=answer.body[: len(answer.body) // 2]),
    "other content than its digest says": lambda answer: replace(answer, body=answer.body.replace(b"amd64", b"s390x")),
}


def refused(outcome: Outcome, status: int, *words: str) -> None:
    """Asserts that a release ended with `status`, said why, and wrote nothing."""
    assert (outcome.status, outcome.writes) == (status, ()), outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""
    for word in words:
        assert word in outcome.stderr


@pytest.mark.parametrize("version", ["1.0.0", "v1", "v1.0", ""])
def test_a_version_of_another_form_is_a_wrong_call(release: Releaser, version: str) -> None:
    outcome = release(APP, version, "--commit", release.workspace.commit)
    refused(outcome, USAGE, "v{major}.{minor}.{patch}")
    assert outcome.requests == ()


def test_an_unknown_app_is_answered_by_the_known_ones(release: Releaser) -> None:
    refused(release("hello_pyton", "v1.0.0", "--commit", release.workspace.commit), USAGE, "hello_pyton", APP)


def test_a_commit_that_is_not_hexadecimal_is_a_wrong_call(release: Releaser) -> None:
    refused(release(APP, "v1.0.0", "--commit", "main"), USAGE, "main")


def test_a_commit_that_git_does_not_have_cannot_be_built(release: Releaser) -> None:
    outcome = release(APP, "v1.0.0", "--commit", "0123456789abcdef0123456789abcdef01234567")
    refused(outcome, REFUSED, "0123456789abcdef0123456789abcdef01234567")
    assert "build" not in outcome.bazel


def test_a_dirty_tree_is_not_built_as_a_commit(release: Releaser) -> None:
    (release.workspace.path / "uncommitted").write_text("")
    outcome = release(APP, "v1.0.0", "--commit", release.workspace.commit)
    refused(outcome, REFUSED, "uncommitted", "--checkout", "Commit first")
    assert "build" not in outcome.bazel
    assert release.tags() == {}


def test_a_version_that_is_taken_by_another_image_is_not_moved(released: Releaser) -> None:
    taken = released.tags()["v1.0.0"]
    released.change_app()
    assert released(APP, "--commit", released.workspace.commit).status == 0
    other = released.tags()[released.workspace.commit]
    assert other != taken

    outcome = released(APP, "v1.0.0", "--commit", released.workspace.commit)
    refused(outcome, REFUSED, taken, other, "--allow-overwrite")
    assert released.tags()["v1.0.0"] == released.tags()["latest"] == taken

    moved = released(APP, "v1.0.0", "--commit", released.workspace.commit, "--allow-overwrite")
    assert moved.status == 0, moved.stderr
    assert released.tags()["v1.0.0"] == other


def test_a_rebuild_that_differs_from_what_the_commit_tag_names_is_refused_with_both_digests(released: Releaser) -> None:
    first = released.workspace.commit
    digest = released.tags()[first]
    released.change_app()
    second = released.workspace.commit
    assert released(APP, "--commit", second).status == 0
    # A commit tag that lies: as if the build of the second commit had not been reproducible.
    other = released.tags()[second]
    released.workspace.git("reset", "--hard", "--quiet", first)
    crane("copy", f"{released.repository}@{other}", f"{released.repository}:{first}")
    outcome = released(APP, "v1.0.1", "--commit", first, "--rebuild")
    refused(outcome, REFUSED, digest, other)
    assert "v1.0.1" not in released.tags()


@pytest.fixture
def impatient(tmp_path: Path) -> tuple[str, str]:
    """Options by which a registry that does not answer is not asked for half a minute."""
    config = tmp_path / "config.yaml"
    config.write_text("retry_seconds: 0.5\n")
    return ("--config", str(config))


def test_a_registry_that_is_not_there_could_not_be_asked(release: Releaser, impatient: tuple[str, str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{unused.getsockname()[1]}"
        call = [*release.command, APP, "v1.0.0", "--commit", release.workspace.commit, "--registry", nowhere]
        for options in ((), ("--no-build",)):
            refused(release.run([*call, *impatient, *options]), NOT_ASKED, nowhere)


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize("options", [(), ("--no-build",)], ids=["may build", "no build"])
def test_no_tag_moves_where_the_registry_answers_nonsense(
    released: Releaser, impatient: tuple[str, str], nonsense: str, options: tuple[str, ...]
) -> None:
    before = released.tags()
    with FaultProxy(released.registry.address) as proxy:
        proxy.inject(Fault(path="/manifests/", times=0, change=NONSENSE[nonsense]))
        call = [*released.command, APP, "v1.0.1", "--commit", released.workspace.commit, "--registry", proxy.address]
        outcome = released.run([*call, "--owner", released.owner, *impatient, *options])

    refused(outcome, NOT_ASKED, proxy.address)
    assert released.tags() == before
