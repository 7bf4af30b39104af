"""A real docker-registry for a test, which tells what it was asked."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.tools import tool
from tools.oci.reference import Repository

USER = "alice"
PASSWORD = "wonderland"
_PASSWORD_HASH = "$2b$04$XdHDb6RNRJt9aBMXDwZeBuMzQgQOMgVmmIjI3T8NVfFm.jqMt0tHe"  # of PASSWORD

_ACCESS = re.compile(r'^\S+ - \S+ \[[^]]*\] "([A-Z]+) (\S+) HTTP/[0-9.]+" ([0-9]{3}) ', re.MULTILINE)
_START_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Logged:
    """One line of the registry's access log. `path` has its query."""

    method: str
    path: str
    status: int

    @property
    def is_write(self) -> bool:
        """Whether it may have changed the registry."""
        return self.method not in ("GET", "HEAD")

    @property
    def is_upload(self) -> bool:
        """Whether it brought the content of a blob."""
        return self.method in ("PUT", "PATCH") and "/blobs/uploads/" in self.path


class LocalRegistry:
    """`docker-registry serve` on a free port of 127.0.0.1, as a context manager.

    Args:
        folder: an own folder for its data, configuration and logs.
        login: demand HTTP Basic authentication of USER with PASSWORD.
        read_only: refuse writes (405).
    """

    def __init__(self, folder: Path, *, login: bool = False, read_only: bool = False) -> None:
        self._folder = folder
        self._login = login
        self._read_only = read_only
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._forgotten = 0
        self._markers = 0

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self._port}"

    def repository(self, path: str) -> Repository:
        """A repository here."""
        return Repository(self.address, path)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers; on the same port again after a stop."""
        self._folder.mkdir(parents=True, exist_ok=True)
        failures = []
        # Between finding a free port and taking it somebody else may have taken it.
        for port in (self._port or _free_port(), *(_free_port() for _ in range(4))):
            self._port = port
            failure = self._try_to_start()
            if failure is None:
                return
            failures.append(failure)
        raise RuntimeError("docker-registry does not start:\n" + "\n".join(failures))

    def stop(self) -> None:
        """End it; its data stays."""
        if self._process is not None:
            # The group: it may have been started through the devroot's door, which is a process of its own.
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()
            self._process = None

    def requests(self) -> list[Logged]:
        """What it was asked since it was started or told to forget, in the order in which it answered."""
        self._markers += 1
        marker = f"/v2/?marker={self._markers}"
        self._get(marker)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            lines = [Logged(line[1], line[2], int(line[3])) for line in _ACCESS.finditer(self._read("access.log"))]
            if any(line.path == marker for line in lines) or time.monotonic() > deadline:
                return [line for line in lines if "/v2/?marker=" not in line.path][self._forgotten :]
            time.sleep(0.01)

    def forget_requests(self) -> None:
        """Let `requests` begin here."""
        self._forgotten += len(self.requests())

    def _try_to_start(self) -> str | None:
        config = self._folder / "config.yml"
        config.write_text("\n".join(self._config()) + "\n", encoding="utf-8")
        with (self._folder / "access.log").open("ab") as access, (self._folder / "error.log").open("ab") as error:
            self._process = subprocess.Popen(
                [*tool("docker-registry"), "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=access,
                stderr=error,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                self._get("/v2/?marker=0")
            except (OSError, http.client.HTTPException):
                time.sleep(0.02)
            else:
                return None
        if self._process.poll() is None:
            self.stop()
        return self._read("error.log")[-2000:]

    def _config(self) -> Iterable[str]:
        yield from ("version: 0.1", "storage:", "  filesystem:", f"    rootdirectory: {self._folder / 'data'}")
        yield from ("  delete:", "    enabled: true")
        if self._read_only:
            yield from ("  maintenance:", "    readonly:", "      enabled: true")
        yield from ("http:", f"  addr: {self.address}", "  secret: test")
        if self._login:
            users = self._folder / "htpasswd"
            users.write_text(f"{USER}:{_PASSWORD_HASH}\n", encoding="utf-8")
            yield from ("auth:", "  htpasswd:", "    realm: test", f"    path: {users}")

    def _get(self, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_START_SECONDS)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        finally:
            connection.close()

    def _read(self, name: str) -> str:
        return (self._folder / name).read_text(encoding="utf-8", errors="replace")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
