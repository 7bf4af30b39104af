"""The reference is that of the rules as they are, and says something of everything."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.textproto import Message, parse

TOP = Path(__file__).parents[2]
PAGES = sorted(page.name for page in (TOP / "docs").glob("*.md"))
EXTRACTS = sorted((TOP / "docs").glob("*.textproto"))
# What a macro hands on has the documentation of where it goes.
KINDS = {
    "rule_info": ("rule_name", "attribute"),
    "func_info": ("function_name", "parameter"),
    "provider_info": ("provider_name", "field_info"),
    "module_extension_info": ("extension_name", "tag_class"),
}


def undocumented(symbols: list[Message], name: str, parts: str) -> Iterator[str]:
    """The names of what has no documentation among these symbols and their parts."""
    for symbol in symbols:
        if not symbol.text("doc_string"):
            yield symbol.text(name)
        for part in symbol.all(parts):
            own = part.text("name") or part.text("tag_name")
            if not part.text("doc_string"):
                yield f"{symbol.text(name)}.{own}"
            yield from (
                f"{symbol.text(name)}.{own}.{attribute.text('name')}"
                for attribute in part.all("attribute")
                if not attribute.text("doc_string")
            )


def test_there_is_a_page_for_each_folder_of_rules() -> None:
    assert PAGES == ["debian.md", "image.md", "pip.md", "platforms.md", "release.md"]
    assert len(EXTRACTS) == 9


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_up_to_date(page: str) -> None:
    checked_in = TOP / "docs" / "reference" / page
    assert checked_in.is_file(), f"docs/reference/{page} is missing. Run `bazel run //docs:update`, and commit it."
    assert checked_in.read_text(encoding="utf-8") == (TOP / "docs" / page).read_text(encoding="utf-8"), (
        f"docs/reference/{page} is not what the rules say. Run `bazel run //docs:update`, and commit it."
    )


@pytest.mark.parametrize("extract", EXTRACTS, ids=lambda extract: extract.stem)
def test_everything_public_is_documented(extract: Path) -> None:
    module = parse(extract.read_text(encoding="utf-8"))
    assert module.text("module_docstring")
    for kind, (name, parts) in KINDS.items():
        assert list(undocumented(module.all(kind), name, parts)) == []


@pytest.mark.parametrize("extract", EXTRACTS, ids=lambda extract: extract.stem)
def test_every_name_of_a_file_is_in_its_documentation(extract: Path) -> None:
    """Constants have no doc strings: the file's own has to name them."""
    module = parse(extract.read_text(encoding="utf-8"))
    file = module.text("file").removeprefix("//").replace(":", "/")
    names = re.findall(r"^([A-Za-z]\w*) = ", (TOP / file).read_text(encoding="utf-8"), re.MULTILINE)
    assert names
    described = {symbol.text(name) for kind, (name, _) in KINDS.items() for symbol in module.all(kind)}
    described |= set(re.findall(r"\w+", module.text("module_docstring")))
    assert set(names) - described == set()
