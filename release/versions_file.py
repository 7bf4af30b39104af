"""The file of `--versions`: a mapping from apps to versions, in YAML or JSON. All its errors are said at once.

A module apart from the other ways to choose a version, since importing a YAML parser takes a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from release.app import App, choose_app
from release.errors import InvalidRequest
from release.git_tags import list_names
from release.version import Version

_FORM = "v{major}.{minor}.{patch} (e.g., v1.0.0, v2.1.3, v1.0.0-beta1)"
_CORRECT = "Correct it, or name another file with --versions."


def read_versions(path: Path, apps: Sequence[App], known: Sequence[App], scope: str) -> dict[str, Version]:
    """Read the versions of `apps`, by their full names, out of a file.

    It names an app as the command line does: `DOMAIN-APP`, `DOMAIN/APP` or, where that is unambiguous, `APP`. It may
    name more apps than are to be released now, as long as they are `known`.

    Raises InvalidRequest with everything that is wrong, each with its line.
    """
    by_name: dict[str, list[App]] = {}
    for app in known:
        for name in {app.full_name, f"{app.domain}/{app.name}", app.name}:
            by_name.setdefault(name, []).append(app)
    versions: dict[str, Version] = {}
    lines: dict[str, int] = {}
    problems: list[str] = []
    unknown = False
    for key, value in _entries(path):
        line = key.start_mark.line + 1
        found: list[str] = []
        name, text = _text(key), _text(value)
        version = Version.find(text)
        if name not in by_name:
            unknown = True
            found.append(f"unknown app {name!r}")
        else:
            try:
                chosen = choose_app(name, by_name[name], scope).full_name
            except InvalidRequest as error:
                found.append(f"{error.what}: {error.why}")
            else:
                if chosen in lines:
                    found.append(f"{chosen} is there twice, in line {lines[chosen]} too")
                lines.setdefault(chosen, line)
                if version is not None:
                    versions[chosen] = version
        if version is None:
            found.append(f"version {text!r} of {name} has to be {_FORM}")
        problems += [f"{path}:{line}: {problem}" for problem in found]
    lacking = [app.full_name for app in apps if app.full_name not in lines]
    if lacking:
        problems.append(f"{path}: no version of {list_names(lacking, shown=len(lacking))}")
    if problems:
        listing = ", ".join(sorted(app.full_name for app in known)) or "none"
        known_apps = f"The apps in {scope} are {listing}.\n" if unknown else ""
        raise InvalidRequest(f"Cannot use {path}", "\n  ".join(["", *problems]), known_apps + _CORRECT)
    return versions


def _entries(path: Path) -> list[tuple[yaml.Node, yaml.Node]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("{"):
            text = text.replace("\t", " ")  # JSON may be indented by tabs, which to YAML are an error.
        # Composed, not constructed: the nodes know on which line they stand, and no key is lost.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidRequest(f"Cannot use {path}{line}", error.problem or "it is not YAML", _CORRECT) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InvalidRequest(f"Cannot use {path}", str(error), _CORRECT) from None
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise InvalidRequest(
            f"Cannot use {path}:{root.start_mark.line + 1}",
            "the file has to be a mapping of apps to versions",
            _CORRECT,
        )
    entries: list[tuple[yaml.Node, yaml.Node]] = root.value
    return entries


def _text(node: yaml.Node) -> str:
    """What is written there, whatever YAML takes it for."""
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    return "(a list)" if isinstance(node, yaml.SequenceNode) else "(a mapping)"
