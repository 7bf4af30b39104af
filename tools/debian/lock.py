"""`bazel run //tools/debian:lock`: pins what packages.yaml asks for to the versions that Debian has now."""

import argparse
import os
import shlex
import sys
import tempfile
from pathlib import Path

from tools.debian.apt import resolve
from tools.debian.errors import DebianError
from tools.debian.lockfile import Lock, differences, format_lock, read_lock
from tools.debian.manifest import read_manifest

_MANIFEST = "tools/debian/packages.yaml"
_LOCK = "tools/debian/packages.lock.json"


def main(argv: list[str]) -> int:
    """Writes the lock, or with --check only compares. Returns 0, 1 when something fails, or 3 when out of step."""
    parser = argparse.ArgumentParser(prog="lock", description=__doc__)
    parser.add_argument("--manifest", default=_MANIFEST, help="the package list, from the root (%(default)s)")
    parser.add_argument("--lock", default=_LOCK, help="the lock, from the root (%(default)s)")
    parser.add_argument("--command", default="bazel run //tools/debian:lock", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 3 when the lock is out of step")
    options = parser.parse_args(argv)
    workspace = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."))
    renewal = " ".join([options.command, *_arguments(options.manifest, options.lock)])
    try:
        if options.check:
            return _check(workspace / options.manifest, workspace / options.lock, renewal)
        _renew(workspace / options.manifest, workspace / options.lock, renewal)
    except DebianError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments(manifest: str, lock: str) -> list[str]:
    given = [("--manifest", manifest, _MANIFEST), ("--lock", lock, _LOCK)]
    words = [word for option, value, default in given if value != default for word in (option, shlex.quote(value))]
    return ["--", *words] if words else []


def _check(manifest: Path, lock: Path, renewal: str) -> int:
    found = differences(read_manifest(manifest), read_lock(lock, renewal))
    for difference in found:
        print(f"{lock}: {difference}", file=sys.stderr)
    if found:
        print(f"Run `{renewal}`, and commit the lock.", file=sys.stderr)
    return 3 if found else 0


def _renew(manifest: Path, path: Path, renewal: str) -> None:
    request = read_manifest(manifest)
    before = _versions(_present(path, renewal))
    packages, sets = {}, {}
    for architecture in request.architectures:
        print(f"{architecture}: asking apt for {request.suite}...", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="debian-lock-") as state:
            closures = resolve(request, architecture, Path(state))
        distinct = {package for closure in closures.values() for package in closure}
        packages[architecture] = tuple(sorted(distinct, key=lambda package: package.name))
        sets[architecture] = {name: tuple(each.name for each in closure) for name, closure in closures.items()}
        size = sum(package.size for package in distinct)
        print(f"{architecture}: {len(distinct)} packages, {size / 1e6:.1f} MB", file=sys.stderr)
    lock = Lock(request, packages, sets)
    if found := differences(request, lock):
        raise DebianError(
            f"cannot lock {manifest}",
            "; ".join(found),
            "Name packages that exist by themselves there (`apt-cache showpkg NAME` tells which ones provide a name).",
        )
    text = format_lock(lock)
    if before and text == path.read_text("utf-8"):
        print(f"{path} has the present versions already", file=sys.stderr)
        return
    _write(path, text)
    after = _versions(lock)
    for key in sorted(set(before) | set(after)) if before else ():
        if before.get(key) != after.get(key):
            print(f"  {key[1]} ({key[0]}): {before.get(key, 'not there')} -> {after.get(key, 'gone')}", file=sys.stderr)
    print(f"wrote {path}", file=sys.stderr)


def _present(path: Path, renewal: str) -> Lock | None:
    """The lock as it is; None where there is none that can be read, since it is about to be written anew."""
    try:
        return read_lock(path, renewal)
    except DebianError:
        return None


def _versions(lock: Lock | None) -> dict[tuple[str, str], str]:
    packages = lock.packages if lock is not None else {}
    return {(arch, package.name): package.version for arch, locked in packages.items() for package in locked}


def _write(path: Path, text: str) -> None:
    """All or nothing: a killed run must not leave half a lock."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, "utf-8")
    aside.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
