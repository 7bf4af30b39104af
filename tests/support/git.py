"""Git repositories for tests: real ones, whose owner is the test, whatever the machine's git is configured to."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_IDENTITY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "Test"), ("EMAIL", "test@example.com"))
}
NO_CONFIGURATION = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
"""Environment that keeps the machine's own settings out."""


@dataclass(frozen=True, slots=True)
class GitRepository:
    """A repository in a folder."""

    folder: Path

    @classmethod
    def create(cls, folder: Path, *, bare: bool = False) -> "GitRepository":
        folder.mkdir(parents=True)
        repository = cls(folder)
        repository.run("init", "--quiet", "--initial-branch=main", *(["--bare"] if bare else []))
        return repository

    def run(self, *arguments: str, given: str = "") -> str:
        """What git writes. An error of git fails the test."""
        finished = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env={**os.environ, **NO_CONFIGURATION, **_IDENTITY},
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout.strip()

    def commit(self, message: str = "change") -> str:
        """A new commit, by its whole name."""
        self.run("commit", "--quiet", "--allow-empty", "--message", message)
        return self.run("rev-parse", "HEAD")

    def tag(self, *names: str, commit: str = "HEAD", annotated: bool = True) -> None:
        for name in names:
            self.run("tag", *(["--annotate", "--message", name] if annotated else []), name, commit)

    def tags(self) -> dict[str, str]:
        """The commit that each tag names."""
        lines = self.run("for-each-ref", "--format=%(refname:strip=2) %(objectname) %(*objectname)", "refs/tags/")
        return {line.split()[0]: line.split()[-1] for line in lines.splitlines()}

    def hook(self, name: str, script: str) -> None:
        """A hook of this repository, a shell script."""
        folder = self.folder if (self.folder / "hooks").exists() else self.folder / ".git"
        path = folder / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
