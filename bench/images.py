"""What building and pushing images costs, beside others who build and push the same.

`bazel run //bench:images` prints Markdown tables and says of each target whether it is met. Times depend on the
machine, so only ratios within a round mean something; numbers of actions and bytes do not. See README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.builders import (
    Buildah,
    Builder,
    Buildx,
    BuildxStore,
    Engine,
    Facts,
    Floor,
    Slipway,
    SlipwayArchives,
    entered,
)
from bench.measure import Ledger, PeakMemory, markdown, megabytes, seconds, shown, timings
from bench.pushers import CountingRelay, Crane, Pusher, Skopeo, SlipwayPush
from bench.workload import Workload
from tests.support.registry import LocalRegistry
from tests.support.tools import tool
from tests.support.workspace import source_tree, test_cache

SCENARIOS = ("build", "resources", "push", "analysis")
PEERS = ("archives", "floor", "buildx", "buildx-store", "buildah", "crane", "skopeo")
EDIT, WHEEL = "one-line edit", "wheel edit"

# What a machine of this kind took with rules_oci 2.3.2, which cannot be had where this runs.
RULES_OCI = {
    "W1 cold": "2.63 (2.03..3.25)",
    "W1 no-op": "0.23 (0.12..0.33)",
    f"W1 {EDIT}": "1.17 (0.85..1.69)",
    "W20 cold": "29.0 (26.0..36.7)",
    "W20 no-op": "0.16 (0.13..0.20)",
    f"W20 {EDIT}": "1.09 (0.99..1.40)",
}
OCI_PUSH = {
    "W1 first push": "0.37 (0.24..0.45)",
    "W1 again": "0.20 (0.15..0.27)",
    "W1 after an edit": "0.24 (0.18..0.31)",
    "W20 first push": "6.68 (6.43..7.83)",
    "W20 again": "3.98 (3.61..4.48)",
    "W20 after an edit": "4.05 (3.16..4.73)",
}
RECORDED = "recorded, not run"

MAX_ACTION_MEMORY = 100_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """One target of the project, and what was found."""

    text: str
    found: str
    met: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """What one push sent: bytes with headers, and requests."""

    bytes: int
    requests: int


@dataclass(slots=True)
class Report:
    """What is printed at the end."""

    sections: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def add(self, title: str, *parts: str) -> None:
        self.sections += [f"### {title}", *parts]

    def check(self, text: str, found: str, met: bool) -> None:
        self.targets.append(Target(text, found, met))

    def __str__(self) -> str:
        lines = [[each.text, each.found, "met" if each.met else "**missed**"] for each in self.targets]
        return "\n\n".join([*self.sections, "### Targets", markdown(["target", "found", ""], lines)])


@dataclass(frozen=True, slots=True)
class Bench:
    """What all scenarios work on."""

    folder: Path
    workload: Workload
    slipway: Slipway
    builders: Sequence[Builder]
    counts: Sequence[int]
    rounds: int
    report: Report

    def apps(self, count: int) -> tuple[str, ...]:
        return self.workload.apps[:count]

    def images(self, count: int) -> list[str]:
        return self.workload.images[:count]


def measure_builds(bench: Bench) -> None:
    """Cold, no-op and edits; every builder once a round, so that whatever slows the machine slows all of them."""
    ledger, ratios = Ledger(), []
    for count in bench.counts:
        apps, name = bench.apps(count), f"W{count}"
        bench.workload.set_floor(_warm_up(bench, apps).spawned)
        for number in range(bench.rounds):
            for builder in bench.builders:
                slow = builder.slow and count > 1
                if slow and number:
                    continue
                _say(f"{name}, round {number + 1}: {builder.name}")
                builder.prepare()
                builder.clean()
                ledger.add(f"{name} cold", builder.name, number, seconds(builder.build, apps))
                if slow:
                    continue
                ledger.add(f"{name} no-op", builder.name, number, seconds(builder.build, apps))
                if isinstance(builder, Floor):
                    continue
                bench.workload.edit_line()
                ledger.add(f"{name} {EDIT}", builder.name, number, seconds(builder.build, apps))
                bench.workload.edit_wheel()
                builder.prepare()
                ledger.add(f"{name} {WHEEL}", builder.name, number, seconds(builder.build, apps))
    peers = [builder.name for builder in bench.builders if builder is not bench.slipway]
    for row in ledger.rows():
        cells = [ledger.ratio(row, bench.slipway.name, peer) for peer in peers]
        ratios.append([row, *(str(cell or "") for cell in cells)])
    recorded = {f"rules_oci ({RECORDED})": RULES_OCI}
    head = ["slipway, as a multiple of", *peers]
    bench.report.add("Build, seconds", timings(ledger, recorded), markdown(head, ratios))

    largest = f"W{max(bench.counts)}"
    ratio = ledger.ratio(f"{largest} cold", bench.slipway.name, Buildx.name)
    if ratio:
        bench.report.check(f"{largest} cold: at most 0.5 times buildx", str(ratio), ratio.median <= 0.5)
    for count in bench.counts:
        added = ledger.added((f"W{count} {EDIT}", bench.slipway.name), (f"W{count} no-op", Floor.name))
        if added:
            text = f"W{count} {EDIT}: at most 0.35 s more than Bazel's own no-op"
            bench.report.check(text, f"{added} s", added.median <= 0.35)


def _warm_up(bench: Bench, apps: Sequence[str]) -> Facts:
    """A build that nobody times, after which all that is downloaded is here."""
    bench.slipway.prepare()
    bench.slipway.clean()
    return bench.slipway.measured_build(apps)


def measure_resources(bench: Bench, big: int) -> None:
    """Actions, disk and memory of a cold build, and where its time goes."""
    lines = []
    for count in bench.counts:
        apps, name = bench.apps(count), f"W{count}"
        lines += [_our_resources(bench, count), *_our_edits(bench, count)]
        for builder in bench.builders:
            if builder is bench.slipway or isinstance(builder, Floor) or (builder.slow and count > 1):
                continue
            _say(f"{name}, resources: {builder.name}")
            builder.clean()
            with PeakMemory(bench.slipway.process() if isinstance(builder, Slipway) else os.getpid()) as memory:
                builder.build(apps)
            lines.append([f"{name} cold: {builder.name}", "", megabytes(builder.size()), _largest(memory)])
    _say("memory of one large layer")
    target = bench.workload.write_big(big)
    with PeakMemory(bench.slipway.process()) as memory:
        bench.slipway.bazel("build", target)
    (bench.workload.workspace / "big/big.bin").unlink()
    peak, what = memory.largest_below[1], f"a layer with one file of {megabytes(big)}"
    lines.append([f"{what}: {bench.slipway.name}", "1", "", _largest(memory)])
    bench.report.check(f"{what}: peak memory under 100 MB", megabytes(peak), peak < MAX_ACTION_MEMORY)
    head = ["", "spawned actions", "on disk", "largest process of the build"]
    bench.report.add("Actions, disk, memory", markdown(head, lines))


def _our_resources(bench: Bench, count: int) -> list[str]:
    """The line of our cold build, which is checked on the way."""
    slipway, report, name = bench.slipway, bench.report, f"W{count}"
    _say(f"{name}, resources: {slipway.name}")
    layouts = slipway.files(bench.images(count), "layout")
    blobs = {blob.name: blob.stat().st_size for layout in layouts for blob in layout.glob("blobs/sha256/*")}
    distinct = sum(blobs.values())
    slipway.clean()
    with PeakMemory(slipway.process()) as memory:
        facts = slipway.measured_build(bench.apps(count))
    size, tools = slipway.size(), slipway.size_of_tools()
    peak = memory.largest_below[1]
    report.check(f"{name} cold: peak memory of one action under 100 MB", megabytes(peak), peak < MAX_ACTION_MEMORY)
    if count == max(bench.counts):
        report.check(f"{name} cold: at most 110 spawned actions", str(facts.spawned), facts.spawned <= 110)
        found = f"{size / distinct:.2f}; {(size - tools) / distinct:.2f} without the tools of the build"
        report.check(f"{name}: output tree at most 1.3 times the distinct blobs", found, size <= 1.3 * distinct)
        where = sorted(facts.by_mnemonic.items(), key=lambda item: -item[1][1])
        lines = [[mnemonic, str(number), shown(total), shown(total / number)] for mnemonic, (number, total) in where]
        text = f"The critical path takes {shown(facts.critical)} s. Actions run side by side; sums are of all of them."
        head = ["mnemonic", "actions", "sum, s", "each, s"]
        report.add(f"Where the time of {name} cold goes", text, markdown(head, lines))
    disk = f"{megabytes(size)}, of it {megabytes(tools)} tools of the build; distinct blobs: {megabytes(distinct)}"
    what = f"{_largest(memory)}; Bazel's server {megabytes(memory.top)}"
    return [f"{name} cold: {slipway.name}", str(facts.spawned), disk, what]


def _our_edits(bench: Bench, count: int) -> Iterator[list[str]]:
    """How many actions a no-op and each edit spawn, after a cold build."""
    apps, name = bench.apps(count), f"W{count}"
    for what, edit in (("no-op", None), (EDIT, bench.workload.edit_line), (WHEEL, bench.workload.edit_wheel)):
        if edit:
            edit()
        bench.slipway.prepare()
        spawned = bench.slipway.measured_build(apps).spawned
        if not edit:
            bench.report.check(f"{name} {what}: spawns no action", str(spawned), spawned == 0)
        yield [f"{name} {what}: {bench.slipway.name}", str(spawned), "", ""]


def _largest(memory: PeakMemory) -> str:
    command, size = memory.largest_below
    return f"{_program(command)} {megabytes(size)}"


def _program(command: str) -> str:
    """The script or program that a command line starts."""
    script = re.search(r"(\w+\.py)\b", command)
    return f"`{script[1] if script else Path(command.partition(' ')[0]).name}`"


def measure_pushes(bench: Bench, pushers: Sequence[Pusher]) -> None:
    """Time and bytes of a first push to an empty registry, of the same push again, and of one after an edit."""
    ledger, lines = Ledger(), []
    sent: dict[tuple[int, str, str], Sent] = {}
    for count in bench.counts:
        first, edited = _layouts(bench, count)
        distinct, changed = _sizes(first, edited)
        for number in range(bench.rounds):
            for pusher in pushers:
                _say(f"W{count}, push, round {number + 1}: {pusher.name}")
                with _registry(pusher) as registry:
                    for what, layouts in (("first push", first), ("again", first), ("after an edit", edited)):
                        taken = seconds(pusher.push, registry.address, layouts)
                        ledger.add(f"W{count} {what}", pusher.name, number, taken)
        lines.append([f"W{count}: least possible", megabytes(distinct), "", "", "", megabytes(changed), ""])
        for pusher in pushers:
            cells = []
            with _registry(pusher) as registry, CountingRelay(registry.address) as relay:
                for what, layouts in (("first push", first), ("again", first), ("after an edit", edited)):
                    registry.forget_requests()
                    before = relay.sent
                    pusher.push(relay.address, layouts)
                    of_push = Sent(relay.sent - before, len(registry.requests()))
                    sent[count, pusher.name, what] = of_push
                    cells += [megabytes(of_push.bytes), str(of_push.requests)]
            lines.append([f"W{count}: {pusher.name}", *cells])
        if count == max(bench.counts):
            _check_pushes(bench, count, pushers, ledger, sent, distinct, changed)
    ratios = [
        [row, *(str(ledger.ratio(row, SlipwayPush.name, pusher.name) or "") for pusher in pushers[1:])]
        for row in ledger.rows()
    ]
    bench.report.add(
        "Push to an empty registry on this machine, seconds",
        timings(ledger, {f"oci_push ({RECORDED})": OCI_PUSH}),
        markdown(["slipway, as a multiple of", *(pusher.name for pusher in pushers[1:])], ratios),
        markdown(["bytes and requests", "first push", "", "again", "", "after an edit", ""], lines),
    )


def _check_pushes(
    bench: Bench,
    count: int,
    pushers: Sequence[Pusher],
    ledger: Ledger,
    sent: Mapping[tuple[int, str, str], Sent],
    distinct: int,
    changed: int,
) -> None:
    check, name = bench.report.check, f"W{count}"
    ratio = sent[count, SlipwayPush.name, "first push"].bytes / distinct
    check(f"{name} first push: at most 1.02 times the distinct bytes", f"{ratio:.3f}", ratio <= 1.02)
    after = sent[count, SlipwayPush.name, "after an edit"]
    extra = after.bytes - changed
    found = f"{changed} bytes, and {extra / after.requests:.0f} for each request"
    text = f"{name} push after an edit: the changed blobs and manifests, and headers of at most 500 bytes"
    check(text, found, 0 <= extra <= 500 * after.requests)
    for pusher, row, limit in ((Skopeo, "first push", 0.8), (Crane, "after an edit", 1.5)):
        times = ledger.ratio(f"{name} {row}", SlipwayPush.name, pusher.name)
        if times:
            check(f"{name} {row}: at most {limit} times {pusher.name}", str(times), times.median <= limit)


def _layouts(bench: Bench, count: int) -> tuple[dict[str, Path], dict[str, Path]]:
    """By repository the layouts that are pushed, and the same with one app edited: links, which outlive a build."""
    versions: list[dict[str, Path]] = []
    for number in range(2):
        folder = bench.folder / "layouts" / str(number)
        shutil.rmtree(folder, ignore_errors=True)
        built = bench.slipway.files(bench.images(count), "layout")
        pairs = zip(bench.apps(count), built, strict=True)
        versions.append({f"bench/{app}": folder / app for app, _ in pairs})
        for app, layout in zip(bench.apps(count), built, strict=True):
            shutil.copytree(layout, folder / app, copy_function=os.link)
        bench.workload.edit_line()
    return versions[0], versions[1]


def _sizes(first: Mapping[str, Path], edited: Mapping[str, Path]) -> tuple[int, int]:
    """The bytes of all distinct blobs, and of those that the edit made."""
    before, after = (
        {blob.name: blob.stat().st_size for layout in layouts.values() for blob in layout.glob("blobs/sha256/*")}
        for layouts in (first, edited)
    )
    return sum(before.values()), sum(size for name, size in after.items() if name not in before)


@contextmanager
def _registry(pusher: Pusher) -> Iterator[LocalRegistry]:
    pusher.forget()
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder, LocalRegistry(Path(folder)) as registry:
        yield registry


def measure_analysis(bench: Bench, synthetic: int) -> None:
    """Loading and analysis of many apps, and of nothing but their programs, each in a server that has seen neither."""
    ledger = Ledger()
    row = f"analysis of {synthetic} apps for two platforms"
    for number in range(bench.rounds):
        for package, column in (("binaries", "the py_binaries alone"), ("apps", "their images")):
            _say(f"analysis, round {number + 1}: {column}")
            bench.slipway.restart()
            taken = seconds(bench.slipway.analyse, f"//synthetic/{package}:all_of_them")
            ledger.add(row, column, number, taken)
    ratio = ledger.ratio(row, "their images", "the py_binaries alone")
    bench.report.add("Analysis, seconds", timings(ledger, {}))
    if ratio:
        bench.report.check(f"{row}: at most 1.5 times the py_binaries alone", str(ratio), ratio.median <= 1.5)


def _versions(slipway: Slipway) -> str:
    """What is compared, by its own words."""
    asked = {
        "docker": ["docker", "--version"],
        "buildx": ["docker", "buildx", "version"],
        "buildah": ["buildah", "--version"],
        "crane": ["crane", "version"],
        "skopeo": ["skopeo", "--version"],
        "docker-registry": ["docker-registry", "--version"],
    }
    found = [f"Bazel {re.sub('[^0-9.]', '', slipway.bazel('--version'))}", f"Python {sys.version.split()[0]}"]
    found += [f"{name} {_version(name, [*tool(command[0]), *command[1:]])}" for name, command in asked.items()]
    return f"{', '.join(found)}; {os.cpu_count()} cores, Linux {os.uname().release}."


def _version(name: str, command: Sequence[str]) -> str:
    """The number in what a program says of itself, or else what Debian says of its package."""
    for question in (command, [*entered("dpkg-query"), "dpkg-query", "--show", "--showformat=${Version}", name]):
        with contextlib.suppress(OSError):
            answer = subprocess.run(question, capture_output=True, text=True, check=False)
            number = re.search(r"\d+\.\d+(\.\d+)?", answer.stdout) if answer.returncode == 0 else None
            if number:
                return number[0]
    return "(its version is unknown)"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Two at once would measure each other."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _builders(
    names: Sequence[str], workload: Workload, slipway: Slipway, folder: Path, stack: ExitStack
) -> list[Builder]:
    """The chosen builders, and the engine that some of them need."""
    builders: list[Builder] = [slipway]
    if "archives" in names:
        builders.append(SlipwayArchives(workload, slipway.output_base))
    if "floor" in names:
        builders.append(Floor(workload, slipway.output_base))
    if {"buildx", "buildx-store"} & set(names):
        engine = stack.enter_context(Engine(folder / "docker"))
        kinds = {"buildx": Buildx, "buildx-store": BuildxStore}
        builders += [kind(workload, engine) for name, kind in kinds.items() if name in names]
    if "buildah" in names:
        stack.callback(shutil.rmtree, folder / "buildah", ignore_errors=True)
        builders.append(Buildah(workload, folder / "buildah"))
    return builders


def main(arguments: list[str]) -> int:
    """Exit status 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="images", description=__doc__.partition("\n")[0])
    parser.add_argument("--scenario", nargs="+", choices=SCENARIOS, default=SCENARIOS, help="what to measure (all)")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (%(default)s)")
    parser.add_argument("--apps", type=int, nargs="+", default=[1, 20], help="numbers of apps (1 20)")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="who is measured beside us (all)")
    parser.add_argument("--synthetic", type=int, default=1000, help="apps that are only analysed (%(default)s)")
    parser.add_argument("--big", type=int, default=512, help="MiB of one large file in a layer (%(default)s)")
    options = parser.parse_args(arguments)
    folder = test_cache().parent / "bench"
    report = Report()
    with _only_one(folder), ExitStack() as stack:
        workload = Workload(folder, source_tree(), max(options.apps), options.synthetic)
        slipway = Slipway(workload, folder / "output_base")
        stack.callback(_leave, folder, workload, slipway)
        _say("fetching all that is downloaded")
        slipway.analyse(*workload.images)
        workload.keep(slipway.wheel("click"))
        if {"buildx", "buildx-store", "buildah"} & set(options.peers):
            _say("building once, for those who build of our layers' content")
            workload.export(*slipway.files(["//:base", workload.images[0]], "layout"))
        report.sections.append(_versions(slipway))
        builders = _builders(options.peers, workload, slipway, folder, stack)
        bench = Bench(folder, workload, slipway, builders, sorted(options.apps), options.rounds, report)
        if "build" in options.scenario:
            measure_builds(bench)
        if "resources" in options.scenario:
            measure_resources(bench, options.big * 1024 * 1024)
        if "push" in options.scenario:
            others = {"crane": Crane(), "skopeo": Skopeo(folder)}
            chosen = [pusher for name, pusher in others.items() if name in options.peers]
            measure_pushes(bench, [SlipwayPush(), *chosen])
        if "analysis" in options.scenario:
            measure_analysis(bench, options.synthetic)
    print(report)
    return 0 if all(target.met for target in report.targets) else 1


def _leave(folder: Path, workload: Workload, slipway: Slipway) -> None:
    """Leaves what was downloaded, for the next run, and nothing else."""
    workload.restore()
    slipway.bazel("clean")
    slipway.bazel("shutdown")
    for left in ("layouts", "context", "wheels", "skopeo"):
        shutil.rmtree(folder / left, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
