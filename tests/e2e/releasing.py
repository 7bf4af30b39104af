"""Calls of the release as a user types them, and what each of them did."""

import itertools
import json
import os
import re
import shlex
import stat
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.registry import LocalRegistry, Logged
from tests.support.tools import tool
from tests.support.workspace import Workspace, bazel_program, home

APP = "hello_python"
PLATFORMS = ("linux/amd64", "linux/arm64")
REVISION = "org.opencontainers.image.revision"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a release did."""

    status: int
    stdout: str
    stderr: str
    bazel: tuple[str, ...]
    """The commands that it gave to Bazel: "query", "build"."""
    requests: tuple[Logged, ...]
    """What the registry was asked, by the release and all that it started."""

    @property
    def writes(self) -> tuple[Logged, ...]:
        """The requests that may have changed the registry."""
        return tuple(request for request in self.requests if request.is_write)

    @property
    def blob_uploads(self) -> tuple[Logged, ...]:
        return tuple(request for request in self.writes if "/blobs/" in request.path)

    def says(self, *lines: str) -> None:
        """Asserts that standard error has these lines, in this order; `…` stands for any text within a line."""
        said = iter(self.stderr.splitlines())
        for line in lines:
            pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
            assert any(map(pattern.fullmatch, said)), f"{line!r} is missing, or out of order, in:\n{self.stderr}"


class Releaser:
    """Releases hello_python from a workspace to one repository of a registry."""

    def __init__(self, workspace: Workspace, registry: LocalRegistry, owner: str, folder: Path) -> None:
        self.workspace = workspace
        self.registry = registry
        self.owner = owner
        self.repository = f"{registry.address}/{owner}/demo-{APP}"
        self._calls = folder / "bazel-calls"
        self._bazel = program(
            folder / "bazel",
            f"""
            for argument; do case $argument in -*) ;; *) echo "$argument" >> {self._calls}; break ;; esac; done
            exec {shlex.quote(bazel_program())} "$@"
            """,
        )

    @property
    def to(self) -> tuple[str, ...]:
        """The options that name the repository."""
        return ("--registry", self.registry.address, "--owner", self.owner)

    def __call__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Outcome:
        """`bazel-bin/release/release ARGUMENTS --registry ... --owner ...`, started directly, in the workspace."""
        return self.run([*self.command, *arguments, *self.to], environment)

    @property
    def command(self) -> list[str]:
        return [str(self.workspace.path / "bazel-bin/release/release")]

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Outcome:
        """What `command`, a call of the release, does."""
        self._calls.write_text("")
        before = len(self.registry.requests())
        result = subprocess.run(
            command,
            cwd=self.workspace.path,
            env=self.environment(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(
            result.returncode,
            result.stdout,
            result.stderr,
            tuple(self._calls.read_text().split()),
            tuple(self.registry.requests()[before:]),
        )

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**self.workspace.environment, "BAZEL": str(self._bazel), **(more or {})}

    def change_app(self) -> None:
        """Commits a change of what the app prints: the images of this commit and of the one before differ."""
        greetings = self.workspace.path / "apps" / APP / "greetings.yaml"
        greetings.write_text(greetings.read_text().replace("Hello", "Good day"))
        self.workspace.commit_all("Greet more formally")

    def tags(self) -> dict[str, str]:
        """The digest of every tag of the repository, as crane sees it, but for lists of referrers."""
        names = crane("ls", self.repository, may_fail=True).split()
        return {
            name: crane("digest", f"{self.repository}:{name}").strip()
            for name in names
            if not name.startswith("sha256-")
        }


def program(path: Path, script: str) -> Path:
    """Makes a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + "\n".join(line.strip() for line in script.strip().splitlines()) + "\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def first_on_path(folder: Path) -> dict[str, str]:
    """The environment in which `folder`'s programs are found before all others."""
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def crane(*arguments: str, may_fail: bool = False) -> str:
    return output([*tool("crane"), *arguments, "--insecure"], may_fail=may_fail)


def skopeo(verb: str, *arguments: str) -> str:
    return output([*tool("skopeo"), verb, *arguments])


def output(command: Iterable[str], may_fail: bool = False) -> str:
    """What `command` prints; an AssertionError has its error output."""
    # Some clients do not start without a home, which a test has none of.
    environment = {"HOME": str(home()), **os.environ}
    result = subprocess.run(list(command), capture_output=True, text=True, check=False, env=environment)
    assert may_fail or result.returncode == 0, f"{result.args}: {result.stderr}"
    return result.stdout


def referrers(image: str) -> list[dict[str, Any]]:
    """What refers to an image, as oras sees it."""
    found = json.loads(output([*tool("oras"), "discover", "--plain-http", "--format=json", image]))
    listed: list[dict[str, Any]] = found.get("referrers") or found.get("manifests") or []
    return listed


def json_of(text: str) -> Any:
    return json.loads(text)


def record_of(text: str) -> dict[str, Any]:
    """The entry of the one app of a record."""
    (entry,) = json.loads(text)["releases"]
    return dict(entry)


owners = (f"owner{number}" for number in itertools.count(1))
