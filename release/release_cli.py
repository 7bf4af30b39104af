"""`bazel run //release:release -- APP [VERSION] --commit SHA`."""

from release.start import start


def main() -> None:
    """Run the command line of this process, and exit."""
    start("release.command_line")


if __name__ == "__main__":
    main()
