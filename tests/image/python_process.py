"""This interpreter and these wheels in a process of their own, so that a test can choose how it runs."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_SEARCH_PATH = os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path)


def run_python(
    *arguments: str,
    emulator: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    umask: int = -1,
) -> str:
    """Its standard output. An `emulator` is put before the interpreter; `umask` -1 leaves it as it is."""
    found = subprocess.run(
        [*emulator, sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": _SEARCH_PATH, **(environment or {})},
        cwd=folder,
        umask=umask,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout
