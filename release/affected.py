"""Which apps a change affects, and why.

A change affects an app when something that it is made from may have changed. What cannot be attributed to a target
affects more rather than less: a whole package, or every app.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from release.app import App
from release.foundations import Foundations
from release.history import Change, ChangedFile
from release.source_graph import SourceGraph
from release.starlark import Label, StarlarkFiles

_EVERYTHING = "everything"
_BUILD_FILES = ("BUILD.bazel", "BUILD")
_STARLARK = (".bzl", ".scl")
_LINKS_IN_A_ROW = 5
_CHOSEN_BY_CONFIGURATION = "platform"
"""Rules that a build is told of by name, which a query does not see."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an app is affected."""

    file: str | None
    """The first of the changed files that lead to it; None where no file does."""
    why: str
    via: tuple[str, ...] = ()
    """The targets from the file to the app."""

    def __str__(self) -> str:
        return f"{self.file}: {self.why}" if self.file is not None else self.why


@dataclass(frozen=True, slots=True)
class Affected:
    """An app that is affected."""

    app: App
    cause: Cause


def every_app(apps: Iterable[App], cause: Cause) -> tuple[Affected, ...]:
    """All of them, for one reason."""
    return tuple(Affected(app, cause) for app in sorted(apps, key=lambda app: app.full_name))


def find_affected(
    files: Sequence[ChangedFile],
    links: Mapping[str, str],
    graph: SourceGraph,
    foundations: Foundations,
    starlark: StarlarkFiles,
) -> tuple[Affected, ...]:
    """The apps that changed files affect, sorted by name, each with one reason.

    Args:
        files: what has changed, sorted.
        links: the tree's symbolic links.
        graph: what everything is made from, after the change.
        foundations: what every app stands on.
        starlark: the workspace's Starlark files.
    """
    files = [*files, *_through_links(files, links)]
    dependents = _dependents(graph, foundations)
    if any(file.folder or file.path.endswith(_STARLARK) for file in files):
        _add_loads(dependents, graph, starlark)
    origins: dict[str, Cause] = {}
    parents: dict[str, str] = {}
    waiting: deque[str] = deque()
    for file in files:
        for node, why in _first_touched(file, graph, foundations, dependents):
            if node not in origins:
                origins[node] = Cause(file.path, why)
                waiting.append(node)
    while waiting:
        node = waiting.popleft()
        for dependent in dependents.get(node, ()):
            if dependent not in origins:
                origins[dependent] = origins[node]
                parents[dependent] = node
                waiting.append(dependent)
    found = []
    for app in graph.apps:
        label = app.label if app.label in origins else _EVERYTHING
        if label in origins:
            found.append(Affected(app, replace(origins[label], via=_path(label, app, parents))))
    return tuple(sorted(found, key=lambda each: each.app.full_name))


def _path(node: str, app: App, parents: Mapping[str, str]) -> tuple[str, ...]:
    steps = [node]
    while steps[-1] in parents:
        steps.append(parents[steps[-1]])
    targets = [step for step in reversed(steps) if ":" in step and not step.startswith("file:")]
    return tuple(targets) if targets and targets[-1] == app.label else (*targets, app.label)


def _through_links(files: Sequence[ChangedFile], links: Mapping[str, str]) -> list[ChangedFile]:
    """The other places where changed files are seen, through symbolic links to them or to folders above them."""
    seen = {file.path for file in files}
    found: list[ChangedFile] = []
    last = list(files)
    # A link may lead to a folder with links; where they lead in a circle, Bazel does not follow them for ever either.
    for _ in range(_LINKS_IN_A_ROW):
        nearer, last = last, []
        for file in nearer:
            for link, target in links.items():
                place = f"{link}{file.path[len(target) :]}"
                if f"{file.path}/".startswith(f"{target}/") and place not in seen:
                    seen.add(place)
                    last.append(replace(file, path=place))
        found += last
    return found


def _dependents(graph: SourceGraph, foundations: Foundations) -> dict[str, list[str]]:
    """What has to be made anew when a target, or a package, has changed; packages are written `//package`."""
    dependents: dict[str, list[str]] = {}
    for label in sorted(graph.inputs):
        for each in graph.inputs[label]:
            dependents.setdefault(each, []).append(label)
        if label in graph.rules:
            dependents.setdefault(label.partition(":")[0], []).append(label)
            if graph.rules[label] == _CHOSEN_BY_CONFIGURATION:
                dependents.setdefault(label, []).append(_EVERYTHING)
    for foundation in sorted(foundations.labels, key=str):
        for label in _targets(foundation, graph):
            dependents.setdefault(label, []).append(_EVERYTHING)
    return dependents


