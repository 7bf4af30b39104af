"""Releases without Bazel: the workshop's images are made by the test, all else is real."""

import io
import json
import os
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from release.app import App
from release.app_release import Outside
from release.built_image import BuiltImage
from release.config import Config, ProvenanceSettings
from release.console import Console
from release.errors import ReleaseError
from release.flow import tag_and_push_image
from release.provenance import Source
from release.record import Outcome, Record
from release.request import EngineName, Request
from release.version import Version
from release.workshop import Workshop
from tests.release.record_schema import check_outcomes
from tests.support.images import ImageMaker
from tests.support.tools import tool
from tools.oci.client import RegistryClient
from tools.oci.manifest import ImageIndex, ImageManifest, Platform
from tools.oci.publication import push_index
from tools.oci.reference import Repository
from tools.oci.referrers import list_referrers

COMMIT = "abc123def"
BOTH = (Platform("linux", "amd64"), Platform("linux", "arm64"))
NAMES = ("cart", "checkout", "stock")


@dataclass(slots=True)
class Shelf:
    """A workshop whose images lie ready. It counts what was asked of it."""

    maker: ImageMaker
    image: ImageIndex
    platforms: tuple[Platform, ...] = BOTH
    refusal: ReleaseError | None = None
    """Why nothing may be built."""
    failure: ReleaseError | None = None
    """Why a build fails."""
    queries: int = 0
    builds: int = 0

    def apps(self, config: Config) -> tuple[App, ...]:
        self.queries += 1
        return (App("hello_python", "demo", "//apps/hello_python:hello_python_image", self.platforms, "//a:m"),)

    def check_may_build(self, commit: str | None, checkout: bool) -> None:
        if self.refusal is not None and commit is not None:
            raise self.refusal

    @contextmanager
    def builder(self, commit: str | None, checkout: bool) -> Iterator["Shelf"]:
        self.check_may_build(commit, checkout)
        yield self

    def prepare(self, targets: Sequence[str]) -> "Shelf":
        self.builds += 1
        return self

    def build(self, target: str) -> BuiltImage:
        if self.failure is not None:
            raise self.failure
        return BuiltImage(target, self.image, self.maker.blobs)


@dataclass(slots=True)
class Shelves:
    """A workshop with the images of several apps, and what was asked of it."""

    maker: ImageMaker
    images: dict[str, ImageIndex]
    failing: frozenset[str] = frozenset()
    """Targets whose build fails."""
    refusal: ReleaseError | None = None
    """Why nothing may be built."""
    calls: list[list[str]] = field(default_factory=list)

    def apps(self, config: Config) -> tuple[App, ...]:
        return tuple(App(name, "shop", f"//{name}:image", BOTH, f"//{name}:metadata") for name in NAMES)

    def check_may_build(self, commit: str | None, checkout: bool) -> None:
        if self.refusal is not None:
            raise self.refusal

    @contextmanager
    def builder(self, commit: str | None, checkout: bool) -> Iterator["Shelves"]:
        self.check_may_build(commit, checkout)
        yield self

    def prepare(self, targets: Sequence[str]) -> "Shelves":
        self.calls.append(list(targets))
        return self

    def build(self, target: str) -> BuiltImage:
        if target in self.failing:
            raise ReleaseError("bazel build failed", "it said why above", "Correct that.")
        return BuiltImage(target, self.images[target], self.maker.blobs)


@dataclass(slots=True)
class House:
    """Releases hello_python to a repository. `shelf.image` is what a build makes."""

    repository: Repository
    """As a release reaches it."""
    client: RegistryClient
    """Of the registry itself, which somebody else uses at the same time."""
    maker: ImageMaker
    shelf: Shelf = field(init=False)
    log: io.StringIO = field(default_factory=io.StringIO)
    retry_seconds: float = 0.5
    settings: ProvenanceSettings = ProvenanceSettings()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        self.shelf = Shelf(self.maker, self.maker.index("first"))

    def release(self, version: str | None = "v1.0.0", commit: str | None = COMMIT, **wishes: Any) -> Record:
        """A release by the registry's own API, unless another engine is named; its log is `lines` afterwards."""
        self.log.seek(0)
        self.log.truncate()
        request = Request(
            "hello_python",
            Version.parse(version) if version else None,
            commit,
            **{"repository": self.repository, "engine": EngineName.REGISTRY, **wishes},
        )
        config = Config(registry=self.repository.registry, retry_seconds=self.retry_seconds, provenance=self.settings)
        record = tag_and_push_image(request, config, self.outside())
        check_outcomes([Outcome(request, record.app, record.repository, record)])
        return record

    def outside(self, workshop: Workshop | None = None) -> Outside:
        def connect(registry: str, connections: int) -> RegistryClient:
            return RegistryClient(
                registry, retry_for=self.retry_seconds, on_wait=console.say, max_connections=connections
            )

        console = Console(self.log)
        return Outside(console, connect, lambda: workshop or self.shelf, self.source)

    def source(self, commit: str) -> Source:
        """A commit as git would know it: the name is written out."""
        return Source(commit.ljust(40, "0"), "git+https://git.example/acme/apps")

    @property
    def lines(self) -> list[str]:
        """What the last release said."""
        return self.log.getvalue().splitlines()

    def publish(self, image: ImageIndex, *tags: str) -> None:
        """Put an image there under these tags, as somebody else."""
        push_index(self.client, self.direct, image.descriptor, self.maker.blobs)
        for tag in tags:
            self.client.put_manifest(self.direct.tag(tag), image.content, image.media_type)

    def tags(self) -> dict[str, str]:
        """The digest that each tag names, but for the tags under which this registry's clients list referrers."""
        return {
            tag: self.client.get_manifest(self.direct.tag(tag)).digest
            for tag in self.client.list_tags(self.direct)
            if not tag.startswith("sha256-")
        }

    def provenance(self, image: ImageIndex | None = None) -> list[tuple[dict[str, str], Any]]:
        """The annotations and the content of each statement about an image, in the order of its list."""
        found = list_referrers(self.client, self.direct, (image or self.shelf.image).digest)
        statements = []
        for each in found.descriptors:
            manifest = self.client.get_manifest(self.direct.digest(each.digest))
            assert isinstance(manifest, ImageManifest)
            (layer,) = manifest.layers
            statements.append((dict(each.annotations), json.loads(self.client.read_blob(self.direct, layer))))
        return statements

    @property
    def direct(self) -> Repository:
        """The repository as somebody else reaches it."""
        return Repository(self.client.registry, self.repository.path)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> Path:
    """Put a shell script on PATH, before all else."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return path


def real_docker() -> str:
    """A docker with buildx, as a word of a shell: the machine's own, else the devroot's."""
    enter = Path(__file__).resolve().parents[2] / "tools" / "devroot" / "enter"
    # By its path there: a test's own `docker` is before it on PATH.
    for command in (tool("docker"), [str(enter), "/usr/bin/docker"]):
        asked = subprocess.run([*command, "buildx", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return shlex.join(command)
    raise AssertionError("no docker with buildx")


def hide_docker(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave PATH without a docker, and with all other programs that are needed."""
    folder.mkdir()
    for name in ("sh", "git"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))
