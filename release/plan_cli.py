"""`bazel run //release:plan -- --event EVENT`."""

from release.start import start


def main() -> None:
    """Run the command line of this process, and exit."""
    start("release.matrix_command")


if __name__ == "__main__":
    main()
