"""Versions: what is one, and which is newer."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.errors import Exit, InvalidRequest
from release.version import Bump, Version


@pytest.mark.parametrize(
    "text",
    ["v0.0.0", "v1.0.0", "v10.20.30", "v1.0.0-beta1", "v1.0.0-rc.1", "v1.0.0-0", "v1.0.0-a-b.c-d", "v1.0.0-0a"],
)
def test_a_version_is_written_as_it_was_read(text: str) -> None:
    assert str(Version.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "1.0.0", "v1", "v1.0", "v1.0.0.0", "V1.0.0", "v1.0.0 ", " v1.0.0", "v1.0.0\n", "v-1.0.0", "latest"),
        *("v01.0.0", "v1.00.0", "v1.0.0-", "v1.0.0-a..b", "v1.0.0-01", "v1.0.0+build", "v1.0.0-ä", "v١.0.0"),
        "v1.0.0-" + "x" * 128,
    ],
)
def test_anything_else_is_a_wrong_call_with_the_expected_form(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Version.parse(text)
    assert caught.value.exit_status == Exit.USAGE
    assert str(caught.value).startswith(
        f"Version {text!r} does not follow semantic versioning format: "
        "Expected format: v{major}.{minor}.{patch} (e.g., v1.0.0, v2.1.3, v1.0.0-beta1)"
    )


def test_versions_are_in_the_order_of_the_specification() -> None:
    ordered = [
        *("v0.9.10", "v1.0.0-1", "v1.0.0-2", "v1.0.0-10", "v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-alpha.beta"),
        *("v1.0.0-beta", "v1.0.0-beta.2", "v1.0.0-beta.11", "v1.0.0-rc.1", "v1.0.0", "v1.0.1", "v1.2.0", "v1.10.0"),
        *("v2.0.0-rc1", "v2.0.0", "v10.0.0"),
    ]
    shuffled = random.Random(1).sample(ordered, len(ordered))
    assert [str(version) for version in sorted(map(Version.parse, shuffled))] == ordered


@pytest.mark.parametrize(
    ("version", "major", "minor", "patch"),
    [
        ("v1.2.3", "v2.0.0", "v1.3.0", "v1.2.4"),
        ("v0.0.0", "v1.0.0", "v0.1.0", "v0.0.1"),
        ("v1.2.3-rc.1", "v2.0.0", "v1.3.0", "v1.2.3"),
        ("v1.3.0-rc.1", "v2.0.0", "v1.3.0", "v1.3.0"),
        ("v2.0.0-rc.1", "v2.0.0", "v2.0.0", "v2.0.0"),
    ],
)
def test_the_next_version_is_the_one_that_a_pre_release_announces_or_a_greater_one(
    version: str, major: str, minor: str, patch: str
) -> None:
    assert [str(Version.parse(version).next(bump)) for bump in Bump] == [major, minor, patch]


numbers = st.integers(0, 10**6)
identifiers = st.one_of(numbers.map(str), st.from_regex(r"[0-9a-zA-Z-]{0,5}[a-zA-Z-]", fullmatch=True))
versions = st.builds(Version, numbers, numbers, numbers, st.lists(identifiers, max_size=3).map(".".join))


@given(versions)
def test_every_version_survives_being_written_and_read(version: Version) -> None:
    assert Version.parse(str(version)) == version


@given(versions, versions)
def test_of_two_versions_exactly_one_is_newer_unless_they_are_the_same(one: Version, other: Version) -> None:
    assert (one < other) + (other < one) + (one == other) == 1


@given(versions, st.sampled_from(Bump))
def test_the_next_version_is_newer_and_no_pre_release(version: Version, bump: Bump) -> None:
    following = version.next(bump)
    assert version < following
    assert not following.pre
