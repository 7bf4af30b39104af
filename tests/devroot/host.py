"""The machine that tests see: one on which nobody has entered a devroot, with a cache folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Resolved, since a test's runfiles link to the workspace.
WORKSPACE = Path(__file__).resolve().parents[2]
MARKER = Path("/etc/slipway-devroot")
OTHER_USER = 23456
SECONDS_TO_BUILD = 240


def outside() -> list[str]:
    """What to put before a command so that it runs as on a machine outside.

    That is nothing, or a view of this machine without the mark of a devroot, where `bazelw` had to enter one to run the
    tests.
    """
    if not MARKER.exists() or not MARKER.stat().st_size:
        return []
    return with_mounts(f"mount --bind /dev/null {MARKER}")


def with_mounts(script: str) -> list[str]:
    """What to put before a command so that it sees mounts that a shell script has made, and nobody else does.

    Every link of the chain becomes the next one (exec), so a signal to the started process reaches the command.
    """
    rights = ["--user", "--map-current-user", "--keep-caps"] if os.geteuid() else []
    go_on = 'exec setpriv --ambient-caps=-all --inh-caps=-all -- "$@"'
    return ["unshare", "--mount", *rights, "--", "sh", "-c", f"{script} || exit\n{go_on}", "sh"]


def as_other_user() -> list[str]:
    """What to put before a command so that a user without rights runs it: nothing, if that is who runs the tests."""
    if os.geteuid():
        return []
    user = str(OTHER_USER)
    return ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps=-all", "--"]


@dataclass(frozen=True, slots=True)
class Host:
    """A folder with the devroot's scripts, a small list of packages, a home and a cache folder, all on this machine."""

    folder: Path

    @property
    def enter(self) -> Path:
        return self.folder / "workspace/tools/devroot/enter"

    @property
    def packages(self) -> Path:
        return self.folder / "packages.txt"

    @property
    def cache(self) -> Path:
        return self.folder / "cache/slipway/devroot"

    @property
    def roots(self) -> list[Path]:
        """The finished devroots."""
        return sorted(path for path in self.cache.glob("*") if re.fullmatch("[0-9a-f]{16}", path.name))

    @property
    def half_made(self) -> list[Path]:
        return sorted(self.cache.glob("building.*"))

    def environment(self, changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """The test's own environment with this host's home, cache and package list; None takes a variable away."""
        values: dict[str, str | None] = {
            **os.environ,
            "HOME": str(self.folder / "home"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "SLIPWAY_DEVROOT_PACKAGES": str(self.packages),
            **(changes or {}),
        }
        return {name: value for name, value in values.items() if value is not None}

    def run(
        self,
        *command: str,
        before: Sequence[str] = (),
        environment: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Runs `enter COMMAND` to its end."""
        return subprocess.run(
            [*outside(), *before, str(self.enter), *command],
            env=self.environment(environment),
            cwd=cwd or self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS_TO_BUILD,
            check=False,
        )

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Starts `enter COMMAND`, with its error output in `stderr` of this host's folder."""
        with (self.folder / "stderr").open("w") as stderr:
            return subprocess.Popen(
                [*outside(), str(self.enter), *command],
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def wait_for(self, text: str) -> None:
        """Returns when the started command has written `text` to its error output."""
        for _ in range(SECONDS_TO_BUILD * 20):
            if text in (self.folder / "stderr").read_text():
                return
            time.sleep(0.05)
        raise AssertionError(f"{text!r} never came, but: {(self.folder / 'stderr').read_text()}")


@contextmanager
def host(packages: Sequence[str] = ("jq", "procps"), owner: int | None = None) -> Iterator[Host]:
    """A new host, removed at the end; it lies in /tmp, since another user may not look into a test's own folder."""
    folder = Path(tempfile.mkdtemp(prefix="devroot-test-", dir="/tmp"))
    try:
        made = Host(folder)
        shutil.copytree(WORKSPACE / "tools/devroot", made.enter.parent)
        shutil.copy(WORKSPACE / "bazelw", folder / "workspace")
        made.packages.write_text("".join(f"{package}\n" for package in ("# What tests need", *packages)))
        (folder / "home").mkdir()
        (folder / "cache").mkdir()
        folder.chmod(0o755)
        if owner is not None and os.geteuid() == 0:
            for path in (folder, folder / "home", folder / "cache"):
                os.chown(path, owner, owner)
        yield made
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=True)
