"""Names of repositories and of what lies in them (distribution-spec, "Pulling manifests").

The registry is always written out: `registry.example/team/app:v1`. Docker's short names (`alpine`) are not expanded,
since a release that goes to a registry nobody named is worse than an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tools.oci.digest import is_digest
from tools.oci.errors import InvalidReference

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", re.ASCII)
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]+\])(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)
_MAX_NAME = 255
"""Characters of registry, slash and path together (distribution-spec: many clients limit the name to 255)."""


def is_tag(text: str) -> bool:
    """Whether `text` is a tag: at most 128 letters, digits, `_`, `.`, `-`, the first not `.` or `-`."""
    return _TAG.fullmatch(text) is not None


def check_registry(text: str) -> str:
    """Return `text` if it is `HOST[:PORT]`; raise InvalidReference otherwise.

    As with Docker, a host has a dot or a port or is `localhost`: a bare word would be a path elsewhere.
    """
    match = _REGISTRY.fullmatch(text)
    if match is None or (match["port"] is not None and not 0 < int(match["port"]) < 65536):
        raise _invalid(text, "registry", "a registry is HOST or HOST:PORT, without https:// and without a path")
    if not ("." in text or ":" in text or text == "localhost"):
        raise _invalid(text, "registry", "a registry's host has a dot or a port, or is localhost")
    return text


def _invalid(text: str, kind: str, why: str) -> InvalidReference:
    return InvalidReference(
        f"{text!r} is not a {kind}", why, "Write it as HOST[:PORT]/PATH[:TAG][@DIGEST], e.g. ghcr.io/acme/app:v1.0.0."
    )


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A repository, `HOST[:PORT]/PATH`. Raises InvalidReference when it is none."""

    registry: str
    path: str

    def __post_init__(self) -> None:
        check_registry(self.registry)
        if _PATH.fullmatch(self.path) is None:
            raise _invalid(
                str(self), "repository", "a path is lower-case letters and digits, joined by . _ __ - and parted by /"
            )
        if len(str(self)) > _MAX_NAME:
            raise _invalid(str(self), "repository", f"it is longer than {_MAX_NAME} characters")

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}"

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Read `HOST[:PORT]/PATH`."""
        registry, slash, path = text.partition("/")
        if not slash:
            raise _invalid(text, "repository", "it has no path after the registry")
        return cls(registry, path)

    def tag(self, tag: str) -> Reference:
        """The reference of a tag here."""
        return Reference(self, tag=tag)

    def digest(self, digest: str) -> Reference:
        """The reference of a digest here."""
        return Reference(self, digest=digest)


@dataclass(frozen=True, slots=True)
class Reference:
    """A manifest in a repository, by tag, by digest or (the digest then decides) by both."""

    repository: Repository
    tag: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        if self.tag is None and self.digest is None:
            raise _invalid(str(self.repository), "reference", "it has neither a tag nor a digest")
        if self.tag is not None and not is_tag(self.tag):
            raise _invalid(str(self), "reference", f"{self.tag!r} is not a tag")
        if self.digest is not None and not is_digest(self.digest):
            raise _invalid(str(self), "reference", f"{self.digest!r} is not a digest")

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.repository}{tag}{digest}"

    @property
    def target(self) -> str:
        """What a URL asks for: the digest, else the tag."""
        return self.digest or self.tag or ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read `HOST[:PORT]/PATH[:TAG][@DIGEST]`, with at least one of tag and digest."""
        name, at, digest = text.partition("@")
        head, slash, last = name.rpartition("/")
        last, colon, tag = last.partition(":")
        return cls(Repository.parse(f"{head}{slash}{last}"), tag=tag if colon else None, digest=digest if at else None)
