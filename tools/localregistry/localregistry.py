"""`bazel run //tools/localregistry [-- start|stop|status]`: a registry on this machine."""

import argparse
import os
import sys
from pathlib import Path

from tools.localregistry import server


def main(arguments: list[str]) -> int:
    """Exit status 0 when done, 1 when not (or `status` finds nothing running), 2 for a wrong call."""
    parser = argparse.ArgumentParser(
        prog="localregistry", description="A real docker-registry on 127.0.0.1, its data in your cache folder."
    )
    parser.add_argument("verb", nargs="?", default="start", choices=("start", "stop", "status"))
    parser.add_argument("--port", type=_port, default=server.DEFAULT_PORT, help="where it listens (%(default)s)")
    parser.add_argument("--root", type=Path, default=server.default_root(), help="where its data lies (%(default)s)")
    options = parser.parse_args(arguments)
    verbs = {"start": _start, "stop": _stop, "status": _status}
    try:
        return verbs[options.verb](options.port, _from_caller(options.root))
    except server.LocalRegistryError as error:
        print(error, file=sys.stderr)
        return 1


def _start(port: int, root: Path) -> int:
    address = server.ensure_running(port, root, report=lambda line: print(line, file=sys.stderr))
    print(f"A registry runs on {address}; `-- stop` stops it, its images stay", file=sys.stderr)
    return 0


def _stop(port: int, root: Path) -> int:
    stopped = server.stop(port, root)
    print(f"{'Stopped the registry' if stopped else 'No registry runs'} on {server.HOST}:{port}", file=sys.stderr)
    return 0


def _status(port: int, root: Path) -> int:
    address = server.Address(server.HOST, port)
    if not server.answers(address):
        print(f"No registry runs on {address}", file=sys.stderr)
        return 1
    pid = server.running(root / str(port))
    whose = f"process {pid}, data in {root / str(port) / 'data'}" if pid else f"not started from {root}"
    print(f"A registry runs on {address} ({whose})", file=sys.stderr)
    return 0


def _from_caller(path: Path) -> Path:
    """`path` as the caller means it: `bazel run` changes the working directory and says where it was."""
    return Path(os.environ.get("BUILD_WORKING_DIRECTORY") or Path.cwd(), path)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 1 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
