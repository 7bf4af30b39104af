"""An artifact: images that were built once, in a file, with a record of what they are.

It is an OCI image layout, whose index has the image of each app under its name, and beside that `slipway.json`. A
layout that comes from somewhere else is hostile until all of it was read: see `open_artifact`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from release.app import App
from release.built_image import BuiltImage
from release.config import Config
from release.errors import ReleaseError
from release.provenance import Source
from tools.oci.digest import is_digest
from tools.oci.layout import REF_NAME, Open, write_layout_archive, write_layout_directory
from tools.oci.manifest import Descriptor, ImageIndex, ImageManifest, Platform, parse_manifest
from tools.oci.parallel import run_all
from tools.oci.stored_layout import InvalidLayout, StoredLayout, open_layout, read_json

RECORD = "slipway.json"
"""The file of the layout that has the record."""

SCHEMA = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PRINTABLE = re.compile(r"[!-~]+")
_COMMIT = re.compile(r"[0-9a-fA-F]{4,64}")
_WHOLE_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class AppImage:
    """An app, and the digest of its image index."""

    app: App
    digest: str


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """What an artifact holds."""

    commit: str
    """As it was given: the commit's tag is written so."""
    source: Source
    """The commit by its whole name, and where it comes from."""
    images: tuple[AppImage, ...]
    """In the order of the apps' names."""

    def to_json(self) -> str:
        """The record as a document. Nothing in it differs between two builds of one commit from one remote."""
        apps = [
            {
                "app": each.app.name,
                "domain": each.app.domain,
                "image": each.app.image,
                "metadata": each.app.label,
                "digest": each.digest,
                "platforms": [str(platform) for platform in each.app.platforms],
            }
            for each in self.images
        ]
        source = {"commit": self.source.commit, "uri": self.source.uri}
        document = {"schema": SCHEMA, "commit": self.commit, "source": source, "apps": apps}
        return json.dumps(document, indent=2) + "\n"


def write_artifact(record: ArtifactRecord, images: Sequence[BuiltImage], out: Path) -> int:
    """Write an artifact, whole or not at all, and return how many bytes its blobs have.

    Args:
        record: what it holds.
        images: of the record's apps, in its order.
        out: a tar archive if it ends in `.tar`, else a folder, which must not be there or be empty.

    Raises:
        ReleaseError: it cannot be written.
        OciError: what was built is not whole.
    """
    entries = [
        replace(image.manifest.descriptor, annotations={REF_NAME: each.app.full_name})
        for each, image in zip(record.images, images, strict=True)
    ]
    blobs: dict[str, Open] = {}
    preparations: list[Callable[[], None]] = []
    size = 0
    for image in images:
        parts = {part.digest: part for part in _parts(image) if part.digest not in blobs}
        preparations.append(partial(image.blobs.prepare, list(parts)))
        blobs |= {digest: partial(image.blobs.open, digest) for digest in parts}
        size += sum(part.size for part in parts.values())
    # Side by side: what Bazel has left in a remote cache is fetched by one call.
    run_all(preparations, at_once=len(preparations))
    more = {RECORD: record.to_json().encode()}
    try:
        with _beside(out) as place:
            if out.suffix == ".tar":
                with place.open("wb") as file:
                    write_layout_archive(entries, blobs, file, more)
            else:
                write_layout_directory(entries, blobs, place, more)
            place.replace(out)
    except OSError as error:
        raise ReleaseError(f"Cannot write {out}", str(error), "Name another --out, or make room there.") from None
    return size


