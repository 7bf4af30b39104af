"""What the repository rules call; the answer is JSON on standard output.

python3 -m tools.pip plan LOCK
python3 -m tools.pip fetch PIN TARGET LOCK DIRECTORY
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict
from pathlib import Path

from tools.pip.errors import PipError


def main(arguments: list[str]) -> int:
    """Runs one command; a PipError goes to standard error and the exit code is 1."""
    try:
        print(json.dumps(_answer(arguments)))
    except PipError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _answer(arguments: list[str]) -> object:
    if importlib.util.find_spec("pip") is None:
        raise PipError(
            "cannot fetch Python packages",
            f"{sys.executable} has no pip",
            "install pip for the python3 that is first on PATH (Debian: apt install python3-pip)",
        )
    from tools.pip.fetch import fetch, plan
    from tools.pip.targets import TARGETS

    match arguments:
        case ["plan", lock]:
            return [asdict(package) for package in plan(Path(lock))]
        case ["fetch", pin, target, lock, directory]:
            return asdict(fetch(pin, TARGETS[target], Path(lock), Path(directory)))
    raise SystemExit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
