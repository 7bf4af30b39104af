"""What a re-release of one app costs: ours with each engine, and what others take for the same two tags.

`bazel run //bench:retag` starts a registry and a proxy that delays and counts requests in front of it, pushes the image
of hello_python there, and tags it again and again, one way after the other in each round. Standard output is a Markdown
table. Times depend on the machine, so only the ratios of one run mean something; requests do not.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.fault_proxy import FaultProxy, round_trips
from tests.support.registry import LocalRegistry
from tests.support.tools import tool
from tools.oci.client import RegistryClient
from tools.oci.reference import Repository

COMMITS = ("0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef")
"""Two commits whose images differ, released in turn: so `latest` has to move each time."""

MAX_REQUESTS, MAX_ROUND_TRIPS, MAX_ADDED_SECONDS = 15, 6, 0.3


@dataclass(frozen=True, slots=True)
class Network:
    """What lies between us and the registry: seconds that each request, and that each new connection takes."""

    name: str
    request: float
    connection: float


NETWORKS = (
    Network("this machine", 0.0, 0.0),
    Network("20 ms a request", 0.02, 0.0),
    Network("20 ms a round trip: requests and new connections", 0.02, 0.02),
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to give an image two more names."""

    name: str
    commands: Callable[[str, str, str], list[list[str]]]
    """From the repository, the commit and the version: what is run, one command after the other."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one use of a way took."""

    seconds: float
    requests: int
    round_trips: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What a way took in the middle of all rounds over one network, and the most requests in any."""

    way: str
    seconds: float
    requests: int
    round_trips: int


def ways(release: Path) -> list[Way]:
    """Ours, and those of others."""

    def ours(engine: str) -> Callable[[str, str, str], list[list[str]]]:
        def commands(repository: str, commit: str, version: str) -> list[list[str]]:
            options = ["--commit", commit, "--repository", repository, "--engine", engine]
            return [[str(release), "hello_python", version, *options]]

        return commands

    def imagetools(repository: str, commit: str, version: str) -> list[list[str]]:
        create = [*tool("docker"), "buildx", "imagetools", "create", "--tag"]
        return [[*create, f"{repository}:{tag}", f"{repository}:{commit}"] for tag in (version, "latest")]

    def crane(repository: str, commit: str, version: str) -> list[list[str]]:
        return [[*tool("crane"), "tag", "--insecure", f"{repository}:{commit}", tag] for tag in (version, "latest")]

    return [
        Way("slipway, `--engine registry`", ours("registry")),
        Way("slipway, `--engine imagetools`", ours("imagetools")),
        Way("`docker buildx imagetools create`, twice", imagetools),
        Way("`crane tag`, twice", crane),
    ]


def measure(way: Way, proxy: FaultProxy, repository: str, commit: str, version: str) -> Cost:
    """Runs `way` once. Raises SystemExit with its own words when it fails."""
    # Python itself, where `python3` is the shim of a version manager, which would be measured instead of us.
    path = f"{Path(os.path.realpath(sys.executable)).parent}:{os.environ['PATH']}"
    proxy.forget_requests()
    began = time.perf_counter()
    for command in way.commands(repository, commit, version):
        result = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path})
        if result.returncode:
            sys.exit(f"{way.name} failed: {' '.join(command)}\n{result.stderr}")
    seconds = time.perf_counter() - began
    requests = proxy.requests()
    return Cost(seconds, len(requests), round_trips(requests))


def compare(
    all_ways: Sequence[Way], proxy: FaultProxy, repository: str, network: Network, rounds: int
) -> list[Figures]:
    """Every way once a round, so that whatever slows the machine down for a while slows all of them."""
    proxy.latency, proxy.connection_latency = network.request, network.connection
    costs: dict[str, list[Cost]] = {way.name: [] for way in all_ways}
    commits = itertools.cycle(COMMITS)
    for number in range(rounds + 1):
        for position, way in enumerate(all_ways):
            # Rising, so that `latest` moves each time.
            version = f"v{NETWORKS.index(network) + 1}.{number}.{position}"
            cost = measure(way, proxy, repository, next(commits), version)
            if number:  # The first round only warms the caches.
                costs[way.name].append(cost)
    return [
        Figures(
            name,
            statistics.median(cost.seconds for cost in of_way),
            max(cost.requests for cost in of_way),
            # Of two that may go together, a busy machine begins one late: then it looks as if it had waited.
            statistics.median_high(cost.round_trips for cost in of_way),
        )
        for name, of_way in costs.items()
    ]


def table(results: list[list[Figures]]) -> str:
    """One line a way; the last way is the measure of the others."""
    heads = [f"{network.name} (against crane)" for network in NETWORKS]
    lines = ["| 2 tags on a two-platform index | requests | serial round trips | " + " | ".join(heads) + " |"]
    lines.append("|---" * (3 + len(NETWORKS)) + "|")
    for row in zip(*results, strict=True):
        times = [
            f"{figures.seconds:.2f} s ({figures.seconds / of_all[-1].seconds:.2f})"
            for figures, of_all in zip(row, results, strict=True)
        ]
        counts = f"{row[-1].requests} | {row[-1].round_trips}"
        lines.append(f"| {row[0].way} | {counts} | {' | '.join(times)} |")
    return "\n".join(lines)


def missed(results: list[list[Figures]]) -> list[str]:
    """The targets that these figures miss."""
    ours, with_imagetools, imagetools, _ = results[0]
    round_trips = max(of_all[0].round_trips for of_all in results[1:])
    added = with_imagetools.seconds - imagetools.seconds
    targets = {
        f"at most {MAX_REQUESTS} requests with `--engine registry`: {ours.requests}": ours.requests <= MAX_REQUESTS,
        f"at most {MAX_ROUND_TRIPS} serial round trips: {round_trips}": round_trips <= MAX_ROUND_TRIPS,
        f"at most {MAX_ADDED_SECONDS} s added to imagetools: {added:.2f} s": added <= MAX_ADDED_SECONDS,
    }
    for network, of_all in zip(NETWORKS[1:], results[1:], strict=True):
        targets[f"no slower than crane at {network.name}"] = of_all[0].seconds <= of_all[-1].seconds
    for target, met in targets.items():
        print(f"- {'met' if met else 'MISSED'}: {target}")
    return [target for target, met in targets.items() if not met]


def push_twice(layout: Path, repository: Repository) -> None:
    """Gives the image to both commits, to the second with an annotation that makes its index another one."""
    first, second = (repository.tag(commit) for commit in COMMITS)
    copy = [*tool("skopeo"), "copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false"]
    subprocess.run([*copy, f"oci:{layout}", f"docker://{first}"], check=True)
    with RegistryClient(repository.registry) as client:
        index = client.get_manifest(first)
        changed = {**json.loads(index.content), "annotations": {"org.opencontainers.image.ref.name": "second"}}
        client.put_manifest(second, json.dumps(changed).encode(), index.media_type)


def main(arguments: list[str]) -> int:
    """Exit status 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="retag", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="measured rounds over each network (%(default)s)")
    parser.add_argument("--release", type=Path, required=True, help="the program to measure")
    parser.add_argument("--layout", type=Path, required=True, help="OCI layout of the image that is tagged")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder,
        LocalRegistry(Path(folder)) as registry,
        FaultProxy(registry.address) as proxy,
    ):
        repository = proxy.repository("bench/demo-hello_python")
        push_twice(options.layout.absolute(), registry.repository(repository.path))
        all_ways = ways(options.release.absolute())
        results = [compare(all_ways, proxy, str(repository), network, options.rounds) for network in NETWORKS]
    print(table(results))
    print()
    return 1 if missed(results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
