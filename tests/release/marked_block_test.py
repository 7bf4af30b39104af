"""Between the markers is ours; all else stays as it is, byte for byte."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from release.errors import Refused
from release.marked_block import BEGIN, END, put_block

BLOCK = f"{BEGIN}\nnew\nlines\n{END}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{BLOCK}\n"),
        ("# Notes", f"# Notes\n\n{BLOCK}\n"),
        ("# Notes\n", f"# Notes\n\n{BLOCK}\n"),
        ("# Notes\n\n", f"# Notes\n\n{BLOCK}\n"),
        ("\ufeff", f"\ufeff{BLOCK}\n"),
        (f"a\n{BEGIN}\nold\n{END}\nb", f"a\n{BLOCK}\nb"),
        (f"{BEGIN}\n{END}", BLOCK),
        (f"\ufeff{BEGIN}\n{END}", f"\ufeff{BLOCK}"),
        (f"  {BEGIN}  \nold\n\t{END} \n", f"  {BLOCK} \n"),
        (f"The markers are `{BEGIN}` and {END}.\n", f"The markers are `{BEGIN}` and {END}.\n\n{BLOCK}\n"),
    ],
)
def test_the_block_is_put_between_the_markers_or_at_the_end(before: str, after: str) -> None:
    assert put_block(before, "new\nlines", "NOTES.md") == after
    assert put_block(after, "new\nlines", "NOTES.md") == after


@pytest.mark.parametrize(
    "before", ["# Notes\r\n\r\nText", "# Notes\r\nText\r\n\r\n", f"a\r\n{BEGIN}\r\nold\r\n{END}\r\nb\r\n"]
)
def test_a_text_with_the_line_ends_of_windows_keeps_to_them(before: str) -> None:
    after = put_block(before, "new\nlines", "NOTES.md")
    assert BLOCK.replace("\n", "\r\n") in after
    assert "\n" not in after.replace("\r\n", "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{BEGIN}\nold\n", f"{BEGIN} in line 1, no {END}"),
        (f"a\n\n{END}\n", f"no {BEGIN}, {END} in line 3"),
        (f"{END}\n{BEGIN}\n", f"{BEGIN} in line 2, {END} in line 1"),
        (f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n", f"{BEGIN} in line 1, 3, {END} in line 2, 4"),
        (f"{BEGIN}\r\n{BEGIN}\r\n{END}\r\n", f"{BEGIN} in line 1, 2, {END} in line 3"),
    ],
)
def test_markers_that_are_not_one_pair_are_an_error(text: str, why: str) -> None:
    with pytest.raises(Refused, match=r"^Cannot tell what to replace in NOTES\.md: ") as caught:
        put_block(text, "new", "NOTES.md")
    assert why in caught.value.why


@given(st.text(), st.text(), st.sampled_from(["\n", "\r\n"]))
@example("a\r", "\nb", "\n")
def test_whatever_is_around_it_stays(before: str, behind: str, newline: str) -> None:
    text = f"{before}{newline}{BEGIN}{newline}old{newline}{END}{newline}{behind}"
    once = put_block(text, "new", "NOTES.md")
    assert once.startswith(before + newline + BEGIN)
    assert once.endswith(END + newline + behind)
    assert put_block(once, "new", "NOTES.md") == once
    added = put_block(before, "new", "NOTES.md")
    assert added.startswith(before)
    assert put_block(added, "new", "NOTES.md") == added
