"""What a re-release of many apps costs: ours in one process, and what others take for the same tags, one by one.

`bazel run //bench:many` fills a registry in memory with apps of two platforms, delays each of its answers, and gives
every app a new version and `latest`. The apps are handed to the release as `bazel query` would name them: the query
itself, which does not depend on the registry, is not measured. Standard output is a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from release.app import App
from release.app_release import Outside
from release.config import Config, ProvenanceSettings
from release.console import Console
from release.flow import release_apps
from release.request import EngineName, Request
from release.version import Version
from tests.fault_registry.registry import FaultRegistry
from tests.support.images import ImageMaker
from tests.support.tools import tool
from tools.oci.client import RegistryClient
from tools.oci.manifest import Platform

COMMITS = ("0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef")
"""Two commits whose images differ, released in turn: so `latest` has to move each time."""
OWNER = "bench"
BOTH = (Platform("linux", "amd64"), Platform("linux", "arm64"))
CONNECTIONS = 32
"""Requests at the same time, as the release has them for several apps."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way took once."""

    seconds: float
    requests: int
    megabytes: int | None = None
    """The most memory that the process had."""


def release_all(registry: str, count: int, commit: str, version: str) -> None:
    """What is measured of ours: runs in a process of its own, and prints how much memory it had."""
    apps = [App(f"app{number}", OWNER, f"//a{number}:i", BOTH, f"//a{number}:m") for number in range(count)]
    wanted = [(Request(app.name, Version.parse(version), commit, engine=EngineName.REGISTRY), app) for app in apps]
    config = Config(registry=registry, owner="", provenance=ProvenanceSettings(enabled=False))
    with Path(os.devnull).open("w") as nowhere:
        console = Console(nowhere)

        def connect(name: str, connections: int) -> RegistryClient:
            return RegistryClient(name, on_wait=console.say, max_connections=connections)

        outside = Outside(console, connect, _no_workshop, _no_source)
        outcomes = release_apps(wanted, config, outside)
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def _no_workshop() -> NoReturn:
    raise AssertionError("nothing is to be built")


def _no_source(commit: str) -> NoReturn:
    raise AssertionError(f"nobody asks git for {commit}")


def ours(registry: FaultRegistry, count: int, commit: str, version: str) -> Cost:
    """One release of all apps."""
    command = [sys.executable, __file__, "--of", registry.address, "--apps", str(count), "--version", version]
    command += ["--commit", commit]
    path = os.pathsep.join(sys.path)
    return _measured(registry, [command], {**os.environ, "PYTHONPATH": path})


def crane(registry: FaultRegistry, count: int, commit: str, version: str) -> Cost:
    """`crane tag`, twice an app."""
    return _each(
        registry, count, version, lambda name, tag: [*tool("crane"), "tag", "--insecure", f"{name}:{commit}", tag]
    )


def imagetools(registry: FaultRegistry, count: int, commit: str, version: str) -> Cost:
    """`docker buildx imagetools create`, twice an app."""
    create = [*tool("docker"), "buildx", "imagetools", "create", "--tag"]
    return _each(registry, count, version, lambda name, tag: [*create, f"{name}:{tag}", f"{name}:{commit}"])


def _each(registry: FaultRegistry, count: int, version: str, command: Callable[[str, str], list[str]]) -> Cost:
    names = [f"{registry.address}/{OWNER}-app{number}" for number in range(count)]
    return _measured(registry, [command(name, tag) for name in names for tag in (version, "latest")], dict(os.environ))


def _measured(registry: FaultRegistry, commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> Cost:
    registry.forget_requests()
    output = ""
    began = time.perf_counter()
    for command in commands:
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if result.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{result.stderr}")
        output = result.stdout
    seconds = time.perf_counter() - began
    memory = int(output) if output.strip().isdecimal() else None
    return Cost(seconds, len(registry.requests()), memory)


PEERS = {"crane": crane, "imagetools": imagetools}


def fill(registry: FaultRegistry, count: int, folder: Path) -> None:
    """Gives every app an image of the commit: another index each, so that a wrong one would show."""
    maker = ImageMaker(folder)
    for number in range(count):
        for commit in COMMITS:
            index = maker.index(f"app {number} of {commit}")
            registry.store.put_image(f"{OWNER}-app{number}", index.descriptor, maker.blobs, commit)


def main(arguments: Sequence[str]) -> int:
    """Exit status 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="many", description=__doc__.partition("\n")[0])
    parser.add_argument("--apps", type=int, default=20, help="how many apps (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (%(default)s)")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds that a request takes (%(default)s)")
    parser.add_argument("--peers", nargs="*", choices=sorted(PEERS), default=["crane"], help="who else (%(default)s)")
    parser.add_argument("--of", help=argparse.SUPPRESS)
    parser.add_argument("--commit", help=argparse.SUPPRESS)
    parser.add_argument("--version", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.of:
        release_all(options.of, options.apps, options.commit, options.version)
        return 0
    ways = {"slipway, one process": ours, **{name: PEERS[name] for name in options.peers}}
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder, FaultRegistry() as registry:
        fill(registry, options.apps, Path(folder))
        registry.latency = options.latency
        for number in range(options.rounds + 1):
            for position, (name, way) in enumerate(ways.items()):
                cost = way(registry, options.apps, COMMITS[number % 2], f"v{number + 1}.{position}.0")
                if number:  # The first round only warms the caches.
                    costs[name].append(cost)
    return report(options.apps, options.latency, costs)


def report(apps: int, latency: float, costs: Mapping[str, Sequence[Cost]]) -> int:
    """Print the table and the targets; returns 1 when one is missed."""
    print(f"| {apps} apps, 2 tags each, {latency * 1000:.0f} ms a request | seconds | requests | memory |")
    print("|---|---|---|---|")
    for name, of_way in costs.items():
        seconds = sorted(cost.seconds for cost in of_way)
        found = f"{max(cost.megabytes or 0 for cost in of_way)} MB" if of_way[0].megabytes else ""
        spread = f"{statistics.median(seconds):.2f} ({seconds[0]:.2f}..{seconds[-1]:.2f})"
        print(f"| {name} | {spread} | {max(cost.requests for cost in of_way)} | {found} |")
    first = next(iter(costs.values()))
    taken = statistics.median(cost.seconds for cost in first)
    requests = max(cost.requests for cost in first)
    memory = max(cost.megabytes or 0 for cost in first)
    targets = {
        f"at most 13 requests an app: {requests / apps:.1f}": requests <= 13 * apps,
        f"under 150 MB: {memory} MB": memory < 150,
    }
    if apps == 20 and latency == 0.02:
        targets[f"at most 0.8 s: {taken:.2f} s"] = taken <= 0.8
    if apps >= 1000 and latency:
        bound = 1.5 * requests * latency / CONNECTIONS
        name = f"at most 1.5 times requests x latency / connections ({bound:.1f} s): {taken:.1f} s"
        targets[name] = taken <= bound
    print()
    for target, met in targets.items():
        print(f"- {'met' if met else 'MISSED'}: {target}")
    return 0 if all(targets.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
