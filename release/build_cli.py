"""`bazel run //release:build -- APP... --commit SHA --out FILE`."""

import sys

sys.dont_write_bytecode = True  # Not before start() has said where to.

from release.start import start  # noqa: E402


def main() -> None:
    """Run the command line of this process, and exit."""
    start("release.build_command")


if __name__ == "__main__":
    main()
