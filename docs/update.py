"""Writes the reference pages into the source tree: bazel run //docs:update."""

import os
import sys
from pathlib import Path


def main(pages: list[str]) -> None:
    """Copy the built pages to docs/reference of the workspace that calls."""
    folder = Path(os.environ["BUILD_WORKSPACE_DIRECTORY"], "docs", "reference")
    for page in map(Path, pages):
        (folder / page.name).write_bytes(page.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
