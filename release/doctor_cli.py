"""`bazel run //release:doctor -- REGISTRY/REPOSITORY`."""

from release.start import start


def main() -> None:
    """Run the command line of this process, and exit."""
    start("release.doctor_command")


if __name__ == "__main__":
    main()