def _targets(label: Label, graph: SourceGraph) -> Iterator[str]:
    """The target of a label; of a pattern, the toolchains, since that is what is registered by one."""
    below = label.package.removesuffix("...").rstrip("/") if label.package.split("/")[-1] == "..." else None
    if below is None and label.name not in ("all", "*", "all-targets"):
        yield str(label)
        return
    if below is None:
        yield f"//{label.package}"  # A toolchain that is no longer in it counts, too.
    for rule, kind in graph.rules.items():
        package = rule.partition(":")[0].removeprefix("//")
        inside = package == label.package if below is None else not below or f"{package}/".startswith(f"{below}/")
        if inside and kind == "toolchain":
            yield rule


def _add_loads(dependents: dict[str, list[str]], graph: SourceGraph, starlark: StarlarkFiles) -> None:
    for package, name in sorted(graph.build_files.items()):
        for loaded in starlark.closure(posixpath.join(package, name), package):
            dependents.setdefault(f"file:{loaded}", []).append(f"//{package}")


def _first_touched(
    file: ChangedFile, graph: SourceGraph, foundations: Foundations, dependents: Mapping[str, list[str]]
) -> Iterator[tuple[str, str]]:
    """What a changed file is a part of by itself, and in which way."""
    path = file.path
    if (reason := foundations.reason(path)) is not None:
        yield _EVERYTHING, reason
    if path.startswith("../"):
        return
    if file.folder:
        yield from _below(path, graph, foundations, dependents)
    labels = [label for label in _possible_labels(path, graph) if label in graph.sources]
    for label in labels:
        yield label, f"{label} is an input"
    if f"file:{path}" in dependents:
        yield f"file:{path}", "it is loaded by BUILD files"
    folder, name = posixpath.split(path)
    if name in _BUILD_FILES:
        yield f"//{folder}", "it says what the targets of its package are"
        owner = _package_above(folder, graph)
        if file.change is not Change.EDITED and owner is not None:
            yield f"//{owner}", f"with it, a part of //{owner} became a package, or the other way round"
        return
    owner = _package_of(path, graph)
    if owner is None:
        return
    if file.change is Change.GONE:
        yield f"//{owner}", f"it is gone, and a glob of //{owner} may have had it"
    elif file.folder:
        yield f"//{owner}", f"it may stand for a folder, in which a glob of //{owner} may look"
    elif not labels and not (path.isascii() and path.isprintable()):
        yield f"//{owner}", f"its name cannot be compared with labels, and it is in //{owner}"


def _below(
    path: str, graph: SourceGraph, foundations: Foundations, dependents: Mapping[str, list[str]]
) -> Iterator[tuple[str, str]]:
    """All that lies in a folder."""
    why = "it may stand for a folder, and anything in that may have changed"
    inside = f"{path}/"
    for package in sorted(graph.build_files):
        if f"{package}/".startswith(inside):
            yield f"//{package}", why
    for source in sorted(graph.sources):
        if source.removeprefix("//").replace(":", "/").startswith(inside):
            yield source, why
    for node in sorted(dependents):
        if node.startswith(f"file:{inside}"):
            yield node, why
    if any(each.startswith(inside) for each in foundations.files):
        yield _EVERYTHING, why


def _possible_labels(path: str, graph: SourceGraph) -> Iterator[str]:
    """What a file may be called: it, or a folder above it that is an input as a whole, in any package above."""
    parts = path.split("/")
    for start in range(len(parts)):
        package = "/".join(parts[:start])
        if package in graph.build_files:
            for end in range(len(parts), start, -1):
                yield f"//{package}:{'/'.join(parts[start:end])}"


def _package_of(path: str, graph: SourceGraph) -> str | None:
    folder = posixpath.dirname(path)
    return folder if folder in graph.build_files else _package_above(folder, graph)


def _package_above(folder: str, graph: SourceGraph) -> str | None:
    """The package that a folder would be in if it were none itself."""
    while folder:
        folder = posixpath.dirname(folder)
        if folder in graph.build_files:
            return folder
    return None
