"""A docker-registry on this machine's loopback address: found where it runs, else started, and stopped when told.

Standard library only, and quick to import: a release that finds its registry answering never needs more of this than
one request.
"""

import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
DEFAULT_PORT = 5000
START_SECONDS = 30.0
STOP_SECONDS = 10.0

# Deleting is allowed since the registry is its user's own; requests are not logged, or the log would grow for ever.
CONFIGURATION = """\
version: 0.1
log:
  level: warn
  accesslog:
    disabled: true
storage:
  filesystem:
    rootdirectory: {data}
  delete:
    enabled: true
http:
  addr: {address}
"""


class LocalRegistryError(Exception):
    """What failed, why, and what to do about it: one sentence each."""

    def __init__(self, what: str, why: str, remedy: str) -> None:
        super().__init__(f"{what}: {why}\n{remedy}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a registry listens; as text it is the registry's name in a reference."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def default_root() -> Path:
    """The folder in the user's cache that the registries' data, logs and process ids lie in, each under its port."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "slipway" / "registry"


def ensure_running(
    port: int = DEFAULT_PORT, root: Path | None = None, report: Callable[[str], None] = lambda line: None
) -> Address:
    """The address of the registry on `port` of this machine, which is started when nothing answers there.

    The registry outlives the caller. `report` hears what is being waited for.
    Raises LocalRegistryError when the port belongs to something else, or the registry does not come up.
    """
    address = Address(HOST, port)
    if answers(address):
        return address
    folder = (root or default_root()) / str(port)
    with _locked(folder):
        if not answers(address):  # Whoever held the lock before may have started it.
            _start(address, folder, report)
    return address


def answers(address: Address) -> bool:
    """Whether a registry answers at `address`; False when nothing listens there.

    Raises LocalRegistryError when something that is not a registry does.
    """
    if not listens(address):
        return False
    connection = http.client.HTTPConnection(address.host, address.port, timeout=5)
    try:
        connection.request("GET", "/v2/")
        response = connection.getresponse()
        kind = response.headers.get_content_type()
        named = "Docker-Distribution-Api-Version" in response.headers
        if named or (response.status, kind) == (200, "application/json"):
            return True
        answer = f"GET http://{address}/v2/ was answered {response.status} {response.reason} ({kind})"
    except (OSError, http.client.HTTPException) as error:
        answer = f"GET http://{address}/v2/ was not answered ({str(error) or type(error).__name__})"
    finally:
        connection.close()
    raise LocalRegistryError(
        f"Cannot use a registry on {address}",
        f"the port is taken by something that is not one: {answer}",
        "Stop what listens there, or choose another port with --port.",
    )


def listens(address: Address) -> bool:
    """Whether anything at all listens at `address`."""
    try:
        socket.create_connection((address.host, address.port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return True  # Reset by a server that is just ending, or too busy to accept.
    return True


def stop(port: int = DEFAULT_PORT, root: Path | None = None) -> bool:
    """Stops the registry that was started on `port` from this folder; False when there was none to stop.

    Raises LocalRegistryError when a registry answers there that was started by somebody else: it is left alone.
    """
    address = Address(HOST, port)
    folder = (root or default_root()) / str(port)
    with _locked(folder):
        pid = running(folder)
        if pid is None:
            if not answers(address):
                return False
            raise LocalRegistryError(
                f"Did not stop the registry on {address}",
                f"it was not started from {folder}",
                "Stop it in the way it was started, or name the folder that it was started from with --root.",
            )
        _signal_group(pid, signal.SIGTERM)
        if not _wait_until(lambda: running(folder) is None, STOP_SECONDS):
            _signal_group(pid, signal.SIGKILL)
        _wait_until(lambda: not listens(address), STOP_SECONDS)
        return True


def running(folder: Path) -> int | None:
    """The process id of the registry that was started from `folder`; None when it has ended.

    A process that merely got the same id later is told apart by its command line, which names the folder.
    """
    try:
        pid = int((folder / "registry.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if command.endswith(b"\0serve\0%s\0" % os.fsencode(_configuration(folder))) else None


def _start(address: Address, folder: Path, report: Callable[[str], None]) -> None:
    program = _program()
    report(f"Starting a registry on {address} (data in {folder}/data)")
    configuration = _configuration(folder)
    configuration.write_text(
        CONFIGURATION.format(data=json.dumps(str(folder / "data")), address=json.dumps(str(address)))
    )
    log_file = folder / "registry.log"
    with log_file.open("wb") as log:
        # A session of its own: it outlives the terminal that it was started from, and is stopped with all its children.
        server = subprocess.Popen(
            [*program, "serve", str(configuration)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (folder / "registry.pid").write_text(f"{server.pid}\n")
    _wait_until(lambda: server.poll() is not None or answers(address), START_SECONDS)
    if server.returncode is not None or not answers(address):
        why = f"it ended with status {server.returncode}" if server.returncode is not None else "it does not answer"
        _signal_group(server.pid, signal.SIGKILL)
        last_words = " ".join(log_file.read_text(errors="replace").splitlines()[-3:])
        raise LocalRegistryError(
            f"Cannot start a registry on {address}",
            f"{why}; its last words: {last_words or '(none)'}",
            f"See {log_file}; {' '.join(program)} is what was run.",
        )
    # Not waited for: it outlives this process, and Popen must not warn about that.
    server.returncode = 0


def _program() -> list[str]:
    """docker-registry from PATH, else the one in the root file system that bazelw uses, which is made if need be."""
    if found := shutil.which("docker-registry"):
        return [found]
    enter = Path(__file__).parent.parent / "devroot" / "enter"
    prepared = subprocess.run([enter, "true"], stdout=sys.stderr, check=False) if enter.exists() else None
    if prepared is None or prepared.returncode:
        raise LocalRegistryError(
            "Cannot start a registry",
            "docker-registry is not on PATH, and " + (f"{enter} failed" if prepared else f"{enter} is not there"),
            "Install the package docker-registry, or name a registry that runs with --registry HOST[:PORT].",
        )
    return [str(enter), "docker-registry"]


def _signal_group(leader: int, number: int) -> None:
    """To the whole process group: the registry may be a child of the program that entered a root file system for it."""
    with suppress(ProcessLookupError):  # It ended by itself a moment ago.
        os.killpg(leader, number)


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` came true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _configuration(folder: Path) -> Path:
    return folder / "registry.yml"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Holds off every other start and stop in `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise LocalRegistryError(
            f"Cannot keep a registry in {folder}",
            str(error),
            "Name a folder that you may write to with --root, or set XDG_CACHE_HOME to one.",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