def _parts(image: BuiltImage) -> Iterator[Descriptor]:
    """All that an image consists of, itself included."""
    yield image.manifest.descriptor
    for child in image.manifest.manifests if isinstance(image.manifest, ImageIndex) else ():
        yield child
        manifest = parse_manifest(image.blobs.read(child.digest), child.media_type, f"built manifest {child.digest}")
        yield from manifest.blobs if isinstance(manifest, ImageManifest) else ()


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A place in the same folder, for what is not whole yet. What is left there in the end is removed."""
    place = out.with_name(f".{out.name}.part")
    _remove(place)  # What a killed build has left.
    try:
        yield place
    finally:
        _remove(place)


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        with suppress(FileNotFoundError):
            place.unlink()


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact that was read and is whole. It is a Workshop, whose images are there already, and their Builder."""

    record: ArtifactRecord
    layout: StoredLayout
    indexes: Mapping[str, ImageIndex]
    """By digest."""

    def digest(self, app: App) -> str:
        """Of an app's image."""
        return next(each.digest for each in self.record.images if each.app == app)

    def source(self, commit: str) -> Source:
        """What the record says of the commit, whichever repository this is."""
        return self.record.source

    def apps(self, config: Config) -> tuple[App, ...]:
        """See Workshop."""
        return tuple(each.app for each in self.record.images)

    def check_may_build(self, commit: str | None, checkout: bool) -> None:
        """See Workshop. Nothing is built, so nothing has to be refused."""

    @contextmanager
    def builder(self, commit: str | None, checkout: bool) -> Iterator[Artifact]:
        """See Workshop."""
        yield self

    def prepare(self, targets: Sequence[str]) -> Artifact:
        """See Builder."""
        return self

    def build(self, target: str) -> BuiltImage:
        """See Builder."""
        digest = next(each.digest for each in self.record.images if each.app.image == target)
        return BuiltImage(target, self.indexes[digest], self.layout)


def open_artifact(path: Path) -> Artifact:
    """Read an artifact, and see that it is whole: every blob is there and has its digest.

    Raises OciError: it is no image layout, no artifact, or not whole.
    """
    try:
        layout = open_layout(path)
        record = _read_record(layout)
        listed = sorted((entry.annotations.get(REF_NAME, ""), entry.digest) for entry in layout.entries)
        if listed != [(each.app.full_name, each.digest) for each in record.images]:
            raise _invalid(path, f"its index.json and its {RECORD} do not name the same images")
        indexes = {entry.digest: layout.read_index(entry) for entry in layout.entries}
    except OSError as error:
        raise _invalid(path, str(error)) from None
    for each in record.images:
        if sorted(indexes[each.digest].platforms) != sorted(each.app.platforms):
            raise _invalid(path, f"the platforms of {each.app.full_name} are not those that its {RECORD} names")
    return Artifact(record, layout, indexes)


def _read_record(layout: StoredLayout) -> ArtifactRecord:
    document = read_json(layout.read_file(RECORD), layout.path, RECORD)
    try:
        if document["schema"] != SCHEMA:
            raise ValueError(f"its schema is {document['schema']!r}, and known is {SCHEMA}")
        uri = document["source"]["uri"]
        source = Source(
            _text(document["source"]["commit"], _WHOLE_COMMIT), None if uri is None else _text(uri, _PRINTABLE)
        )
        commit = _text(document["commit"], _COMMIT)
        images = tuple(sorted((_read_image(app) for app in document["apps"]), key=lambda each: each.app.full_name))
        if not images:
            raise ValueError("it names no app")
        for what, names in (
            ("app", [each.app.full_name for each in images]),
            ("image", [each.app.image for each in images]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"it names an {what} twice")
        if not source.commit.startswith(commit.lower()):
            raise ValueError("its commits are not the same")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else str(error)
        raise _invalid(layout.path, f"its {RECORD} cannot be used: {why}") from None
    return ArtifactRecord(commit, source, images)


def _read_image(value: Mapping[str, Any]) -> AppImage:
    platforms = tuple(Platform.parse(_text(each, _PRINTABLE)) for each in value["platforms"])
    app = App(
        _text(value["app"], _NAME),
        _text(value["domain"], _NAME),
        _text(value["image"], _PRINTABLE),
        platforms,
        _text(value["metadata"], _PRINTABLE),
    )
    if not is_digest(digest := _text(value["digest"], _PRINTABLE)):
        raise ValueError(f"{digest!r} is no digest")
    return AppImage(app, digest)


def _text(value: object, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise ValueError(f"{str(value)[:100]!r} is not what it should be")
    return value


def _invalid(path: Path, why: str) -> InvalidLayout:
    return InvalidLayout(
        f"Cannot use {path} as an artifact", why, "Name one that //release:build has written, as it was written."
    )
