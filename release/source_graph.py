"""The targets of a workspace and what each is made from, by one `bazel query`.

Only the workspace's own packages are asked for. Their dependencies in other repositories would have to be fetched,
wheels and packages of a distribution among them, and the query would fail over a part of another module that nobody
builds. Without them it is whole or it fails: a part is never taken for the whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from release.app import App, query_expression, read_apps
from release.bazel import Bazel
from release.config import Config

# Said in full, since a user's settings may leave edges out.
_OPTIONS = (
    "--implicit_deps",
    "--tool_deps",
    "--aspect_deps=conservative",
    "--noproto:default_values",
    "--noproto:locations",
    "--proto:rule_inputs_and_outputs",
    "--proto:output_rule_attrs=app,domain,image,platforms,toolchain",
)
_BUILD_FILES = ("BUILD.bazel", "BUILD")  # Bazel takes the first that is there.


@dataclass(frozen=True, slots=True)
class SourceGraph:
    """The targets of a workspace; labels are written `//package:name`."""

    apps: tuple[App, ...]
    """Those in scope."""
    inputs: Mapping[str, tuple[str, ...]]
    """What each rule, and each file that one makes, is made from; labels of other repositories among it."""
    rules: Mapping[str, str]
    """The class of each rule."""
    sources: frozenset[str]
    """Labels of files in the tree."""
    build_files: Mapping[str, str]
    """The BUILD file of each package, by the package's name."""


def query_graph(bazel: Bazel, config: Config) -> SourceGraph:
    """Ask Bazel. Raises ReleaseError when that fails, even in part."""
    # Apps that are out of scope are no apps.
    others = "(//...:* except kind('^app_metadata rule$', //...))"
    return read_graph(bazel.query(f"{others} + {query_expression(config)}", *_OPTIONS))


def read_graph(output: str) -> SourceGraph:
    """The graph in the output of `bazel query --output=streamed_jsonproto`: one target a line."""
    inputs: dict[str, tuple[str, ...]] = {}
    rules: dict[str, str] = {}
    sources: set[str] = set()
    apps: list[str] = []
    for line in filter(None, output.split("\n")):
        target = json.loads(line)
        if rule := target.get("rule"):
            label = plain(rule["name"])
            rules[label] = rule["ruleClass"]
            inputs[label] = tuple(plain(each) for each in (*rule.get("ruleInput", ()), *_implementation(rule)))
            if rule["ruleClass"] == "app_metadata":
                apps.append(line)
        elif generated := target.get("generatedFile"):
            inputs[plain(generated["name"])] = (plain(generated["generatingRule"]),)
        elif source := target.get("sourceFile"):
            sources.add(plain(source["name"]))
    return SourceGraph(read_apps("\n".join(apps)), inputs, rules, frozenset(sources), _build_files(sources))


def plain(label: str) -> str:
    """A label of the main repository as `//package:name`, however Bazel was told to write it."""
    return label[label.index("//") :] if label.startswith(("@//", "@@//")) else label


def _implementation(rule: Mapping[str, Any]) -> list[str]:
    """What a `toolchain` stands for, which Bazel does not count among what it is made from."""
    found = (each.get("stringValue") for each in rule.get("attribute", ()) if each["name"] == "toolchain")
    return [label for label in found if label] if rule["ruleClass"] == "toolchain" else []


def _build_files(sources: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in reversed(_BUILD_FILES):
        for source in sources:
            package, _, file = source.partition(":")
            if file == name and package.startswith("//"):
                found[package.removeprefix("//")] = name
    return found
