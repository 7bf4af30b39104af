"""packages.yaml: what the user asks for."""

import re
from pathlib import Path
from typing import Any

import yaml

from tools.debian.errors import DebianError
from tools.debian.lockfile import SET_NAME, Request

SUPPORTED_ARCHITECTURES = ("amd64", "arm64")

_EXAMPLE = (
    "Write it like this: {suite: trixie, architectures: [amd64, arm64], sets: {tools: [bash, tzdata], web: [python3]}}."
)


def read_manifest(path: Path) -> Request:
    """Reads packages.yaml.

    Raises:
      DebianError: when it is not there, is not YAML, or does not say the three things it has to say.
    """
    what = f"cannot read the Debian package list {path}"
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise DebianError(what, error.strerror or str(error), f"Make the file. {_EXAMPLE}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DebianError(what, f"it is not YAML: {error}", _EXAMPLE) from error
    if not isinstance(content, dict) or set(content) != {"suite", "architectures", "sets"}:
        raise DebianError(what, "it has to have exactly suite, architectures and sets", _EXAMPLE)
    if not isinstance(content["suite"], str):
        raise DebianError(what, f"suite is {content['suite']!r}", f"Give the code name of one release. {_EXAMPLE}")
    architectures = _names(what, "architectures", content["architectures"])
    if unknown := sorted(set(architectures) - set(SUPPORTED_ARCHITECTURES)):
        remedy = f"Choose from {', '.join(SUPPORTED_ARCHITECTURES)}."
        raise DebianError(what, f"there are no images for {', '.join(unknown)}", remedy)
    return Request(content["suite"], architectures, _sets(what, content["sets"]))


def _sets(what: str, sets: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(sets, dict) or not sets:
        raise DebianError(what, "sets has no names with a list of packages each", _EXAMPLE)
    for name in sets:
        if not isinstance(name, str) or not re.fullmatch(SET_NAME, name):
            remedy = (
                f"Begin with a lower-case letter, and go on with letters, digits, dashes and underscores. {_EXAMPLE}"
            )
            raise DebianError(what, f"a set is called {name!r}", remedy)
    return {name: _names(what, f"set {name}", packages) for name, packages in sorted(sets.items())}


def _names(what: str, key: str, names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DebianError(what, f"{key} is not a list of names", _EXAMPLE)
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DebianError(what, f"{key} has {', '.join(repeated)} more than once", "Leave the repetition out.")
    return tuple(sorted(names))
