"""Starts a verb of this folder, as quickly as may be."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn


def start(module: str) -> NoReturn:
    """Run a verb's module with the command line of this process, and exit with what its main() returns."""
    keep_bytecode()
    sys.exit(import_module(module).main(sys.argv[1:]))


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
