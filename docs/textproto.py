"""Protocol buffers in their text format, as far as Bazel's starlark_doc_extract writes it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_LINE = re.compile(r'(?P<end>\})|(?P<name>\w+)(?: \{(?P<open>)|: (?:"(?P<text>(?:[^"\\]|\\.)*)"|(?P<word>\S+)))')


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its fields by name, each of them a list, since any may be repeated."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    """Values that are text, numbers or names."""
    messages: dict[str, list["Message"]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The value of a field that is there once at most, else nothing."""
        return "".join(self.texts.get(name, ()))

    def all(self, name: str) -> list["Message"]:
        """The messages of a field."""
        return self.messages.get(name, [])


def parse(text: str) -> Message:
    """Read a message. Raises ValueError for a line that is none of the format."""
    return _message(enumerate(text.splitlines(), 1))


def _message(lines: Iterator[tuple[int, str]]) -> Message:
    message = Message()
    for number, line in lines:
        found = _LINE.fullmatch(line.strip())
        if not found:
            raise ValueError(f"line {number} of the extracted documentation is no field: {line!r}")
        if found["end"]:
            break
        if found["open"] is not None:
            message.messages.setdefault(found["name"], []).append(_message(lines))
        else:
            value = found["word"] if found["text"] is None else _unescaped(found["text"])
            message.texts.setdefault(found["name"], []).append(value)
    return message


def _unescaped(text: str) -> str:
    r"""What a text says: bytes beyond ASCII are written as `\303\244`."""
    plain = text.encode("latin-1", "backslashreplace").decode("unicode_escape")
    return plain.encode("latin-1").decode("utf-8")
