"""Programs that tests run: the machine's own, else the devroot's. And files that only the devroot has."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

# Resolved, since a test's runfiles link to the workspace.
_ENTER = Path(__file__).resolve().parents[2] / "tools" / "devroot" / "enter"


def tool(name: str) -> list[str]:
    """What to put before a program's arguments: its path if the machine has it, else the way into the devroot."""
    # Servers lie where only root's PATH leads.
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return [found] if found else [str(_ENTER), name]


def docker_with_buildx() -> list[str]:
    """The same for a docker that has the plugin buildx, which Debian's does not bring by itself."""
    for command in (tool("docker"), [str(_ENTER), "docker"]):
        if subprocess.run([*command, "buildx", "version"], capture_output=True, check=False).returncode == 0:
            return command
    raise AssertionError("no docker with buildx")


def devroot_files(folder: str, suffix: str) -> dict[str, bytes]:
    """The files of a folder of the devroot whose names end so, by name."""
    create = [str(_ENTER), "tar", "--create", f"--directory={folder}", "."]
    archive = subprocess.run(create, capture_output=True, check=False)
    assert archive.returncode == 0, archive.stderr.decode()
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as opened:
        members = [member for member in opened if member.isfile() and member.name.endswith(suffix)]
        return {Path(member.name).name: opened.extractfile(member).read() for member in members}  # type: ignore[union-attr]
