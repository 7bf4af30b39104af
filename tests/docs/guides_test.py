"""What the guides show is what is tested, and where they point to is something."""

import re
import textwrap
from pathlib import Path

import pytest

from tests.support.workspace import source_tree

DOCS = source_tree() / "docs"
PAGES = sorted(DOCS.glob("*.md"))
BLOCK = re.compile(r"`(?P<path>[^`\n]+)`:\n\n *```\w*\n(?P<text>.*?)```\n", re.DOTALL)
LINK = re.compile(r"\]\((?P<path>[^)#:]+)(?:#(?P<heading>[^)]+))?\)")


def test_each_block_of_adopting_is_a_part_of_the_consumer() -> None:
    guide = (DOCS / "adopting.md").read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(guide))
    assert 2 * len(blocks) == guide.count("```")
    for block in blocks:
        file = source_tree() / "tests" / "consumer" / block["path"]
        assert textwrap.dedent(block["text"]).strip() in file.read_text(encoding="utf-8"), block["path"]


@pytest.mark.parametrize("page", [source_tree() / "README.md", *PAGES], ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for link in LINK.finditer(page.read_text(encoding="utf-8")):
        target = page.parent / link["path"]
        assert target.exists(), f"{page.name}: {link['path']}"
        if link["heading"]:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert link["heading"] in [
                re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
            ]
