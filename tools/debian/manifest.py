"""packages.yaml: what the user asks for."""

from pathlib import Path
from typing import Any

import yaml

from tools.debian.errors import DebianError
from tools.debian.lockfile import Request

SUPPORTED_ARCHITECTURES = ("amd64", "arm64")

_EXAMPLE = "Write it like this: {suite: trixie, architectures: [amd64, arm64], packages: [python3, tzdata]}."


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
    if not isinstance(content, dict) or set(content) != {"suite", "architectures", "packages"}:
        raise DebianError(what, "it has to have exactly suite, architectures and packages", _EXAMPLE)
    if not isinstance(content["suite"], str):
        raise DebianError(what, f"suite is {content['suite']!r}", f"Give the code name of one release. {_EXAMPLE}")
    architectures = _names(what, content, "architectures")
    if unknown := sorted(set(architectures) - set(SUPPORTED_ARCHITECTURES)):
        remedy = f"Choose from {', '.join(SUPPORTED_ARCHITECTURES)}."
        raise DebianError(what, f"there are no images for {', '.join(unknown)}", remedy)
    return Request(content["suite"], architectures, _names(what, content, "packages"))


def _names(what: str, content: dict[str, Any], key: str) -> tuple[str, ...]:
    names = content[key]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DebianError(what, f"{key} is not a list of names", _EXAMPLE)
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DebianError(what, f"{key} has {', '.join(repeated)} more than once", "Leave the repetition out.")
    return tuple(sorted(names))
