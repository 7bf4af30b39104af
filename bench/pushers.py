"""Who pushes images: ours in one process, crane and skopeo once an image; and a relay that counts what they send."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from bench import push_all
from bench.builders import APART, entered, run
from tests.support.workspace import clean_environment

TAG = "dev"
_CHUNK = 1 << 16


class Pusher(ABC):
    """Something that pushes OCI layouts, each to a repository of its own."""

    name: str

    @abstractmethod
    def push(self, registry: str, layouts: Mapping[str, Path]) -> None:
        """Push each layout to the repository that it is called by. Raises SystemExit when that fails."""

    def forget(self) -> None:  # noqa: B027 - most remember nothing
        """Forget what is remembered from one push to the next: the registry is a new one."""


class SlipwayPush(Pusher):
    """tools/oci, all images in one process, started as //release is: Python itself and a search path."""

    name = "slipway"

    def push(self, registry: str, layouts: Mapping[str, Path]) -> None:
        images = [f"{repository}={layout}" for repository, layout in layouts.items()]
        # Python itself, where `python3` is the shim of a version manager, which would be measured instead of us.
        command = [os.path.realpath(sys.executable), push_all.__file__, registry, TAG, *images]
        run(command, env={**clean_environment(), "PYTHONPATH": os.pathsep.join(sys.path)})


class Crane(Pusher):
    """`crane push`, once an image."""

    name = "crane push"

    def push(self, registry: str, layouts: Mapping[str, Path]) -> None:
        pairs = [part for name, layout in layouts.items() for part in (str(layout), f"{registry}/{name}:{TAG}")]
        script = 'while [ $# -gt 0 ]; do crane push --insecure "$1" "$2"; shift 2; done'
        run([*entered("crane"), "sh", "-ec", script, "sh", *pairs], env=clean_environment())


class Skopeo(Pusher):
    """`skopeo copy --all`, once an image; it remembers in a file of its own where it has seen a blob."""

    name = "skopeo copy --all"

    def __init__(self, folder: Path) -> None:
        self._cache = folder / "skopeo"

    def push(self, registry: str, layouts: Mapping[str, Path]) -> None:
        self._cache.mkdir(parents=True, exist_ok=True)
        pairs = [part for name, layout in layouts.items() for part in (f"oci:{layout}", f"{registry}/{name}:{TAG}")]
        # root's cache has one place; this one is mounted there, for this process alone.
        script = f"""
        mkdir -p /var/lib/containers/cache
        mount --bind {self._cache} /var/lib/containers/cache
        while [ $# -gt 0 ]; do
            skopeo --insecure-policy copy --quiet --all --preserve-digests --dest-tls-verify=false "$1" "docker://$2"
            shift 2
        done"""
        run([*entered("skopeo"), *APART, script, "sh", *pairs], env=clean_environment())

    def forget(self) -> None:
        for file in self._cache.glob("*"):
            file.unlink()


class CountingRelay:
    """Stands before a registry and counts the bytes that clients send, headers included, as a context manager."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream.rpartition(":")
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port = 0
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connect, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self._upstream
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(self._pump(reader, up_writer, counted=True), self._pump(up_reader, writer, counted=False))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        try:
            while chunk := await reader.read(_CHUNK):
                self.sent += len(chunk) if counted else 0
                writer.write(chunk)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
