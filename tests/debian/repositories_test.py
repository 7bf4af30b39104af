"""The repositories of a lock, made by a real Bazel, for a module that has packages of its own."""

import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.debian.archive import SUITE, Archive, served_archive
from tests.support.workspace import Workspace, shared_workspace

NEIGHBOUR = """
module(name = "neighbour")

bazel_dep(name = "slipway", version = "0.1.0")

debian = use_extension("@slipway//tools/debian:extensions.bzl", "debian")
debian.packages(
    name = "{hub}",
    lock = "//:packages.lock.json",
    manifest = "//:packages.yaml",
)
use_repo(debian, "{hub}")
"""
PACKAGES = f"""
suite: {SUITE}
architectures: [amd64, arm64]
sets:
  base:
    - app # a comment
  "tools": [tool, app]
"""
BUILD = """
load("@slipway//tools/debian:defs.bzl", "debian_layer")

debian_layer(
    name = "base",
    packages = ["@{hub}//:base"],
)

debian_layer(
    name = "tools",
    below = ":base",
    packages = ["@{hub}//:tools"],
)
"""


@dataclass(frozen=True, slots=True)
class Clone:
    """The workspace with the module `neighbour`, whose packages come from an archive of the test's own.

    Attributes:
      workspace: the clone.
      archive: where apt finds packages.
      version: of the package `app`; one that no earlier run has left behind.
    """

    workspace: Workspace
    archive: Archive
    version: str

    def add_neighbour(self, hub: str = "neighbours_debian") -> None:
        self.workspace.add_module(
            "neighbour",
            {
                "MODULE.bazel": NEIGHBOUR.format(hub=hub),
                "BUILD.bazel": BUILD.format(hub=hub),
                "packages.yaml": PACKAGES,
            },
        )

    def lock(self) -> None:
        files = ["--manifest", "neighbour/packages.yaml", "--lock", "neighbour/packages.lock.json"]
        result = self.bazel("run", "//tools/debian:lock", "--", *files)
        assert result.returncode == 0, result.stderr

    def build(self, platform: str) -> subprocess.CompletedProcess[str]:
        options = [f"--platforms=//tools/platforms:{platform}", "--output_groups=+blobs"]
        return self.bazel("build", *options, "@neighbour//:base", "@neighbour//:tools")

    def layer(self, name: str) -> dict[str, bytes]:
        """The files of a layer that was built."""
        (blob,) = (self.workspace.path / "bazel-bin/external").glob(f"*neighbour*/{name}.layer.tar.gz")
        with tarfile.open(blob) as layer:
            return {each.name: file.read() for each in layer for file in [layer.extractfile(each)] if file is not None}

    def bazel(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Bazel on a machine whose apt knows the test's archive only."""
        return self.workspace.bazel(*arguments, environment={"APT_CONFIG": str(self.archive.apt_config)})


@pytest.fixture(scope="module")
def workspace() -> Iterator[Workspace]:
    with shared_workspace() as workspace:
        yield workspace


@pytest.fixture
def clone(workspace: Workspace, tmp_path: Path) -> Iterator[Clone]:
    with served_archive(tmp_path) as archive:
        version = f"1.{time.time_ns()}"
        archive.add("debian", SUITE, "app", version=version, files={"usr/bin/app": "#!/bin/app\n"})
        archive.add(
            "debian", SUITE, "tool", version=version, architecture="all", files={"usr/bin/tool": "#!/bin/app\n"}
        )
        yield Clone(workspace, archive, version)
    workspace.reset()


def test_a_module_that_uses_this_one_has_packages_of_its_own_and_fetches_those_of_the_platform_only(
    clone: Clone,
) -> None:
    clone.add_neighbour()
    clone.lock()

    result = clone.build("linux_arm64")

    assert result.returncode == 0, result.stderr
    assert clone.archive.pool_requests() == [f"app_{clone.version}_arm64.deb", f"tool_{clone.version}_all.deb"]
    base, tools = clone.layer("base"), clone.layer("tools")
    assert f"Version: {clone.version}\n".encode() in base["var/lib/dpkg/status"]
    assert "usr/bin/app" in base
    assert "usr/bin/tool" in tools
    assert "usr/bin/app" not in tools
    assert b"Package: app\n" in tools["var/lib/dpkg/status"]


def test_a_lock_out_of_step_with_its_package_list_stops_the_build_with_the_command_that_helps(clone: Clone) -> None:
    clone.add_neighbour()
    clone.lock()
    cases = {
        PACKAGES.replace("[tool, app]", "[tool]"): "set tools: package app is in the lock, and no longer asked for\n",
        PACKAGES.replace(
            "[tool, app]", "[tool, app, x]"
        ): "set tools: package x is asked for, and is not in the lock\n",
        PACKAGES.replace(
            '"tools":', "x:"
        ): "set tools is in the lock, and no longer asked for; set x is asked for, and ",
        PACKAGES.replace("[amd64, arm64]", "[arm64]"): "architecture amd64 is in the lock, and no longer asked for\n",
        PACKAGES.replace(SUITE, "x"): f"suite x is asked for, and is not in the lock; suite {SUITE} is in the lock, ",
    }

    for asked_for, why in cases.items():
        (clone.workspace.path / "neighbour/packages.yaml").write_text(asked_for)
        result = clone.build("linux_amd64")

        assert result.returncode != 0
        assert "lock packages.lock.json of the Debian packages is out of step with packages.yaml\n" in result.stderr
        assert f"  Why: {why}" in result.stderr
        assert "  What to do: Run `bazel run //tools/debian:lock -- --manifest packages.yaml --lock " in result.stderr


def test_a_package_list_that_says_the_same_in_another_way_is_in_step(clone: Clone) -> None:
    clone.add_neighbour()
    clone.lock()
    same = f"{{sets: {{tools: [app,\n  tool], 'base' : [app]}}, architectures: [arm64, amd64], suite: {SUITE}}} # \n"
    (clone.workspace.path / "neighbour/packages.yaml").write_text(same)

    result = clone.build("linux_amd64")

    assert result.returncode == 0, result.stderr


def test_a_lock_of_an_older_format_is_to_be_renewed_and_can_be(clone: Clone) -> None:
    clone.add_neighbour()
    lock = clone.workspace.path / "neighbour/packages.lock.json"
    lock.write_text('{"format": 1, "request": {}, "packages": {}}')

    result = clone.build("linux_amd64")

    assert result.returncode != 0
    assert "  Why: its format is 1, and this version of the rules reads 2\n" in result.stderr
    clone.lock()
    assert clone.build("linux_amd64").returncode == 0


def test_a_version_that_has_gone_stops_the_build_with_the_command_that_helps(clone: Clone) -> None:
    clone.add_neighbour()
    clone.lock()
    for deb in clone.archive.root.rglob("*_arm64.deb"):
        deb.unlink()

    result = clone.build("linux_arm64")

    assert result.returncode != 0
    said = f"app {clone.version} (arm64) has gone from Debian's archive\n  Why: the lock names a version"
    assert said in result.stderr
    assert "  What to do: Run `bazel run //tools/debian:lock -- --manifest packages.yaml --lock " in result.stderr
    assert clone.build("linux_amd64").returncode == 0


def test_a_lock_that_has_not_been_made_is_an_error_that_says_how_to_make_it(clone: Clone) -> None:
    clone.add_neighbour()

    result = clone.build("linux_amd64")

    assert result.returncode != 0
    assert "there is no lock packages.lock.json of the Debian packages in packages.yaml\n  Why: " in result.stderr
    assert "  What to do: Run `bazel run //tools/debian:lock -- --manifest " in result.stderr


def test_two_locks_of_one_name_are_an_error_that_names_both_modules(clone: Clone) -> None:
    clone.add_neighbour(hub="slipway_debian")
    clone.lock()

    result = clone.build("linux_amd64")

    assert result.returncode != 0
    assert 'two locks of Debian packages are named "slipway_debian"\n  Why: slipway and neighbour both' in result.stderr
