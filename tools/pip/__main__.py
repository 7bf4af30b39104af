"""`python3 -m tools.pip plan LOCK | fetch PIN TARGET LOCK DIRECTORY`: JSON on standard output, for the repository rules."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import asdict
from pathlib import Path

from tools.pip.problem import Problem


def main(arguments: list[str]) -> int:
    """Runs one command; a Problem goes to standard error and the exit code is 1."""
    try:
        print(json.dumps(_answer(arguments)))
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _answer(arguments: list[str]) -> object:
    if importlib.util.find_spec("pip") is None:
        raise Problem(
            "cannot fetch Python packages",
            f"{sys.executable} has no pip",
            "install pip for the python3 that is first on PATH (Debian: apt install python3-pip)",
        )
    from tools.pip.fetch import fetch, plan
    from tools.pip.targets import TARGETS

    match arguments:
        case ["plan", lock]:
            return plan(Path(lock))
        case ["fetch", pin, target, lock, directory]:
            return asdict(fetch(pin, TARGETS[target], Path(lock), Path(directory)))
    raise SystemExit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
