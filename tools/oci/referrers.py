"""What refers to a manifest: signatures, SBOMs, provenance (distribution-spec 1.1, "Listing Referrers", "Pushing
Manifests with Subject", "Referrers Tag Schema").

A referrer is a manifest whose `subject` is the other one. A registry lists the referrers of a digest by itself, or else
its clients keep that list: an index under the tag `sha256-<hex>`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tools.oci.client import Access, RegistryClient
from tools.oci.digest import digest_of
from tools.oci.errors import InvalidManifest, NotFound, Refused
from tools.oci.manifest import MAX_MANIFEST_SIZE, OCI_INDEX, OCI_MANIFEST, Descriptor, ImageIndex
from tools.oci.parallel import run_all
from tools.oci.reference import Reference, Repository

_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_EMPTY = b"{}"
"""The config of a manifest that needs none (image-spec, "Guidance for an Empty Descriptor")."""

_TRIES = 6
_LAG_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Referrers:
    """What refers to a digest, each once. `listed`: the registry keeps the list itself."""

    descriptors: tuple[Descriptor, ...]
    listed: bool


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that is kept beside an image: a manifest with an empty config, the file as its only layer, and a subject.

    `media_type` is the file's. The annotations are on the manifest, so that a list of referrers has them too.
    """

    subject: Descriptor
    artifact_type: str
    media_type: str
    content: bytes = field(repr=False)
    annotations: Mapping[str, str] = field(hash=False)

    @property
    def config(self) -> Descriptor:
        """The empty one."""
        return Descriptor(_EMPTY_TYPE, digest_of(_EMPTY), len(_EMPTY))

    @property
    def layer(self) -> Descriptor:
        """The file."""
        return Descriptor(self.media_type, digest_of(self.content), len(self.content))

    @property
    def manifest(self) -> bytes:
        """What the registry keeps, byte for byte."""
        subject = Descriptor(self.subject.media_type, self.subject.digest, self.subject.size)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": self.artifact_type,
            "config": self.config.to_json(),
            "layers": [self.layer.to_json()],
            "subject": subject.to_json(),
            "annotations": dict(self.annotations),
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @property
    def descriptor(self) -> Descriptor:
        """Its entry in a list of referrers."""
        content = self.manifest
        return Descriptor(
            OCI_MANIFEST,
            digest_of(content),
            len(content),
            annotations=self.annotations,
            artifact_type=self.artifact_type,
        )


def fallback_tag(digest: str) -> str:
    """The tag of the list that clients keep of what refers to a digest."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm[:32]}-{value[:64]}"


def list_referrers(
    client: RegistryClient, repository: Repository, digest: str, *, access: Access = Access.PULL
) -> Referrers:
    """What refers to a digest: two questions at the same time.

    Both lists count. One that clients have kept stays where it is when a registry learns to keep it itself, and some
    registries answer with an empty list to a question that they do not know.

    Raises:
        InvalidManifest: the tag of the clients' list names something else.
        OciError: as the client's methods.
    """
    questions: list[Callable[[], Any]] = [
        partial(client.get_referrers, repository, digest, access=access),
        partial(_kept_list, client, repository.tag(fallback_tag(digest)), access),
    ]
    own, kept = run_all(questions)
    descriptors = {each.digest: each for each in (*(kept.manifests if kept else ()), *(own or ()))}
    return Referrers(tuple(descriptors.values()), listed=own is not None)


def add_referrer(client: RegistryClient, repository: Repository, artifact: Artifact, known: Referrers) -> bool:
    """Put an artifact beside its subject, and see that it is listed there. Returns whether something was written.

    Args:
        client: of the repository's registry.
        repository: where the subject is.
        artifact: what to add.
        known: what list_referrers has just answered.

    Raises:
        Refused: others keep replacing the list that clients keep.
        NotFound: that list is not there after it was written.
        InvalidManifest: the tag of that list names something else, or the list is full.
        OciError: as the client's methods.
    """
    entry = artifact.descriptor
    if any(each.digest == entry.digest for each in known.descriptors):
        return False
    run_all(
        [
            partial(client.upload_blob, repository, artifact.config, partial(io.BytesIO, _EMPTY)),
            partial(client.upload_blob, repository, artifact.layer, partial(io.BytesIO, artifact.content)),
        ]
    )
    by_digest = repository.digest(entry.digest)
    acknowledged = client.put_referrer(by_digest, artifact.manifest, OCI_MANIFEST, artifact.subject.digest)
    # Some registries have said so without a list that one can ask for.
    if not (acknowledged and known.listed):
        kept = not known.listed and bool(known.descriptors)
        _extend_kept_list(client, repository.tag(fallback_tag(artifact.subject.digest)), entry, kept)
    return True


def _kept_list(client: RegistryClient, reference: Reference, access: Access) -> ImageIndex | None:
    found = client.find_manifest(reference, access=access)
    if found is None or isinstance(found, ImageIndex):
        return found
    raise InvalidManifest(
        f"cannot use {reference} as a list of referrers",
        f"it is a single image ({found.media_type}), not an index",
        "That tag is reserved for the list: give the image another one, and delete this one.",
    )


def _extend_kept_list(client: RegistryClient, reference: Reference, entry: Descriptor, kept: bool) -> None:
    """Add an entry to the list that clients keep; `kept`: there was one a moment ago.

    A tag cannot be compared and swapped, so it is read just before the write and again after it. Where another client
    has written in between, its list is extended anew. What stays possible is that it has read before our write and
    writes after we have looked: then our entry is gone, and whoever misses it adds it again.
    """
    # Where there was a list, none is the registry's lag at first: a new one in its place would lose what others said.
    before = _awaited_list(client, reference, (None,) if kept else ())
    for _ in range(_TRIES):
        if _has(before, entry):
            return
        content = _extended(before, entry, str(reference))
        client.put_manifest(reference, content, before.media_type if before else OCI_INDEX)
        before = _awaited_list(client, reference, (None, before))
        if before is None:
            raise NotFound(
                f"cannot verify {reference}",
                "the registry has no such tag after it was written",
                "Run the command again.",
            )
    if not _has(before, entry):
        raise Refused(
            f"cannot add {entry.digest} to {reference}",
            f"other clients have replaced the list {_TRIES} times",
            "Run the same command again.",
            status=409,
        )


def _awaited_list(
    client: RegistryClient, reference: Reference, outdated: tuple[ImageIndex | None, ...]
) -> ImageIndex | None:
    """The list that clients keep. What is outdated may be the registry's lag, so it is asked again for a while."""
    return client.poll(
        partial(_kept_list, client, reference, Access.PUSH),
        lambda found: found not in outdated,
        f"{reference} is not up to date yet",
        _LAG_SECONDS,
    )


def _has(index: ImageIndex | None, entry: Descriptor) -> bool:
    return index is not None and any(each.digest == entry.digest for each in index.manifests)


def _extended(index: ImageIndex | None, entry: Descriptor, name: str) -> bytes:
    """The list with one more entry. Whatever else stands in it stays, also what is unknown here."""
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    if index is not None:
        document = json.loads(index.content)
    document["manifests"] = [*document["manifests"], entry.to_json()]
    try:
        content = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(
            f"cannot add {entry.digest} to {name}",
            f"what stands there cannot be kept: {error}",
            "Look at it.",
        ) from None
    if len(content) > MAX_MANIFEST_SIZE:
        raise InvalidManifest(
            f"cannot add {entry.digest} to {name}",
            f"the list would have more than {MAX_MANIFEST_SIZE} bytes",
            "Delete referrers that nobody needs.",
        )
    return content
