"""Every request x every fault, and a kill at every request: for any command that changes tags.

A flow is run once without faults, to see its requests. Then it is run anew for each of them and each kind of fault,
each time against a registry of its own that begins with the same state; and after each run, once more without faults.
What has to hold is in `check_after` and `check_finished`.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.fault_registry.faults import (
    BROKEN,
    DENIED,
    HTML,
    MISSING,
    PAGE_MISSING,
    UNAUTHORIZED,
    UNAVAILABLE,
    Asked,
    Fault,
    Lag,
    Route,
    Seen,
    throttled,
    throttled_like_github,
    throttled_until,
    wrong_content,
    wrong_digest,
)
from tests.fault_registry.registry import Abilities, FaultRegistry
from tests.fault_registry.store import RepositoryState, Store

_AT_ONCE = 16
"""Runs side by side. Most of their time they wait for the next try."""
_KEPT_LIST = re.compile(r"sha256-[0-9a-f]{64}")
_DIGEST = re.compile(r"(?<=sha256[:-])[0-9a-f]{64}|(?<=sha256%3A)[0-9a-f]{64}")
_CLEAN_RUNS = 5
_TRIES = 5
"""How often a case is tried in which a request may come or not, as it happens with tokens."""
_CHILD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What a flow does to one repository.

    Attributes:
        repository: its path.
        before: what each tag under test names at first, None where it is not there. Digests differ from those after.
        after: what each of them names in the end, in the order in which they have to be written.
    """

    repository: str
    before: dict[str, str | None]
    after: dict[str, str]


@dataclass(frozen=True, slots=True)
class Flow:
    """One command, and the state that it begins with.

    Attributes:
        name: for the report.
        prepare: fills a store, and a folder with whatever files the command needs. Called once. It returns what is
            expected of each repository that the command may touch.
        command: runs the command against the registry HOST:PORT with that folder, and returns its exit status. A
            function of a module, since it is also called in other processes, and several times at once.
        abilities: of the registry.
        guard: what else is done to a registry before it is used: `FaultRegistry.require_token`, for example.
    """

    name: str
    prepare: Callable[[Store, Path], Sequence[Expected]]
    command: Callable[[str, Path], int]
    abilities: Abilities = field(default_factory=Abilities)
    guard: Callable[[FaultRegistry], object] = lambda registry: None


