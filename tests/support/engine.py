"""A real Docker engine of the test's own, on which containers for amd64 and for arm64 run."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tools import tool

START_SECONDS = 60.0
STOP_SECONDS = 30.0

# The engine and, as long as it runs, an emulator that the kernel starts for programs of aarch64: entered by the ELF
# header of a little-endian 64-bit program of machine 0xb7, as in QEMU's own scripts/qemu-binfmt-conf.sh; `F` opens the
# emulator at once, so that it is found from inside any container. All of it ends with the standard input: whatever
# happens to the test, nothing of it is left behind.
ENGINE = r"""
set -eu
PATH=$PATH:/usr/sbin:/sbin
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
emulator=$(command -v qemu-aarch64-static || command -v qemu-aarch64)
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf %s ":slipway-$$:M::$magic:$mask:$emulator:F" > /proc/sys/fs/binfmt_misc/register
exec 3<&0
"$@" < /dev/null 3<&- & engine=$!
(read -r _ <&3 || kill $engine) &
wait $engine || true
echo -1 > /proc/sys/fs/binfmt_misc/slipway-$$
"""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running Docker engine; `host` is what DOCKER_HOST or `docker --host` takes."""

    host: str

    def docker(self, *arguments: str) -> str:
        """What `docker ARGUMENTS` prints, both streams; an AssertionError says why it failed."""
        result = subprocess.run(
            [*tool("docker"), "--host", self.host, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"docker {' '.join(arguments)}: {result.stdout}"
        return result.stdout

    def run(self, image: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
        """What a container of `image` prints, without a network."""
        return self.docker("run", "--rm", "--network=none", *options, image, *arguments)


@contextmanager
def docker_engine() -> Iterator[Engine]:
    """An engine with its own socket and data, gone with all its containers at the end.

    Skips the test where an engine cannot run: it takes root, dockerd and a kernel with overlayfs.
    """
    if os.geteuid() != 0:
        pytest.skip("a Docker engine takes root")
    # Not in the test's own folder, whose path may be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="slipway-engine-"))
    log_file = folder / "log"
    engine = Engine(f"unix://{folder}/socket")
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*tool("dockerd")[:-1], "unshare", "--mount", "sh", "-c", ENGINE, "sh",
             "dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", f"--host={engine.host}",
             f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(engine):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"no Docker engine runs here: {log_file.read_text(errors='replace')[-1000:]}")
            time.sleep(0.1)
        yield engine
    finally:
        process.communicate(timeout=STOP_SECONDS)
        shutil.rmtree(folder)


def _answers(engine: Engine) -> bool:
    asked = subprocess.run([*tool("docker"), "--host", engine.host, "version"], capture_output=True, check=False)
    return asked.returncode == 0
