"""`bazel run //release:notes -- v1.2.3 --from RECORD...`."""

import sys

sys.dont_write_bytecode = True  # Not before start() has said where to.

from release.start import start  # noqa: E402


def main() -> None:
    """Run the command line of this process, and exit."""
    start("release.notes_command")


if __name__ == "__main__":
    main()
