"""What a test of an image says."""

import os
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is not as it should be.

    Attributes:
      about: what it is: "/etc/app.yaml: mode".
      expected: what it should be.
      found: what it is.
      layer: the layer that it comes from; empty where it comes from none.
      where: file and line that ask for it; empty for what is asked of every image.
    """

    about: str
    expected: str
    found: str
    layer: str = ""
    where: str = ""


def describe(failures: Iterable[tuple[str, Failure]]) -> str:
    """All failures in words, those that several platforms have in common only once.

    Args:
      failures: each with its platform; empty for what is no platform's.
    """
    platforms: dict[Failure, list[str]] = {}
    for platform, failure in failures:
        platforms.setdefault(failure, []).append(platform)
    return "\n".join(_block(failure, list(filter(None, names))) for failure, names in platforms.items())


def _block(failure: Failure, platforms: Sequence[str]) -> str:
    lines = [("expected", failure.expected), ("found", failure.found)]
    lines += [("in", failure.layer), ("on", ", ".join(platforms)), ("see", failure.where)]
    return f"  {failure.about}\n" + "".join(
        f"      {name:<9} {textwrap.indent(text, ' ' * 16).lstrip()}\n" for name, text in lines if text
    )


def in_ci() -> bool:
    """Whether this runs where nothing may be left out quietly."""
    return os.environ.get("CI") == "true"
