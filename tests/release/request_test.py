"""What can be asked for, and what contradicts itself."""

from typing import Any

import pytest

from release.errors import InvalidRequest
from release.request import Request
from release.version import Version
from tools.oci.errors import InvalidReference

V1 = Version(1, 0, 0)


@pytest.mark.parametrize("commit", ["abc123def", "ABC123D", "0123", "f" * 40, "0" * 64])
def test_a_commit_is_taken_as_it_is_given(commit: str) -> None:
    request = Request("app", commit=commit)
    assert request.commit == commit
    assert request.short_commit == commit[:7]


@pytest.mark.parametrize("commit", ["", "main", "HEAD", "abc", "0x12ab", "f" * 65, "abc123g", "--all", "abc1 23"])
def test_a_commit_that_is_not_hexadecimal_is_a_wrong_call(commit: str) -> None:
    with pytest.raises(InvalidRequest, match="not hexadecimal"):
        Request("app", V1, commit)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({}, "neither a VERSION nor a --commit"),
        ({"version": V1, "no_build": True}, "--no-build needs --commit"),
        ({"version": V1, "checkout": True}, "--checkout needs --commit"),
        ({"commit": "abc123def", "no_build": True, "rebuild": True}, "contradict"),
    ],
)
def test_contradicting_wishes_are_a_wrong_call(wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        Request(**{"app": "app", **wishes})


@pytest.mark.parametrize("registry", ["https://ghcr.io", "ghcr.io/acme", "ghcr", "ghcr.io:99999", ""])
def test_a_registry_is_a_host_and_a_port(registry: str) -> None:
    with pytest.raises(InvalidReference):
        Request("app", V1, registry=registry)
