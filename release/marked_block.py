"""The part of a text that is ours, between two lines of HTML comments. All else stays as it is, byte for byte."""

from __future__ import annotations

import re

from release.errors import Refused

BEGIN = "<!-- slipway:images -->"
END = "<!-- /slipway:images -->"

# Lines of their own: notes may tell of the markers, or quote titles of changes that somebody made up.
_LINE = r"^\ufeff?[ \t]*({})[ \t]*\r?$"
_BEGIN = re.compile(_LINE.format(re.escape(BEGIN)), re.MULTILINE)
_END = re.compile(_LINE.format(re.escape(END)), re.MULTILINE)


def put_block(text: str, content: str, name: str) -> str:
    """Put `content` between the markers of a text, or with them at its end, in the text's own kind of lines.

    Raises Refused where the markers are not one pair; `name` is what the text is called then.
    """
    newline = "\r\n" if 2 * text.count("\r\n") > text.count("\n") else "\n"
    block = "\n".join([BEGIN, content, END]).replace("\n", newline)
    begins, ends = list(_BEGIN.finditer(text)), list(_END.finditer(text))
    if not begins and not ends:
        lines = text.removeprefix("\ufeff")
        parting = "" if not lines or lines.endswith(("\n\n", "\n\r\n")) else newline
        if lines and not lines.endswith("\n"):
            parting = newline * 2
        return f"{text}{parting}{block}{newline}"
    if len(begins) != 1 or len(ends) != 1 or begins[0].start(1) > ends[0].start(1):
        raise Refused(
            f"Cannot tell what to replace in {name}",
            f"the markers are not one pair: {_found(text, begins, BEGIN)}, {_found(text, ends, END)}",
            "Leave one pair, each on a line of its own, or none; nothing was written.",
        )
    return text[: begins[0].start(1)] + block + text[ends[0].end(1) :]


def _found(text: str, matches: list[re.Match[str]], marker: str) -> str:
    lines = [str(text.count("\n", 0, match.start(1)) + 1) for match in matches]
    return f"{marker} in line {', '.join(lines)}" if lines else f"no {marker}"
