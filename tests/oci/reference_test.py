"""Names of repositories, tags and digests, by the grammar of the distribution specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.oci.digest import digest_of, is_digest, matches
from tools.oci.errors import InvalidReference
from tools.oci.reference import Reference, Repository, check_registry, is_tag

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "registry", "path", "tag", "digest"),
    [
        ("localhost/app:v1", "localhost", "app", "v1", None),
        ("localhost:5000/app:v1", "localhost:5000", "app", "v1", None),
        ("127.0.0.1:5000/demo/hello_python:v1.0.0", "127.0.0.1:5000", "demo/hello_python", "v1.0.0", None),
        ("[::1]:5000/app:v1", "[::1]:5000", "app", "v1", None),
        ("[::1]/app:v1", "[::1]", "app", "v1", None),
        ("ghcr.io/acme/demo-app:_x", "ghcr.io", "acme/demo-app", "_x", None),
        (f"ghcr.io/a/b.c__d---e@{DIGEST}", "ghcr.io", "a/b.c__d---e", None, DIGEST),
        (f"ghcr.io/a:v1@{DIGEST}", "ghcr.io", "a", "v1", DIGEST),
        ("registry:80/a:" + "x" * 128, "registry:80", "a", "x" * 128, None),
        ("Registry.Example/a:V1", "Registry.Example", "a", "V1", None),
    ],
)
def test_a_reference_is_read_into_its_parts(
    text: str, registry: str, path: str, tag: str | None, digest: str | None
) -> None:
    reference = Reference.parse(text)
    assert reference == Reference(Repository(registry, path), tag, digest)
    assert str(reference) == text
    assert reference.target == (digest or tag)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app",
        "app:v1",
        "library/app:v1",  # Docker would ask its hub
        "localhost/app",  # neither tag nor digest
        "localhost/app:",
        "localhost/app@",
        "localhost/App:v1",
        "localhost/:v1",
        "localhost//a:v1",
        "localhost/a/:v1",
        "localhost/-a:v1",
        "localhost/a_:v1",
        "localhost/a___b:v1",
        "localhost/a..b:v1",
        "localhost/../a:v1",
        "localhost/a:.v1",
        "localhost/a:-v1",
        "localhost/a:v1:v2",
        "localhost/a:v+1",
        "localhost/a:" + "x" * 129,
        "localhost/a:v1\n",
        "localhost/a\u00e4:v1",
        "localhost/a:v\u0661",
        "localhost/a@sha256:" + "a" * 63,
        "localhost/a@sha256:" + "A" * 64,
        "localhost/a@md5:" + "a" * 32,
        f"localhost/a@{DIGEST}@{DIGEST}",
        "https://localhost/a:v1",
        "user@localhost/a:v1",
        "localhost:0/a:v1",
        "localhost:65536/a:v1",
        "localhost:x/a:v1",
        "-a.example/a:v1",
        "a..example/a:v1",
        "ex ample.org/a:v1",
        "a.example/" + "x" * 250 + ":v1",
    ],
)
def test_what_is_no_reference_is_refused_with_what_why_and_what_to_do(text: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        Reference.parse(text)
    assert caught.value.what
    assert caught.value.why
    assert "HOST[:PORT]/PATH" in caught.value.remedy


def test_a_repository_makes_references() -> None:
    repository = Repository.parse("localhost:5000/demo/app")
    assert str(repository.tag("v1")) == "localhost:5000/demo/app:v1"
    assert str(repository.digest(DIGEST)) == f"localhost:5000/demo/app@{DIGEST}"


def test_a_registry_is_a_host_and_nothing_more() -> None:
    assert check_registry("ghcr.io") == "ghcr.io"
    for text in ("", "ghcr", "ghcr.io/", "https://ghcr.io", "ghcr.io/acme"):
        with pytest.raises(InvalidReference):
            check_registry(text)


REGISTRIES = st.from_regex(r"\A[a-z]([a-z0-9-]{0,8}[a-z0-9])?\.[a-z]{2,5}(:[1-9][0-9]{0,3})?\Z")
PATHS = st.from_regex(r"\A[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}(/[a-z0-9]{1,5}){0,3}\Z")
TAGS = st.from_regex(r"\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\Z")
DIGESTS = st.binary().map(digest_of)


@given(REGISTRIES, PATHS, st.none() | TAGS, st.none() | DIGESTS)
def test_every_reference_that_is_written_is_read_back(
    registry: str, path: str, tag: str | None, digest: str | None
) -> None:
    if tag is None and digest is None:
        return
    reference = Reference(Repository(registry, path), tag, digest)
    assert Reference.parse(str(reference)) == reference


@given(st.text())
def test_a_text_is_either_read_whole_or_refused(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except InvalidReference:
        return
    assert str(reference) == text


@given(st.text())
def test_a_tag_is_what_a_reference_takes_as_one(text: str) -> None:
    try:
        Repository("localhost", "a").tag(text)
    except InvalidReference:
        assert not is_tag(text)
    else:
        assert is_tag(text)


@given(st.binary(), st.sampled_from(["sha256", "sha512"]))
def test_content_matches_its_own_digest_only(content: bytes, algorithm: str) -> None:
    digest = digest_of(content, algorithm)
    assert is_digest(digest)
    assert matches(content, digest)
    assert not matches(content + b"x", digest)


def test_what_only_looks_like_a_digest_is_none() -> None:
    for text in ("", "sha256:", "sha256:" + "g" * 64, "sha512:" + "a" * 64, DIGEST + "\n", DIGEST.upper()):
        assert not is_digest(text)
