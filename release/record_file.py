"""Reading release records (`release --json`). They may come from anywhere: nothing in them is taken on trust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from release.errors import InvalidRequest
from release.record import SCHEMA
from release.version import Version
from tools.oci.digest import is_digest
from tools.oci.errors import InvalidReference
from tools.oci.reference import Repository, is_tag

Kind = TypeVar("Kind")

_KINDS = {str: "a text", bool: "true or false", list: "a list", dict: "a mapping"}


@dataclass(frozen=True, slots=True)
class Place:
    """A repository in which the tag of a version was seen to name a digest. `registry` is the configuration's word."""

    registry: str
    repository: Repository
    tag: str
    digest: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A further registry that does not have the image, and why."""

    registry: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordedRelease:
    """An entry of a record."""

    source: str
    """The file it is of."""
    app: str
    version: Version | None
    dry_run: bool
    places: tuple[Place, ...] = ()
    """Where the image is, the first registry first; none where the release failed."""
    missing: tuple[Missing, ...] = ()
    error: str | None = None
    """Why the release failed."""


def read_record(text: str, source: str) -> tuple[RecordedRelease, ...]:
    """Read a record. Raises InvalidRequest where it is none, or does not say what it has to say."""
    try:
        document = _Fields(json.loads(text), "")
        schema = document.take("schema", int)
        if schema != SCHEMA:
            raise _Malformed(f"its schema is {schema}, and this program knows {SCHEMA}")
        entries = document.take("releases", list)
        return tuple(_read_release(_Fields(entry, f"releases[{i}]"), source) for i, entry in enumerate(entries))
    except InvalidReference as error:
        why = f"{error.what}: {error.why}"
    except RecursionError:
        why = "it is nested too deeply"
    except (_Malformed, ValueError) as error:
        why = str(error)
    raise InvalidRequest(f"Cannot use {source}", why, "Name files that `release --json` has written.")


class _Malformed(Exception):
    """What is wrong with a record."""


@dataclass(frozen=True, slots=True)
class _Fields:
    """A mapping of a document. What is taken out of it is of the kind that is asked for."""

    value: Any
    path: str

    def __post_init__(self) -> None:
        if not isinstance(self.value, Mapping):
            raise _Malformed(f"{self.path or 'it'} is not a mapping")

    def take(self, key: str, kind: type[Kind]) -> Kind:
        """What is there. Raises _Malformed where it is something else."""
        value = self.value.get(key)
        if type(value) is not kind:
            raise _Malformed(f"{self.at(key)} is not {_KINDS.get(kind, 'a number')}")
        return value

    def fields(self, key: str) -> _Fields | None:
        """The mapping there, or None for null. Raises _Malformed where the key is missing."""
        if key not in self.value:
            raise _Malformed(f"{self.at(key)} is missing")
        value = self.value[key]
        return None if value is None else _Fields(value, self.at(key))

    def at(self, key: str) -> str:
        """How a value is called in messages."""
        return f"{self.path}.{key}" if self.path else key


def _read_release(entry: _Fields, source: str) -> RecordedRelease:
    app, version = entry.take("app", str), _read_version(entry)
    dry_run, error = entry.take("dry_run", bool), entry.fields("error")
    if dry_run or version is None or "digest" not in entry.value:
        if error is None and "digest" not in entry.value:
            raise _Malformed(f"{entry.path} has neither a digest nor an error")
        return RecordedRelease(source, app, version, dry_run, error=_reason(error) if error else None)
    copies = [_Fields(copy, f"{entry.path}.copies[{i}]") for i, copy in enumerate(entry.take("copies", list))]
    failed = [(copy, why) for copy in copies if (why := copy.fields("error")) is not None]
    if error is not None and not any(copy.take("required", bool) for copy, _ in failed):
        # Of nobody knows what: then nothing is taken for published.
        return RecordedRelease(source, app, version, dry_run, error=_reason(error))
    first = _read_place(entry, Repository.parse(entry.take("repository", str)).registry)
    others = [_read_place(copy, copy.take("registry", str)) for copy in copies if copy.fields("error") is None]
    missing = tuple(Missing(copy.take("registry", str), _reason(why)) for copy, why in failed)
    return RecordedRelease(source, app, version, dry_run, (first, *others), missing)


def _read_version(entry: _Fields) -> Version | None:
    if "version" in entry.value and entry.value["version"] is None:
        return None
    version = Version.find(entry.take("version", str))
    if version is None:
        raise _Malformed(f"{entry.at('version')} is not a version")
    return version


def _read_place(fields: _Fields, registry: str) -> Place:
    """A repository, if its version tag was seen to name the image."""
    digest = fields.take("digest", str)
    if not is_digest(digest):
        raise _Malformed(f"{fields.at('digest')} is not a digest")
    repository = Repository.parse(fields.take("repository", str))
    for i, value in enumerate(fields.take("tags", list)):
        tag = _Fields(value, f"{fields.at('tags')}[{i}]")
        if tag.take("kind", str) == "version":
            name = tag.take("tag", str)
            if not is_tag(name):
                raise _Malformed(f"{tag.at('tag')} is not a tag")
            if tag.take("after", str) == digest and tag.take("step", str) in ("write", "already"):
                return Place(registry, repository, name, digest)
            raise _Malformed(f"{tag.path}: the version's tag was not seen to name the image")
    raise _Malformed(f"{fields.at('tags')} has no tag of the version")


def _reason(error: _Fields) -> str:
    return f"{error.take('what', str)}: {error.take('why', str)}"
