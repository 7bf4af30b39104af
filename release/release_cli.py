"""`bazel run //release:release -- APP [VERSION] --commit SHA`: the program, as quick to start as may be."""

import os
import sys
from pathlib import Path


def keep_bytecode() -> None:
    """Keep compiled modules in the user's cache folder.

    Bazel makes none, and beside its outputs none may be written, so that every start would compile everything anew: a
    third of the time that a re-tag takes. Python compiles a module again when the source's time or size has changed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        cache = cache.expanduser()
    except RuntimeError:
        return  # A user without a home.
    if cache.is_absolute():
        sys.pycache_prefix = str(cache / "slipway" / "pycache")
        sys.dont_write_bytecode = False


def main() -> None:
    """Run the command line of this process, and exit."""
    keep_bytecode()
    from release import command_line

    sys.exit(command_line.main(sys.argv[1:]))


if __name__ == "__main__":
    main()
