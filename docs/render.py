"""Renders what Starlark files say about themselves as a page of the reference."""

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from docs.textproto import Message, parse

# What a type of attribute is called in BUILD files.
_TYPES = {
    "BOOLEAN": "bool",
    "INT": "int",
    "LABEL": "label",
    "LABEL_LIST": "list of labels",
    "LABEL_STRING_DICT": "dict of labels to strings",
    "NAME": "name",
    "STRING": "string",
    "STRING_DICT": "dict of strings to strings",
    "STRING_LIST": "list of strings",
}

_HEAD = """<!-- Made of the doc strings of the rules by `bazel run //docs:update`: edit those. -->

# {title}
"""


def render(title: str, modules: Iterable[Message]) -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD.format(title=title), *(block + "\n" for module in modules for block in _module(module))])


def _module(module: Message) -> Iterator[str]:
    file = module.text("file")
    yield f"## @slipway{file}"
    yield _prose(module.text("module_docstring"))
    for rule in module.all("rule_info"):
        yield _heading(rule.text("rule_name"), "test rule" if rule.text("test") else "rule")
        yield from _documented(rule, _attributes(rule))
    for function in module.all("func_info"):
        yield _heading(function.text("function_name"), "function")
        yield _signature(function)
        yield from _documented(function, map(_parameter, function.all("parameter")))
        for result in function.all("return"):
            yield f"Returns {_item(result.text('doc_string'))}"
    for provider in module.all("provider_info"):
        yield _heading(provider.text("provider_name"), "provider")
        fields = (_entry(each.text("name"), "", each.text("doc_string")) for each in provider.all("field_info"))
        yield from _documented(provider, fields)
    for extension in module.all("module_extension_info"):
        name = extension.text("extension_name")
        yield _heading(name, "module extension")
        yield _prose(extension.text("doc_string"))
        for tag in extension.all("tag_class"):
            yield f"#### {name}.{tag.text('tag_name')}"
            yield from _documented(tag, _attributes(tag))


def _heading(name: str, kind: str) -> str:
    return f"### {name} ({kind})"


def _documented(symbol: Message, entries: Iterable[str]) -> Iterator[str]:
    yield _prose(symbol.text("doc_string"))
    if listed := "\n".join(entries):
        yield listed


def _prose(documentation: str) -> str:
    """Text as Markdown. What authors write as a table, or indent by two, are items of a list."""
    text = re.sub(r"\n {16,}(?=\S)", " ", documentation.strip())
    text = re.sub(r"^(\S+) {2,}(?=\S)", r"* `\1`: ", text, flags=re.MULTILINE)
    return re.sub(r"^  (?=\S)", "* ", text, flags=re.MULTILINE)


def _attributes(symbol: Message) -> Iterator[str]:
    for attribute in symbol.all("attribute"):
        facts = [_TYPES[attribute.text("type")], _default(attribute)]
        if values := attribute.texts.get("values"):
            facts.append("one of " + ", ".join(values))
        yield _entry(attribute.text("name"), "; ".join(facts), attribute.text("doc_string"))


def _parameter(parameter: Message) -> str:
    facts = "" if parameter.text("name") in ("args", "kwargs") else _default(parameter)
    return _entry(parameter.text("name"), facts, parameter.text("doc_string"))


def _default(symbol: Message) -> str:
    return "required" if symbol.text("mandatory") == "true" else f"default `{symbol.text('default_value')}`"


def _entry(name: str, facts: str, documentation: str) -> str:
    return f"* `{name}`{f' ({facts})' if facts else ''}: {_item(documentation)}"


def _item(documentation: str) -> str:
    """Text within an item of a list: lines of it that follow belong to it."""
    return "\n  ".join(line.strip() for line in documentation.strip().splitlines())


def _signature(function: Message) -> str:
    parameters = [_with_stars(parameter) for parameter in function.all("parameter")]
    return f"```starlark\n{function.text('function_name')}({', '.join(parameters)})\n```"


def _with_stars(parameter: Message) -> str:
    name = parameter.text("name")
    return {"kwargs": "**kwargs", "args": "*args"}.get(name, name)


def main() -> None:
    """Render the files of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--title", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("extracts", type=Path, nargs="+")
    arguments = parser.parse_args()
    modules = [parse(extract.read_text(encoding="utf-8")) for extract in arguments.extracts]
    arguments.out.write_text(render(arguments.title, modules), encoding="utf-8")


if __name__ == "__main__":
    main()
