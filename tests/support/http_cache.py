"""A real nginx as Bazel's HTTP cache, which tells what it was asked."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.tools import tool

_START_SECONDS = 20
_REQUEST = re.compile(r"^(\S+) /(ac|cas)/([0-9a-f]{64}) (\d+)$", re.MULTILINE)

_CONFIG = """
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    log_format bare '$request_method $uri $status';
    access_log {folder}/access.log bare;
    client_max_body_size 0;
    {temporary}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            root {folder}/content;
            dav_methods PUT;
            create_full_put_path on;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for an action result (`ac`) or a blob (`cas`) of the cache."""

    method: str
    kind: str
    digest: str
    status: int


class HttpCache:
    """nginx on a free port of 127.0.0.1, as a context manager; `url` is what `--remote_cache` takes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        (self._folder / "content").mkdir(parents=True)
        names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{name}_temp_path {self._folder}/{name};" for name in names)
        config = self._folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=self._folder, port=self._port, temporary=temporary))
        # As root its workers would be nobody, who may not enter the folder of a test.
        self._process = subprocess.Popen(
            [*tool("nginx"), "-c", str(config), "-e", f"{self._folder}/error.log", "-g", "master_process off;"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                error = self._folder / "error.log"
                raise AssertionError(f"nginx does not start: {error.read_text() if error.exists() else 'no log'}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        # The group: it may have been started through the devroot's door, which is a process of its own.
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()

    def requests(self) -> list[Request]:
        """What it was asked so far, in order."""
        log = self._folder / "access.log"
        found = _REQUEST.findall(log.read_text())
        return [Request(method, kind, digest, int(status)) for method, kind, digest, status in found]

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True
