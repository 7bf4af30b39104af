"""Programs that tests run: the machine's own, else the devroot's."""

from __future__ import annotations

import shutil
from pathlib import Path

# Resolved, since a test's runfiles link to the workspace.
_ENTER = Path(__file__).resolve().parents[2] / "tools" / "devroot" / "enter"


def tool(name: str) -> list[str]:
    """What to put before a program's arguments: its name if it is on PATH, else the way into the devroot."""
    found = shutil.which(name)
    return [found] if found else [str(_ENTER), name]
