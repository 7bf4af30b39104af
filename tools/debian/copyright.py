"""The licence of a package, out of its copyright file, where that is machine-readable (copyright-format 1.0) and plain.

Plain is what SPDX's list has under a name that means the same. That is not so for names without a version, for "MIT",
"X11" and "Artistic" (of which there are several), for exceptions and for public domain.
"""

import re
from collections.abc import Sequence

from tools.debian.control import parse_stanza
from tools.image.license import LICENSES

_FORMAT = re.compile(r"https?://www\.debian\.org/doc/packaging-manuals/copyright-format/1\.0/?")
_AMBIGUOUS = ("mit", "x11", "artistic-1", "artistic-1.0")

# What SPDX calls otherwise; the names of GNU's licences say there in words what the plus sign says here.
_NAMES = {"expat": "MIT", "cc0": "CC0-1.0"}
_GNU = re.compile(r"(agpl|gpl|lgpl|gfdl)(-niv)?-([0-9])(\.[0-9])?(\+?)")

# From the loosest to the closest: "and" binds more closely than "or", and both more loosely after a comma.
_OPERATORS = ((", and ", "AND"), (", or ", "OR"), (" or ", "OR"), (" and ", "AND"))


def spdx_license(text: str) -> str | None:
    """The SPDX expression for all that a copyright file says; None where it is free text, or not plain."""
    try:
        paragraphs = [parse_stanza(paragraph) for paragraph in re.split(r"\n(?:[ \t]*\n)+", text.strip())]
    except ValueError:
        return None
    if not _FORMAT.fullmatch(paragraphs[0].get("Format", "")):
        return None
    # Paragraphs with neither hold the texts of licences, whether something is under them or not.
    granted = [each for each in paragraphs if "Files" in each or ("Format" in each and "License" in each)]
    synopses = {" ".join(each.get("License", "").partition("\n")[0].lower().split()) for each in granted}
    expressions = [_expression(synopsis, _OPERATORS) for synopsis in synopses]
    parts: set[str] = set()
    for expression in expressions:
        if expression is None:
            return None
        parts.update([expression] if " OR " in expression else expression.split(" AND "))
    return _joined(sorted(parts), "AND") if parts else None


def _expression(text: str, operators: Sequence[tuple[str, str]]) -> str | None:
    if not operators:
        return _license(text)
    (word, operator), *closer = operators
    parts = [_expression(part, closer) for part in text.split(word)]
    known = [part for part in parts if part is not None]
    return _joined(known, operator) if len(known) == len(parts) else None


def _joined(parts: Sequence[str], operator: str) -> str:
    if len(parts) == 1:
        return parts[0]
    return f" {operator} ".join(f"({part})" if " " in part else part for part in parts)


def _license(name: str) -> str | None:
    if gnu := _GNU.fullmatch(name):
        family, invariants, major, minor, plus = gnu.groups(default="")
        name = f"{family}-{major}{minor or '.0'}{invariants and '-no-invariants'}-{'or-later' if plus else 'only'}"
    if name in _AMBIGUOUS:
        return None
    return _NAMES.get(name) or LICENSES.get(name) or LICENSES.get(f"{name}.0")
