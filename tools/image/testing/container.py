"""Containers of an image that the build has made, in the Docker engine that the environment names."""

import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import requests
from docker.types import LogConfig

from tools.image.built import find_image
from tools.image.engine import load
from tools.image.testing.spec import Command
from tools.oci.blobs import FileBlobs
from tools.oci.digest import digest_of
from tools.oci.manifest import Descriptor, Platform

# What the C library's and runc's exec say of a program for a machine that the kernel cannot start programs of.
_FOREIGN = "exec format error"


class NoEngine(Exception):
    """No Docker engine answers; the message says why."""


class CannotRun(Exception):
    """The engine cannot run programs of a platform."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a container did.

    Attributes:
      exit: its exit status; None if it still ran at the end of its time.
      seconds: how long it ran.
    """

    exit: int | None
    stdout: str
    stderr: str
    seconds: float


class Engine:
    """A Docker engine: that of DOCKER_HOST, or the machine's own.

    Raises:
      NoEngine: none answers.
    """

    def __init__(self) -> None:
        try:
            self._client = docker.from_env()
            self._client.ping()
        except docker.errors.DockerException as error:
            raise NoEngine(str(error)) from None

    @contextmanager
    def loaded(self, index: Path, blobs: Mapping[str, Path], platform: str) -> Iterator[str]:
        """The name under which the engine has the image of one platform of an index, as long as it is needed.

        Args:
          index: file of the index.
          blobs: files by digest: the index, its manifests, their configurations and layers.
          platform: such as linux/arm64.
        """
        store = FileBlobs(blobs)
        descriptor = Descriptor("application/vnd.oci.image.index.v1+json", digest_of(index.read_bytes()), 0)
        # A name of its own: tests of one image run at the same time, and the last one removes what it has loaded.
        name = f"image-test:{secrets.token_hex(8)}"
        load(store, find_image(store, descriptor, Platform.parse(platform)), name)
        try:
            yield name
        finally:
            with contextlib.suppress(docker.errors.ImageNotFound):
                self._client.images.remove(name)

    def run(self, image: str, platform: str, command: Command) -> Outcome:
        """Runs a container, without a network, and removes it.

        Raises:
          CannotRun: the engine cannot run programs of this platform.
          docker.errors.DockerException: it cannot start this one.
        """
        container = self._client.containers.create(
            image,
            list(command.args),
            entrypoint=list(command.entrypoint) if command.entrypoint is not None else None,
            environment=dict(command.env or {}),
            log_config=LogConfig(type=LogConfig.types.JSON),
            network_mode="none",
            platform=platform,
        )
        try:
            started = time.monotonic()
            _started(container)
            status = _waited(container, command.timeout)
            seconds = time.monotonic() - started
            stdout, stderr = (
                container.logs(stdout=not errors, stderr=errors).decode(errors="backslashreplace")
                for errors in (False, True)
            )
        finally:
            container.remove(force=True)
        if status and not stdout and _FOREIGN in stderr and not self._is_native(platform):
            raise CannotRun(stderr.strip())
        return Outcome(status, stdout, stderr, seconds)

    def _is_native(self, platform: str) -> bool:
        version = self._client.version()
        return platform == f"{version['Os']}/{version['Arch']}"


def _started(container: Any) -> None:
    try:
        container.start()
    except docker.errors.APIError as error:
        if _FOREIGN in str(error):
            raise CannotRun(str(error.explanation)) from None
        raise


def _waited(container: Any, timeout: float) -> int | None:
    """The exit status of a container; None if it still runs after `timeout` seconds."""
    try:
        return int(container.wait(timeout=timeout)["StatusCode"])
    except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError):
        container.reload()
        return None if container.status == "running" else int(container.attrs["State"]["ExitCode"])