@dataclass(frozen=True, slots=True)
class Target:
    """One request of a flow: the n-th with this method and path, all digests and upload sessions taken for the same.

    They differ from run to run, as what is said about a build does, and requests side by side come in any order.
    """

    method: str
    path: str
    occurrence: int
    has_body: bool
    has_content: bool
    """Whether the answer has a body."""

    def __str__(self) -> str:
        return f"{self.method} {self.path} ({self.occurrence + 1})"

    def fault(self, **what: Any) -> Fault:
        """A fault for this request alone."""
        path = re.escape(self.path).replace("DIGEST", "[0-9a-f]{64}").replace("SESSION", "[^?/]+")
        return Fault(method=self.method, path=f"^{path}$", skip=self.occurrence, **what)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        name: for the report.
        fields: those of the Fault, given the request; None where it makes no sense there.
        lasting: everything from that request on is as broken.
        certain: it is noticed wherever it is injected; else a case counts only where it was.
    """

    name: str
    fields: Callable[[Target, FaultRegistry], dict[str, Any] | None]
    lasting: bool = False
    certain: bool = True


def _always(**fields: Any) -> Callable[[Target, FaultRegistry], dict[str, Any]]:
    return lambda target, registry: fields


def _half_sent(target: Target, registry: FaultRegistry) -> dict[str, Any] | None:
    return {"reset_after": 1} if target.has_body else None


def _half_answered(target: Target, registry: FaultRegistry) -> dict[str, Any] | None:
    return {"keep": 1} if target.has_content else None


def _token_expired(target: Target, registry: FaultRegistry) -> dict[str, Any] | None:
    return {"before": lambda asked: registry.revoke_tokens()} if registry.doorkeeper.demands_tokens else None


KINDS: tuple[Kind, ...] = (
    Kind("401", _always(answer=UNAUTHORIZED)),
    Kind("403", _always(answer=DENIED)),
    Kind("404", _always(answer=MISSING)),
    Kind("404 of no registry", _always(answer=PAGE_MISSING)),
    Kind("429 with seconds", _always(answer=throttled(1))),
    Kind("429 with a date", lambda target, registry: {"answer": throttled_until(1)}),
    Kind("429 with a duration in the body", _always(answer=throttled_like_github("50.5ms"))),
    Kind("500", _always(answer=BROKEN)),
    Kind("503 with HTML", _always(answer=UNAVAILABLE)),
    Kind("200 with HTML", _always(answer=HTML)),
    Kind("wrong digest", _always(change=wrong_digest), certain=False),
    Kind("wrong content", _always(change=wrong_content), certain=False),
    Kind("slow", _always(delay=0.3)),
    Kind("reset before", _always(reset_after=0)),
    Kind("reset in the middle of the request", _half_sent),
    Kind("reset after, the answer lost", _always(lose_answer=True)),
    Kind("half an answer", _half_answered),
    Kind("lag", _always(lag=Lag(readings=2)), certain=False),
    Kind("expired token", _token_expired),
    Kind("403 from then on", _always(answer=DENIED), lasting=True),
    Kind("429 from then on", _always(answer=throttled()), lasting=True),
    Kind("503 from then on", _always(answer=UNAVAILABLE), lasting=True),
    Kind("resets from then on", _always(reset_after=0), lasting=True),
)


@dataclass(slots=True)
class Report:
    """What came of a matrix."""

    title: str
    requests: int
    cases: Counter[str] = field(default_factory=Counter)
    """Of each kind, those whose fault was really injected."""
    first_runs: Counter[str] = field(default_factory=Counter)
    """How the runs with a fault ended."""
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {end}" for end, count in sorted(self.first_runs.items()))
        kinds = f"{len(self.cases)} kinds"
        return f"{self.title}: {self.requests} requests, {kinds}, {self.cases.total()} cases ({ends})"

    def check(self) -> None:
        """See that nothing failed, and that there was something to fail. Raises AssertionError."""
        told = "\n\n".join(self.failures[:20])
        assert not self.failures, f"{self}; {len(self.failures)} failed, among them\n\n{told}"
        assert self.requests
        assert self.cases.total() >= self.requests


class Stage:
    """A flow with its state prepared, ready to be run often."""

    def __init__(self, flow: Flow, folder: Path) -> None:
        self.flow = flow
        self.folder = folder
        self.store = Store()
        self.expected = flow.prepare(self.store, folder)

    def registry(self) -> FaultRegistry:
        """A registry with the state that the flow begins with."""
        registry = FaultRegistry(self.store.copy(), abilities=self.flow.abilities)
        self.flow.guard(registry)
        return registry

    def targets(self, run: Callable[[str], int]) -> list[Target]:
        """The requests of runs without faults, which have to do what they should.

        How many of several requests side by side are told to bring a token first is another matter each time: only
        what is asked in every run counts.
        """
        runs = []
        for _ in range(_CLEAN_RUNS):
            with self.registry() as registry:
                status = run(registry.address)
                assert status == 0, f"{self.flow.name} ends with {status} where nothing is wrong"
                check_after(self, registry)
                check_finished(self, registry)
                runs.append(_targets(registry.requests()))
        return [target for target in runs[0] if all(target in others for others in runs[1:])]

    def run(self, address: str) -> int:
        """The command in this process."""
        return self.flow.command(address, self.folder)

    def run_child(self, address: str) -> int:
        """The command in another process."""
        return _Child(self.flow, address, self.folder).run()


def _targets(requests: Iterable[Seen]) -> list[Target]:
    counted: Counter[tuple[str, str]] = Counter()
    found = []
    for seen in requests:
        path = _DIGEST.sub("DIGEST", seen.path)
        if seen.route is Route.UPLOADS and seen.reference:
            path = path.replace(seen.reference, "SESSION")
        found.append(Target(seen.method, path, counted[seen.method, path], seen.received > 0, seen.sent > 1))
        counted[seen.method, path] += 1
    return found


def check_after(stage: Stage, registry: FaultRegistry) -> None:
    """What has to hold after every run, however it ended. Raises AssertionError."""
    trouble = registry.store.integrity()
    assert not trouble, "; ".join(trouble)
    at_first, now = stage.store.repositories(), registry.store.repositories()
    ours = {expected.repository for expected in stage.expected}
    touched = {path for path in now.keys() | at_first.keys() if now.get(path) != at_first.get(path)} - ours
    assert not touched, f"{touched} were touched"
    for expected in stage.expected:
        before = at_first.get(expected.repository, RepositoryState())
        _check_repository(expected, before, now.get(expected.repository, RepositoryState()))


def _check_repository(expected: Expected, before: RepositoryState, state: RepositoryState) -> None:
    first_write = {}
    for tag, writes in state.history.items():
        earlier = before.history.get(tag, [])
        assert writes[: len(earlier)] == earlier, f"what {tag} had named is forgotten"
        new = writes[len(earlier) :]
        values = [write.digest for write in new]
        if tag in expected.after:
            assert set(values) <= {expected.after[tag]}, f"{expected.repository}:{tag} was made to name {values}"
            if new:
                first_write[tag] = new[0].request
        elif _KEPT_LIST.fullmatch(tag):
            for one, next_one in pairwise(writes):
                lost = {*state.manifests[str(one.digest)].children} - {*state.manifests[str(next_one.digest)].children}
                assert not lost, f"{tag} has lost {lost}"
        else:
            assert not values, f"{expected.repository}:{tag} was touched"
    # What is named already was not to be written.
    due = [tag for tag, digest in expected.after.items() if expected.before[tag] != digest]
    order = [first_write.get(tag, sys.maxsize) for tag in due]
    assert order == sorted(order), f"{due} of {expected.repository} were not written in this order"


def check_finished(stage: Stage, registry: FaultRegistry) -> None:
    """What has to hold after a success, beside the rest. Raises AssertionError."""
    for expected in stage.expected:
        now = registry.store.tags(expected.repository)
        named = {tag: now.get(tag) for tag in expected.after}
        assert named == expected.after, f"the tags of {expected.repository} name {named}"


def run_faults(flow: Flow, folder: Path, kinds: Sequence[Kind] = KINDS) -> Report:
    """Every request of a flow x every kind of fault, and after each the same command without."""
    stage = Stage(flow, folder)
    targets = stage.targets(stage.run)
    report = Report(f"{flow.name}, every request x every fault", len(targets))
    cases = [(kind, number, target) for kind in kinds for number, target in enumerate(targets)]
    _run_all(report, [partial(_one_fault, stage, report, *case) for case in cases])
    return report


def _one_fault(stage: Stage, report: Report, kind: Kind, number: int, target: Target) -> None:
    with _Told(report, f"{stage.flow.name}: {kind.name} at request {number}, {target}"):
        for _ in range(_TRIES):
            with stage.registry() as registry:
                fields = kind.fields(target, registry)
                if fields is None:
                    return
                fault = Fault(skip=number, times=0, **fields) if kind.lasting else target.fault(**fields)
                registry.inject(fault)
                status = stage.run(registry.address)
                if registry.injections(fault):
                    _rerun(stage, registry, stage.run, status)
                    report.cases[kind.name] += 1
                    report.first_runs["succeeded all the same" if status == 0 else f"ended with {status}"] += 1
                    return
            if not kind.certain:
                return
        raise AssertionError("the fault was never injected")


def _rerun(stage: Stage, registry: FaultRegistry, run: Callable[[str], int], first: int) -> None:
    """Judge a run that ended with `first`, take the faults away, and see that the same command finishes the rest."""
    check_after(stage, registry)
    if first == 0:
        check_finished(stage, registry)
    registry.heal()
    registry.forget_requests()
    again = run(registry.address)
    assert again == 0, f"after {first} the same command ends with {again}"
    check_after(stage, registry)
    check_finished(stage, registry)
    ours = {(expected.repository, tag) for expected in stage.expected for tag in expected.after}
    writes = [seen for seen in registry.requests() if seen.is_write]
    tags = [seen.path for seen in writes if (seen.repository, seen.reference) in ours]
    assert first or not tags, f"all was done, and the same command wrote {tags}"


# Kills


_PROCESSES = threading.Lock()
"""Whoever starts a process asks after all the others: two that ask at once read one status, and one of them nothing."""


class _Child:
    """A command in a process of its own, which can be killed."""

    def __init__(self, flow: Flow, address: str, folder: Path) -> None:
        # Not by fork, since the registries' threads are in this process; and not anew each time, which would take long.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__", flow.command.__module__])
        self._process = context.Process(target=_run_child, args=(flow.command, address, folder), daemon=True)
        self._started = threading.Event()

    def start(self) -> None:
        """Start it."""
        with _PROCESSES:
            self._process.start()
        self._started.set()

    def kill(self, asked: Asked) -> None:
        """Kill it and whatever it has started; called by the registry."""
        self._started.wait(_CHILD_SECONDS)
        assert self._process.pid is not None
        os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        deadline = time.monotonic() + _CHILD_SECONDS
        while True:
            with _PROCESSES:
                status = self._process.exitcode
            if status is not None:
                return status
            if time.monotonic() > deadline:
                self._process.kill()
                raise AssertionError(f"the command did not end within {_CHILD_SECONDS:.0f} s")
            time.sleep(0.005)

    def run(self) -> int:
        """Start it and wait."""
        self.start()
        return self.wait()


def _run_child(command: Callable[[str, Path], int], address: str, folder: Path) -> None:
    os.setsid()
    with (folder / f"log-{os.getpid()}").open("w", encoding="utf-8") as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
    sys.exit(command(address, folder))


def run_kills(flow: Flow, folder: Path) -> Report:
    """SIGKILL at every request of a flow, before it has its effect and after, and then the same command."""
    stage = Stage(flow, folder)
    targets = stage.targets(stage.run_child)
    report = Report(f"{flow.name}, killed at every request", len(targets))
    moments = ("before its effect", "after its effect")
    cases = [(moment, number, target) for moment in moments for number, target in enumerate(targets)]
    _run_all(report, [partial(_one_kill, stage, report, *case) for case in cases], at_once=4)
    return report


def _one_kill(stage: Stage, report: Report, moment: str, number: int, target: Target) -> None:
    with _Told(report, f"{stage.flow.name}: killed at request {number}, {target}, {moment}"):
        for _ in range(_TRIES):
            with stage.registry() as registry:
                victim = _Child(stage.flow, registry.address, stage.folder)
                if moment == "before its effect":
                    fault = target.fault(before=victim.kill, reset_after=0)
                else:
                    fault = target.fault(after=victim.kill, lose_answer=True)
                registry.inject(fault)
                ended = victim.run()
                registry.wait_idle()
                if registry.injections(fault):
                    assert ended == -signal.SIGKILL, f"it ended with {ended}"
                    _rerun(stage, registry, stage.run_child, ended)
                    report.cases[moment] += 1
                    report.first_runs["killed"] += 1
                    return
        raise AssertionError("it was never killed")


@dataclass(slots=True)
class _Told:
    """Notes what goes wrong in a case, with its title."""

    report: Report
    title: str

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        self.report.failures.append(f"{self.title}:\n  {type(error).__name__}: {error}")
        return True


def _run_all(report: Report, cases: Sequence[Callable[[], None]], at_once: int = _AT_ONCE) -> None:
    with ThreadPoolExecutor(at_once) as pool:
        for done in [pool.submit(case) for case in cases]:
            done.result()
