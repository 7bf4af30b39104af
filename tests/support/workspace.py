"""A clone of this workspace for tests that call Bazel themselves.

The clone, its output base, the disk cache and the repository cache have one place each in the user's cache folder, and
every call has the same environment: so one Bazel server serves all tests of all runs, and only the first one is cold.
"""

import fcntl
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

# What `bazel test` and the start-up of a Python test tell a test about itself; a Bazel called with it starts a server
# of its own, and a program called with it looks for its files among the test's.
OF_THE_TEST = ("TEST_", "TESTBRIDGE_", "XML_OUTPUT_FILE", "BAZEL_", "BUILD_", "RUNFILES_", "JAVA_RUNFILES", "PYTHON")

# What is the clone's own, and no file of the project.
KEPT = ("--exclude=/bazel-*", "--exclude=/user.bazelrc")

# What the workspace's module says of one that a test adds to it.
_OVERRIDE = """
bazel_dep(name = "{name}")
local_path_override(
    module_name = "{name}",
    path = "{name}",
)
"""

# Whoever clones a repository has an identity; a machine that only tests it may have none. The fixed date makes the
# commit of the same uncommitted changes the same one each time.
IDENTITY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "Test"), ("EMAIL", "test@example.com"), ("DATE", "2000-01-01T00:00:00Z"))
}


@dataclass(frozen=True, slots=True)
class Workspace:
    """A git work tree, and the Bazel server and caches that are used in it."""

    path: Path
    startup_options: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)

    @property
    def commit(self) -> str:
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        """What git prints; raises CalledProcessError where it fails."""
        return _git(self.path, *arguments)

    def commit_all(self, message: str) -> None:
        """Commits all that is in the work tree."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def command(self, *arguments: str) -> list[str]:
        """The call of Bazel, to be started in the workspace with its environment."""
        return [bazel_program(), *self.startup_options, *arguments]

    def bazel(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Bazel's exit status and output."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.path,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def build(self, *targets: str) -> None:
        """Builds `targets`; an AssertionError says why that failed."""
        result = self.bazel("build", *targets)
        assert result.returncode == 0, result.stderr

    def add_module(self, name: str, files: Mapping[str, str]) -> Path:
        """Adds a module that uses this one, `@NAME` to the workspace: its files by path. Returns its folder."""
        folder = self.path / name
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content)
        self.append("MODULE.bazel", _OVERRIDE.format(name=name))
        return folder

    def append(self, path: str, text: str) -> None:
        """Adds text to the end of a file."""
        with (self.path / path).open("a") as file:
            file.write(text)

    def reset(self) -> None:
        """Takes back what a test changed in the work tree and in its history."""
        self.git("reset", "--hard", "--quiet", "refs/test/start")
        self.git("clean", "-ffdxq", *KEPT)


@contextmanager
def shared_workspace() -> Iterator[Workspace]:
    """The one clone, at the state of the tree that the test comes from; what is not committed there is one commit more.

    It is the caller's alone until the end of the `with` statement.
    """
    cache = test_cache()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clone = cache / "workspace"
        _refresh(clone, source_tree())
        # Read by every call, the release's own ones too. A server that nobody uses for a while ends by itself.
        (clone / "user.bazelrc").write_text(
            "startup --max_idle_secs=900\n"
            f"common --disk_cache={cache}/disk_cache --experimental_disk_cache_gc_max_size=2G\n"
            f"common --repository_cache={cache}/repository_cache\n"
        )
        yield Workspace(clone, (f"--output_base={cache}/output_base",), clean_environment())


def source_tree() -> Path:
    """The workspace that the running test was built from: its runfiles are links into it."""
    top = Path(__file__).resolve().parents[2]
    assert (top / "MODULE.bazel").exists(), f"{top} is no workspace: a test that needs one is tagged `local`"
    return top


def test_cache() -> Path:
    """The folder of all that such tests keep from one run to the next."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else home() / ".cache") / "slipway" / "test"


def home() -> Path:
    """The user's home, which `bazel test` does not tell a test."""
    return Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)


def clean_environment() -> dict[str, str]:
    """The environment without what is about the running test: Bazel and programs are called as a user calls them."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_TEST)}
    return kept | {"HOME": str(home()), "USER": pwd.getpwuid(os.getuid()).pw_name}


def bazel_program() -> str:
    """$BAZEL, which bazelw sets; else a Bazel on PATH; else bazelw."""
    return os.environ.get("BAZEL") or shutil.which("bazel") or shutil.which("bazelisk") or str(source_tree() / "bazelw")


def _refresh(clone: Path, source: Path) -> None:
    if not (clone / ".git").is_dir():
        clone.mkdir(exist_ok=True)
        _git(clone, "init", "--quiet", "--initial-branch=main")
        (clone / ".git" / "info" / "exclude").write_text("/user.bazelrc\n")
    # Only HEAD, by copy: neither a rebase nor a garbage collection of the source can hurt the clone.
    _git(clone, "fetch", "--quiet", "--no-tags", str(source), "+HEAD:refs/test/source")
    # The clone's own git folder looks at the source's work tree, so that nothing is written into the source's.
    index = clone / ".git" / "source-index"
    index.unlink(missing_ok=True)
    looking = {"GIT_DIR": str(clone / ".git"), "GIT_WORK_TREE": str(source), "GIT_INDEX_FILE": str(index)}
    _git(source, "read-tree", "refs/test/source", environment=looking)
    _git(source, "add", "--all", environment=looking)
    tree = _git(source, "write-tree", environment=looking)
    commit = _git(clone, "rev-parse", "refs/test/source")
    if tree != _git(clone, "rev-parse", "refs/test/source^{tree}"):
        commit = _git(clone, "commit-tree", tree, "-p", commit, "-m", "What is not committed yet")
    _git(clone, "update-ref", "refs/test/start", commit)
    _git(clone, "checkout", "--quiet", "--force", "-B", "main", commit)
    _git(clone, "clean", "-ffdxq", *KEPT)


def _git(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    result = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**clean_environment(), **IDENTITY, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"git {' '.join(arguments)} in {folder}: {result.stderr}"
    return result.stdout.strip()
