"""Root file systems out of layers that lie upon each other, unpacked by tar and entered by chroot."""

import json
import platform
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.tools import tool

ARCHITECTURES = ("amd64", "arm64")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}

_FOLDER = Path("tests/debian")


@dataclass(frozen=True, slots=True)
class Root:
    """The unpacked layers of one platform.

    Attributes:
      architecture: by its OCI name.
      layers: the names of the layers, bottom first.
      path: the folder that they are unpacked to.
      members: the entries of the archives by name, those of an upper layer in the place of those below.
    """

    architecture: str
    layers: tuple[str, ...]
    path: Path
    members: dict[str, tarfile.TarInfo]

    def read(self, path: str) -> str:
        return (self.path / path).read_text("utf-8")

    def run(self, *argv: str) -> str:
        """What a program prints in this root: it sees nothing else, and is emulated where it is for another machine."""
        command = ["unshare", "--map-root-user", "chroot", str(self.path)]
        if platform.machine() != MACHINES[self.architecture]:
            if not (self.path / "emulator").exists():
                # Linked statically, so that it runs in a root that has no library for this machine.
                *entering, emulator = tool(f"qemu-{MACHINES[self.architecture]}")
                copy = 'cp "$(command -v "$0")" "$1"'
                subprocess.run([*entering, "sh", "-c", copy, emulator, str(self.path / "emulator")], check=True)
            command.append("/emulator")
        result = subprocess.run(
            [*command, *argv],
            capture_output=True,
            text=True,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            check=False,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def packages(self) -> list[str]:
        """What dpkg lists: `STATUS|NAME VERSION ARCHITECTURE`."""
        shown = "--showformat=${db:Status-Abbrev}|${Package} ${Version} ${Architecture}\\n"
        query = [*tool("dpkg-query"), f"--admindir={self.path}/var/lib/dpkg", "--show", shown]
        return subprocess.check_output(query, text=True).splitlines()

    def verified(self) -> dict[str, str]:
        """What `dpkg --verify` finds fault with: "missing", or which check failed, by path."""
        result = subprocess.run(
            [*tool("dpkg"), f"--root={self.path}", "--verify"], capture_output=True, text=True, check=False
        )
        return {line.split()[-1]: line.split()[0] for line in result.stdout.splitlines()}


def unpacked(architecture: str, layers: Sequence[str], path: Path) -> Root:
    """The root file system of these layers, bottom first, unpacked to `path`."""
    members: dict[str, tarfile.TarInfo] = {}
    for layer in layers:
        with tarfile.open(blob(layer, architecture)) as archive:
            members |= {member.name: member for member in archive.getmembers()}
        extract = [*tool("tar"), "--extract", "--gzip", f"--file={blob(layer, architecture)}", f"--directory={path}"]
        subprocess.run(extract, check=True)
    return Root(architecture, tuple(layers), path, members)


def blob(layer: str, architecture: str) -> Path:
    return _FOLDER / layer / f"linux-{architecture}.tar.gz"


def metadata(layer: str, architecture: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((_FOLDER / layer / f"linux-{architecture}.json").read_text())
    return content


def listing(layer: str, architecture: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_FOLDER / layer / f"linux-{architecture}.ndjson").read_text().splitlines()]


def locked(architecture: str, sets: Sequence[str]) -> list[dict[str, Any]]:
    """The packages of these sets in the project's lock, sorted by name."""
    lock = json.loads(Path("tools/debian/packages.lock.json").read_text())
    names = {name for each in sets for name in lock["sets"][architecture][each]}
    return [package for package in lock["packages"][architecture] if package["name"] in names]
