"""Which apps a change affects, in a real repository with a real Bazel.

What a build makes anew is the judge: whatever the list says, no app may be missing whose image is another one.
"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from release import changes_cli, plan_cli
from tests.release.small_monorepo import APPS, Monorepo, git
from tests.support.workspace import bazel_program, clean_environment

ZEROS = "0" * 40
EVERY = {"a", "b", "c"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monorepo]:
    made = Monorepo.make(tmp_path_factory.mktemp("small"))
    yield made
    made.bazel("shutdown")


@pytest.fixture(scope="module")
def images(made: Monorepo) -> dict[str, str]:
    """The images before any change."""
    return made.images()


@pytest.fixture
def repo(made: Monorepo) -> Monorepo:
    made.reset()
    return made


def call(repo: Monorepo, program: Any, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **clean_environment(),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONSAFEPATH": "1",
        "BAZEL": bazel_program(),
    }
    return subprocess.run(
        [sys.executable, str(Path(program.__file__).resolve()), *arguments],
        cwd=repo.path,
        env={**environment, **more},
        capture_output=True,
        text=True,
        check=False,
    )


def changes(repo: Monorepo, *arguments: str, base: str = "start") -> tuple[set[str], str]:
    """The apps that are listed, and what was said about them."""
    outcome = call(repo, changes_cli, "--base", base, *arguments)
    assert outcome.returncode == 0, outcome.stderr
    names = outcome.stdout.splitlines()
    assert names == sorted(names)
    return {name.removeprefix("demo-") for name in names}, outcome.stderr


def make_executable(repo: Monorepo) -> None:
    path = repo.path / "apps/a/a.txt"
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def new_commit_of_the_submodule(repo: Monorepo) -> None:
    git(repo.path / "apps/c/module", "checkout", "--quiet", "main")


def link_elsewhere(repo: Monorepo) -> None:
    repo.write("elsewhere/text.txt", "elsewhere\n")
    repo.remove("apps/b/linked_folder")
    (repo.path / "apps/b/linked_folder").symlink_to("../../elsewhere")


CASES: dict[str, tuple[Callable[[Monorepo], object], set[str], str]] = {
    # What can be attributed to a target.
    "a source": (lambda repo: repo.append("apps/a/a.txt"), {"a"}, "//apps/a:a.txt is an input"),
    "a source of a library": (lambda repo: repo.append("lib/lib.txt"), {"a", "c"}, "//lib:lib.txt is an input"),
    "a file of a rule's own": (lambda repo: repo.append("tool/common.txt"), EVERY, "//tool:common.txt is an input"),
    "a new file in a glob": (lambda repo: repo.write("apps/a/new.txt", "new\n"), {"a"}, "//apps/a:new.txt is an input"),
    "a mode": (make_executable, {"a"}, "apps/a/a.txt"),
    "a file in a folder that is an input": (
        lambda repo: repo.append("apps/b/folder/deep/file"),
        {"b"},
        "//apps/b:folder is an input",
    ),
    "what links lead to": (lambda repo: repo.append("shared/text.txt"), {"b"}, "apps/b/linked"),
    "where a link leads": (link_elsewhere, {"b"}, "apps/b/linked_folder"),
    "a submodule": (new_commit_of_the_submodule, {"c"}, "apps/c/module"),
    "a file that is moved": (lambda repo: repo.move("apps/a/other.txt", "apps/b/folder/other.txt"), {"a", "b"}, ""),
    # What is gone has no label any more.
    "a file that a glob had": (
        lambda repo: repo.remove("apps/a/other.txt"),
        {"a"},
        "a glob of //apps/a may have had it",
    ),
    "a package that nobody uses": (lambda repo: repo.remove("unused"), set(), "0 of 3 apps"),
    "a package inside another": (lambda repo: repo.remove("lib/package"), {"a", "c"}, "a part of //lib"),
    "only the BUILD file of a package inside another": (
        lambda repo: repo.remove("lib/package/BUILD.bazel"),
        {"a", "c"},
        "a part of //lib became a package, or the other way round",
    ),
    "a new package inside another": (
        lambda repo: repo.write("lib/deep/BUILD", ""),
        {"a", "c"},
        "a part of //lib became a package, or the other way round",
    ),
    # What is read to know the targets.
    "only a BUILD file": (
        lambda repo: repo.append("lib/BUILD.bazel", "exports_files(['lib.txt'])\n"),
        {"a", "c"},
        "lib/BUILD.bazel: it says what the targets of its package are",
    ),
    "a .bzl file": (lambda repo: repo.append("rules/rules.bzl"), EVERY, "it is loaded by BUILD files"),
    "a .bzl file that another loads": (lambda repo: repo.write("rules/inner.bzl", 'SEPARATOR = "==="\n'), EVERY, ""),
    "a .bzl file that only tests load": (lambda repo: repo.append("rules/only_tests.bzl"), set(), ""),
    "the module": (lambda repo: repo.append("MODULE.bazel"), EVERY, "every app: MODULE.bazel: Bazel reads it"),
    "Bazel's settings": (lambda repo: repo.append(".bazelrc"), EVERY, ".bazelrc: Bazel reads it for every build"),
    "imported settings": (lambda repo: repo.append("more.bazelrc"), EVERY, "more.bazelrc: .bazelrc imports it"),
    "Bazel's version": (lambda repo: repo.write(".bazelversion", "7.7.1\n"), EVERY, ".bazelversion"),
    "ignored folders": (lambda repo: repo.write(".bazelignore", "unused\n"), EVERY, ".bazelignore"),
    "the module's lock": (lambda repo: repo.write("MODULE.bazel.lock", "{}"), EVERY, "MODULE.bazel.lock"),
    "a lock of packages": (
        lambda repo: repo.append("third_party/words.lock"),
        EVERY,
        "third_party/words.lock: MODULE.bazel names it",
    ),
    "a repository rule": (lambda repo: repo.append("third_party/words.bzl"), EVERY, "third_party/words.bzl"),
    "what a repository rule loads": (
        lambda repo: repo.append("third_party/helper.bzl"),
        EVERY,
        "third_party/helper.bzl: third_party/words.bzl names it",
    ),
    "what a repository rule reads": (lambda repo: repo.append("third_party/tail.txt"), EVERY, "third_party/tail.txt"),
    "a module in the tree": (
        lambda repo: repo.append("vendored/vendored.txt"),
        EVERY,
        "vendored/vendored.txt: MODULE.bazel has a repository there",
    ),
    "a toolchain": (lambda repo: repo.append("toolchains/inner/words.txt"), EVERY, "//toolchains/inner:words.txt is"),
    "a platform": (lambda repo: repo.append("platforms/BUILD.bazel"), EVERY, "platforms/BUILD.bazel: it says what"),
    "the settings of the release": (lambda repo: repo.append("release/config.yaml"), EVERY, "where all images go"),
    "how git writes files": (lambda repo: repo.write(".gitattributes", "*.txt eol=crlf\n"), EVERY, ".gitattributes"),
    # What no app is made from.
    "a file in no package": (lambda repo: repo.append("README.md"), set(), "0 of 3 apps affected; 1 files changed"),
    "a workflow": (lambda repo: repo.append(".github/workflows/ci.yml"), set(), ""),
    "a file beside the sources": (lambda repo: repo.append("apps/a/notes.md"), set(), ""),
    "a lock that Bazel does not read": (lambda repo: repo.append("tool/package-lock.json"), set(), ""),
    "a test": (lambda repo: repo.append("tests/test.txt"), set(), ""),
    "a file outside of the workspace": (lambda repo: repo.append("../beside.txt"), set(), ""),
    # Names.
    "spaces and letters of other languages": (
        lambda repo: repo.create(*(f"apps/a/{name}.txt" for name in ("with space", "größe", "it's [1]{2}+@=,~"))),
        {"a"},
        "",
    ),
    "names that are no labels, in no package": (
        lambda repo: repo.create("docs/new\nline", "docs/tab\t", 'docs/quote"', "-n"),
        set(),
        "4 files changed",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_affects_the_apps_that_are_made_from_it(repo: Monorepo, images: dict[str, str], case: str) -> None:
    change, expected, said = CASES[case]
    change(repo)
    head = repo.commit()
    found, log = changes(repo, "--head", head)
    assert found == expected, log
    assert said in log
    built = repo.images()
    assert {app for app in APPS if built[app] != images[app]} <= found


def test_what_is_not_committed_counts_without_a_head(repo: Monorepo) -> None:
    repo.append("apps/b/b.txt")
    assert changes(repo)[0] == {"b"}
    repo.write("apps/a/untracked.txt", "")
    assert changes(repo)[0] == {"a", "b"}
    repo.git("add", "--all")
    assert changes(repo)[0] == {"a", "b"}
    repo.remove("lib/lib.txt")
    assert changes(repo)[0] == EVERY
    repo.reset()
    assert changes(repo)[0] == set()


def test_settings_of_a_user_leave_nothing_out(repo: Monorepo) -> None:
    for setting in ("diff.relative=true", "diff.renames=copies", "diff.ignoreSubmodules=all", "core.quotePath=true"):
        repo.git("config", *setting.split("="))
    try:
        repo.append("apps/b/b.txt")
        new_commit_of_the_submodule(repo)
        assert changes(repo)[0] == {"b", "c"}
    finally:
        for name in ("diff.relative", "diff.renames", "diff.ignoreSubmodules", "core.quotePath"):
            repo.git("config", "--unset", name)


def test_a_head_that_the_tree_is_not_is_refused(repo: Monorepo) -> None:
    start = repo.git("rev-parse", "start")
    repo.append("apps/a/a.txt")
    for change, why in ((lambda: None, "not committed: workspace/apps/a/a.txt"), (repo.commit, "it is at")):
        change()
        outcome = call(repo, changes_cli, "--base", "start", "--head", start)
        assert (outcome.returncode, outcome.stdout) == (3, "")
        assert f"Refused to say what commit {start[:12]} affects" in outcome.stderr
        assert why in outcome.stderr


def test_a_branch_is_compared_with_where_it_left(repo: Monorepo) -> None:
    repo.git("checkout", "--quiet", "-b", "branch")
    repo.append("apps/b/b.txt")
    repo.commit()
    repo.git("checkout", "--quiet", "main")
    repo.append("apps/a/a.txt")
    repo.commit()
    repo.git("checkout", "--quiet", "branch")
    assert changes(repo, base="main")[0] == {"a", "b"}
    assert changes(repo, "--merge-base", base="main")[0] == {"b"}


def test_without_an_earlier_commit_every_app_is_affected(repo: Monorepo) -> None:
    found, log = changes(repo, base=ZEROS)
    assert found == EVERY
    assert "every app: there is no earlier commit" in log


def test_a_failed_query_is_a_failure_and_no_empty_list(repo: Monorepo) -> None:
    repo.append("README.md")
    repo.write("apps/a/BUILD.bazel", "nonsense(")
    # Bazel would print what it could read, and say so by its exit status alone.
    for setting in ("", "query --keep_going\n"):
        repo.append("more.bazelrc", setting)
        for program, arguments in ((changes_cli, ()), (plan_cli, ("--event", "push", "--format", "github"))):
            outcome = call(repo, program, "--base", repo.git("rev-parse", "start"), *arguments)
            assert (outcome.returncode, outcome.stdout) == (1, "")
            assert "query" in outcome.stderr
            assert "apps/a/BUILD.bazel:1" in outcome.stderr


def test_a_package_that_is_still_needed_and_gone_is_a_failure(repo: Monorepo) -> None:
    repo.remove("rules/BUILD.bazel")
    outcome = call(repo, changes_cli, "--base", "start")
    assert (outcome.returncode, outcome.stdout) == (1, "")


@pytest.mark.parametrize("base", ["0123456789012345678901234567890123456789", "nonsense", "a..b"])
def test_a_base_that_git_does_not_have_is_a_failure_that_says_to_fetch_it(repo: Monorepo, base: str) -> None:
    outcome = call(repo, changes_cli, "--base", base)
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert f"git fetch origin {base}" in outcome.stderr


@pytest.mark.parametrize("base", ["", "--all"])
def test_a_base_that_is_no_commit_at_all_is_a_wrong_call(repo: Monorepo, base: str) -> None:
    outcome = call(repo, changes_cli, f"--base={base}")
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert "forty zeros" in outcome.stderr


def test_a_scope_of_several_patterns_is_one(repo: Monorepo) -> None:
    repo.write("scope.yaml", "apps: //apps/a/... + //apps/b/...\n")
    repo.append("lib/lib.txt")
    assert changes(repo, "--config", "scope.yaml", base="start")[0] == {"a", "b"}  # The configuration is new.
    repo.commit()
    repo.append("lib/lib.txt")
    assert changes(repo, "--config", "scope.yaml", base="HEAD")[0] == {"a"}


def test_apps_with_one_name_or_none_at_all_are_wrong(repo: Monorepo) -> None:
    repo.write("none.yaml", "apps: //lib/...\n")
    outcome = call(repo, changes_cli, "--base", "start", "--config", "none.yaml")
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert "No app in //lib/..." in outcome.stderr
    repo.append("apps/b/BUILD.bazel", "app(name = 'a', srcs = [])\n")
    outcome = call(repo, changes_cli, "--base", "start")
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert "demo-a (//apps/a:a_metadata and //apps/b:a_metadata)" in outcome.stderr


def test_a_name_that_would_be_a_line_of_its_own_is_not_written(repo: Monorepo) -> None:
    repo.append("apps/b/BUILD.bazel", "app_metadata(name = 'x', app = 'x\\nhas_apps=true', domain = 'demo', ")
    repo.append("apps/b/BUILD.bazel", "image = ':b_image', platforms = ['linux/amd64'])\n")
    text = (repo.path / "apps/b/BUILD.bazel").read_text()
    repo.write("apps/b/BUILD.bazel", text.replace('"app")', '"app", "app_metadata")'))
    for program, arguments in ((changes_cli, ("--base", ZEROS)), (plan_cli, ("--event", "manual", "all"))):
        outcome = call(repo, program, *arguments)
        assert (outcome.returncode, outcome.stdout) == (1, "")
        assert "has characters that no repository's name has" in outcome.stderr


def test_the_document_says_why_and_by_way_of_what(repo: Monorepo) -> None:
    repo.append("lib/lib.txt")
    outcome = call(repo, changes_cli, "--base", "start", "--format", "json")
    assert json.loads(outcome.stdout) == {
        "schema": 1,
        "base": repo.git("rev-parse", "start"),
        "head": None,
        "changed_files": 1,
        "apps": [
            {
                "app": f"demo-{app}",
                "domain": "demo",
                "name": app,
                "file": "lib/lib.txt",
                "why": "//lib:lib.txt is an input",
                "via": ["//lib:lib.txt", "//lib:lib", f"//apps/{app}:{app}_image", f"//apps/{app}:{app}_metadata"],
            }
            for app in ("a", "c")
        ],
    }


def outputs(outcome: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert outcome.returncode == 0, outcome.stderr
    return dict(line.split("=", 1) for line in outcome.stdout.splitlines())


def test_a_push_is_compared_with_what_was_before_it(repo: Monorepo) -> None:
    before = repo.git("rev-parse", "HEAD")
    repo.append("apps/a/a.txt")
    repo.commit()
    repo.append("apps/b/b.txt")
    head = repo.commit()
    push = ("--event", "push", "--base", before, "--head", head)
    assert outputs(call(repo, plan_cli, *push, "--format", "github")) == {
        "matrix": '{"include":[{"app":"demo-a","version":""},{"app":"demo-b","version":""}]}',
        "has_apps": "true",
        "apps": "demo-a,demo-b",
        "version": "",
    }
    document = json.loads(call(repo, plan_cli, *push).stdout)
    assert (document["event"], document["base"], document["head"]) == ("push", before, head)
    assert [(each["app"], each["file"]) for each in document["apps"]] == [
        ("demo-a", "apps/a/a.txt"),
        ("demo-b", "apps/b/b.txt"),
    ]


def test_a_push_that_affects_nothing_starts_no_job(repo: Monorepo) -> None:
    repo.append("README.md")
    outcome = call(repo, plan_cli, "--event", "push", "--base", "start", "--format", "github")
    assert outcome.stdout == 'matrix={"include":[]}\nhas_apps=false\napps=\nversion=\n'


def test_a_pull_request_is_compared_with_where_it_left(repo: Monorepo) -> None:
    repo.git("checkout", "--quiet", "-b", "request")
    repo.append("apps/b/b.txt")
    repo.commit()
    repo.git("checkout", "--quiet", "main")
    repo.append("apps/a/a.txt")
    repo.commit()
    repo.git("checkout", "--quiet", "request")
    for event, expected in (("pull_request", "demo-b"), ("push", "demo-a,demo-b")):
        found = outputs(call(repo, plan_cli, "--event", event, "--base", "main", "--format", "github"))
        assert found["apps"] == expected


@pytest.mark.parametrize(
    ("arguments", "apps", "version"),
    [
        (("--event", "tag", "--tag", "refs/tags/demo-a.v1.2.3-rc.1"), "demo-a", "v1.2.3-rc.1"),
        (("--event", "tag", "--tag", "v2.0.0"), "demo-a,demo-b,demo-c", "v2.0.0"),
        (("--event", "manual", "demo"), "demo-a,demo-b,demo-c", ""),
        (("--event", "manual", "c, demo/a", "--version", "v1.0.0"), "demo-a,demo-c", "v1.0.0"),
        (("--event", "manual", "all", "--version", ""), "demo-a,demo-b,demo-c", ""),
    ],
)
def test_tags_and_names_need_no_history(repo: Monorepo, arguments: tuple[str, ...], apps: str, version: str) -> None:
    repo.write("apps/a/a.txt", "edited\n")
    outcome = call(repo, plan_cli, *arguments, "--format", "github", GIT_EXEC_PATH="/nowhere")
    found = outputs(outcome)
    assert (found["apps"], found["version"]) == (apps, version)
    assert json.loads(found["matrix"])["include"] == [{"app": app, "version": version} for app in apps.split(",")]
    assert outcome.stderr == ""


def test_all_invalid_names_are_in_one_error(repo: Monorepo) -> None:
    outcome = call(repo, plan_cli, "--event", "manual", "x", "a", "demo-y", "demo/a")
    assert (outcome.returncode, outcome.stdout) == (2, "")
    for words in ("Unknown app 'x'", "Unknown app 'demo-y'", "demo-a is named more than once: a, demo/a", "demo-c"):
        assert words in outcome.stderr


def test_a_pull_request_of_unrelated_or_shallow_history_is_a_failure_that_says_to_fetch(
    repo: Monorepo, tmp_path: Path
) -> None:
    before = repo.git("rev-parse", "HEAD")
    repo.append("README.md")
    repo.commit()
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repo.path.parent}", str(shallow))
    outcome = call(Monorepo(shallow / "workspace"), plan_cli, "--event", "pull_request", "--base", before)
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert "this clone is shallow, and does not have it" in outcome.stderr
    assert "fetch-depth: 0" in outcome.stderr

    repo.git("checkout", "--quiet", "--orphan", "unrelated")
    repo.commit()
    outcome = call(repo, plan_cli, "--event", "pull_request", "--base", "main")
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert "a shallow clone may hide it" in outcome.stderr


@pytest.mark.parametrize("program", [changes_cli, plan_cli])
def test_the_help_has_examples_and_exit_statuses(repo: Monorepo, program: Any) -> None:
    outcome = call(repo, program, "--help")
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert "Examples:\n" in outcome.stdout
    assert "  3  refused: the working tree is not the commit of --head\n" in outcome.stdout
