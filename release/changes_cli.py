"""`bazel run //release:changes -- --base SHA`."""

from release.start import start


def main() -> None:
    """Run the command line of this process, and exit."""
    start("release.changes_command")


if __name__ == "__main__":
    main()
