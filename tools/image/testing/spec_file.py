"""The YAML (or JSON) of an image test, read strictly: whatever it does not know is an error with file and line.

Values are read from the text of the file and not from what YAML makes of it: `mode: 0755`, `owner: 10:20` and
`user: 010` mean what they look like.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml

from tools.image.testing.filesystem import Glob
from tools.image.testing.spec import (
    EVERYTHING_ELSE,
    AbsentCheck,
    Command,
    FileCheck,
    NamedValue,
    OnlyCheck,
    Setting,
    Spec,
    Table,
    Text,
    Words,
)

_Value = TypeVar("_Value")


class SpecError(Exception):
    """A specification that cannot be used; the message has a line for each thing that is wrong."""


def parse_spec(text: str, name: str) -> Spec:
    """Reads a specification.

    Args:
      text: YAML.
      name: what the file is called in messages.

    Raises:
      SpecError: it is no YAML, or says something that cannot be.
    """
    try:
        # Composed, not constructed: the nodes know on which line they stand, and what was written there.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{name}:{line}: this is not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{name}: this is not YAML: {error}") from None
    spec = _Reader(name).spec(root) if root else Spec()
    if spec == Spec():
        raise SpecError(f"{name}: this asks for nothing, so nothing could fail. Known keys: {', '.join(_SPEC_KEYS)}.")
    return spec


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads nodes of one file."""

    file: str

    def spec(self, node: yaml.Node) -> Spec:
        return Spec(**self._mapping(node, "the file", {key: getattr(self, "_" + key) for key in _SPEC_KEYS}))

    def _platforms(self, node: yaml.Node) -> tuple[tuple[str, ...], str]:
        return self._platform_names(node), self._where(node)

    def _files(self, node: yaml.Node) -> tuple[FileCheck, ...]:
        return tuple(self._table(node, "files", self._file).values())

    def _file(self, path: str, key: yaml.Node, node: yaml.Node) -> FileCheck:
        self._absolute(path, key)
        fields = {} if _is_null(node) else self._mapping(node, path, {
            "exists": self._yes_or_no,
            "kind": lambda node: self._one_of(node, ("file", "directory", "symlink")),
            "mode": self._mode,
            "owner": self._owner,
            "size": self._size,
            "content": self._text,
            "sha256": lambda node: self._pattern(node, r"[0-9a-f]{64}", "64 hexadecimal digits"),
            "target": self._word,
            "platforms": self._platform_names,
        })  # fmt: skip
        if "size" in fields:
            fields["min_size"], fields["max_size"] = fields.pop("size")
        facts = fields.keys() - {"exists", "platforms"}
        if fields.get("exists") is False and facts:
            raise self._error(key, f"{path} cannot be expected not to exist and to have {' and '.join(sorted(facts))}")
        if "target" in fields and fields.setdefault("kind", "symlink") != "symlink":
            raise self._error(key, f"{path} has a target, so its kind is symlink")
        if fields.get("kind") == "symlink" and (other := facts - {"kind", "target", "owner"}):
            raise self._error(
                key,
                f"{path} is a symlink, which has no {' or '.join(sorted(other))}; "
                "leave out kind and target to follow it",
            )
        return FileCheck(path, self._where(key), **fields)

    def _absent(self, node: yaml.Node) -> tuple[AbsentCheck, ...]:
        return tuple(AbsentCheck(self._glob(item), self._where(item)) for item in self._sequence(node))

    def _only(self, node: yaml.Node) -> tuple[OnlyCheck, ...]:
        return tuple(self._table(node, "only", self._only_in).values())

    def _only_in(self, folder: str, key: yaml.Node, node: yaml.Node) -> OnlyCheck:
        self._absolute(folder, key)
        items = self._sequence(node)
        for item in items:
            if self._word(item).startswith("/"):
                raise self._error(item, f"{item.value!r} begins with a slash; patterns here are relative to {folder}")
        return OnlyCheck(folder, tuple(self._glob(item) for item in items), self._where(key))

    def _config(self, node: yaml.Node) -> tuple[Setting, ...]:
        readers = {
            "user": self._text,
            "workdir": self._text,
            "stop_signal": self._text,
            "entrypoint": lambda node: Words(self._words(node)),
            "cmd": lambda node: Words(self._words(node)),
            "exposed_ports": self._ports,
            "env": self._names,
            "labels": self._names,
        }
        return self._settings(node, "config", readers)

    def _annotations(self, node: yaml.Node) -> tuple[Setting, ...]:
        return self._settings(node, "annotations", {"manifest": self._names, "index": self._names})

    def _settings(
        self, node: yaml.Node, name: str, readers: Mapping[str, Callable[[yaml.Node], Any]]
    ) -> tuple[Setting, ...]:
        def reader(key: str) -> Callable[[yaml.Node], Setting]:
            return lambda node: Setting(key, None if _is_null(node) else readers[key](node), self._where(node))

        return tuple(self._mapping(node, name, {key: reader(key) for key in readers}).values())

    def _names(self, node: yaml.Node) -> Table:
        def value(name: str, key: yaml.Node, node: yaml.Node) -> NamedValue:
            if name == EVERYTHING_ELSE and not _is_null(node):
                raise self._error(key, f"{name!r} can only be null, which says that there are no other names")
            return NamedValue(name, None if _is_null(node) else self._text(node), self._where(key))

        return Table(tuple(self._table(node, "a table of names", value).values()))

    def _commands(self, node: yaml.Node) -> tuple[Command, ...]:
        return tuple(self._command(item) for item in self._sequence(node))

    def _command(self, node: yaml.Node) -> Command:
        fields = self._mapping(node, "a command", {
            "args": self._words,
            "entrypoint": self._words,
            "env": lambda node: self._table(node, "env", lambda name, key, node: self._word(node)),
            "exit": self._number,
            "stdout": self._text,
            "stderr": self._text,
            "timeout": self._seconds,
            "platforms": self._platform_names,
        })  # fmt: skip
        return Command(fields.pop("args", ()), self._where(node), **fields)

    def _text(self, node: yaml.Node) -> Text:
        if isinstance(node, yaml.ScalarNode):
            return Text(equals=self._word(node))
        fields = self._mapping(node, "a text", {
            "equals": self._word,
            "contains": self._word_or_words,
            "matches": lambda node: tuple(map(self._regex, self._items(node))),
        })  # fmt: skip
        if not fields:
            raise self._error(node, "this expects nothing; give equals, contains or matches")
        return Text(**fields)

    def _regex(self, node: yaml.Node) -> re.Pattern[str]:
        try:
            return re.compile(self._word(node), re.MULTILINE)
        except re.error as error:
            raise self._error(node, f"{node.value!r} is not a regular expression: {error}") from None

    def _glob(self, node: yaml.Node) -> Glob:
        try:
            return Glob(self._word(node))
        except ValueError as error:
            raise self._error(node, str(error)) from None

    def _mode(self, node: yaml.Node) -> int:
        return int(self._pattern(node, r"(0o?)?[0-7]{3,4}", 'permission bits, such as "0644"').replace("o", ""), 8)

    def _owner(self, node: yaml.Node) -> tuple[int, int]:
        uid, gid = self._pattern(node, r"\d+:\d+", "numbers of user and group, such as 0:0").split(":")
        return int(uid), int(gid)

    def _size(self, node: yaml.Node) -> tuple[int | None, int | None]:
        if isinstance(node, yaml.ScalarNode):
            size = self._number(node)
            return size, size
        limits = self._mapping(node, "size", {"min": self._number, "max": self._number})
        return limits.get("min"), limits.get("max")

    def _number(self, node: yaml.Node) -> int:
        return int(self._pattern(node, r"\d+", "a whole number"))

    def _seconds(self, node: yaml.Node) -> float:
        seconds = float(self._pattern(node, r"\d+(\.\d+)?", "a number of seconds"))
        if not seconds:
            raise self._error(node, "a command needs more than 0 seconds")
        return seconds

    def _yes_or_no(self, node: yaml.Node) -> bool:
        return self._one_of(node, ("true", "false")) == "true"

    def _ports(self, node: yaml.Node) -> Words:
        # As the configuration has them (config.md): the protocol may be left out.
        ports = [self._pattern(item, r"\d+(/(tcp|udp))?", "a port, such as 8080/tcp") for item in self._sequence(node)]
        return Words(tuple(sorted({port if "/" in port else f"{port}/tcp" for port in ports})))

    def _platform_names(self, node: yaml.Node) -> tuple[str, ...]:
        names = [
            self._pattern(item, r"[^/]+/[^/]+(/[^/]+)?", "a platform, such as linux/arm64")
            for item in self._sequence(node)
        ]
        if not names:
            raise self._error(node, "a list of no platforms; leave it out to mean all of them")
        return tuple(names)

    def _one_of(self, node: yaml.Node, words: tuple[str, ...]) -> str:
        word = self._word(node)
        if word not in words:
            raise self._error(node, f"{word!r} is none of {', '.join(words)}")
        return word

    def _pattern(self, node: yaml.Node, regex: str, what: str) -> str:
        word = self._word(node)
        if not re.fullmatch(regex, word):
            raise self._error(node, f"{word!r} is not {what}")
        return word

    def _word_or_words(self, node: yaml.Node) -> tuple[str, ...]:
        return tuple(map(self._word, self._items(node)))

    def _words(self, node: yaml.Node) -> tuple[str, ...]:
        return tuple(map(self._word, self._sequence(node)))

    def _word(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or _is_null(node):
            raise self._error(node, "a text is expected here")
        return str(node.value)

    def _items(self, node: yaml.Node) -> list[yaml.Node]:
        """The nodes of a list, or the one node that stands for a list of one."""
        return [node] if isinstance(node, yaml.ScalarNode) else self._sequence(node)

    def _sequence(self, node: yaml.Node) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            raise self._error(node, "a list is expected here")
        return list(node.value)

    def _absolute(self, path: str, node: yaml.Node) -> None:
        if not path.startswith("/"):
            raise self._error(node, f"{path!r} is not an absolute path; it begins with a slash")

    def _mapping(self, node: yaml.Node, name: str, keys: Mapping[str, Callable[[yaml.Node], Any]]) -> dict[str, Any]:
        """Reads a mapping by a table of its keys, other keys being errors."""

        def value(key: str, key_node: yaml.Node, value_node: yaml.Node) -> Any:
            if key in keys:
                return keys[key](value_node)
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
            question = f"Did you mean {near[0]}? " if near else ""
            raise self._error(key_node, f"unknown key {key!r} in {name}. {question}Known are {', '.join(keys)}")

        return self._table(node, name, value)

    def _table(
        self, node: yaml.Node, name: str, read: Callable[[str, yaml.Node, yaml.Node], _Value]
    ) -> dict[str, _Value]:
        """Reads a mapping of any names. What is wrong with one of them does not hide what is wrong with the others."""
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, f"{name} has to be a mapping of names to values")
        values: dict[str, _Value] = {}
        seen: set[str] = set()
        errors = []
        for key_node, value_node in node.value:
            try:
                key = self._word(key_node)
                if key in seen:
                    raise self._error(key_node, f"{key!r} is there twice in {name}")
                seen.add(key)
                values[key] = read(key, key_node, value_node)
            except SpecError as error:
                errors.append(str(error))
        if errors:
            raise SpecError("\n".join(errors))
        return values

    def _where(self, node: yaml.Node) -> str:
        return f"{self.file}:{node.start_mark.line + 1}"

    def _error(self, node: yaml.Node, why: str) -> SpecError:
        return SpecError(f"{self._where(node)}: {why}.")


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


_SPEC_KEYS = ("platforms", "files", "absent", "only", "config", "annotations", "commands")
