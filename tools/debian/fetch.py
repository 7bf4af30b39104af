"""What the repository rule runs: fetches the locked packages of one architecture into the current folder.

Standard library only, and any Python from 3.11 on: it is the machine's own Python that runs it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tools.debian.apt import fetch
from tools.debian.errors import DebianError
from tools.debian.lockfile import read_lock


def main(argv: list[str]) -> int:
    """Returns 1 when something fails."""
    parser = argparse.ArgumentParser(prog="fetch", description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--renewal", required=True, help="the command that renews the lock, for error messages")
    options = parser.parse_args(argv)
    try:
        lock = read_lock(options.lock, options.renewal)
        packages = lock.packages.get(options.architecture)
        if packages is None:
            raise DebianError(
                f"cannot fetch Debian packages for {options.architecture}",
                f"{options.lock} has them for {', '.join(sorted(lock.packages))} only",
                f"Add the architecture to the package list, and run `{options.renewal}`.",
            )
        with tempfile.TemporaryDirectory(prefix="debian-fetch-") as state:
            fetch(packages, Path.cwd(), Path(state), options.renewal)
    except DebianError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
