"""What a registry holds, in memory: repositories, blobs, manifests, and every value that a tag ever had."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.fault_registry.faults import Armed
from tools.oci.blobs import BlobStore
from tools.oci.manifest import INDEX_TYPES, MANIFEST_TYPES, Descriptor


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest or an index, byte for byte, and the digests that it names. `subject` is empty where it has none."""

    content: bytes = field(repr=False)
    media_type: str
    blobs: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    subject: str = ""
    artifact_type: str = ""
    annotations: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_index(self) -> bool:
        """Whether it is made of other manifests."""
        return self.media_type in INDEX_TYPES

    @staticmethod
    def read(content: bytes, media_type: str) -> StoredManifest:
        """Read one. Raises ValueError."""
        if media_type not in (*INDEX_TYPES, *MANIFEST_TYPES):
            raise ValueError(f"unknown media type {media_type!r}")
        try:
            fields = json.loads(content)
            return _read(fields, content, media_type)
        except (LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no manifest: {error!r}") from None


def _read(fields: dict[str, Any], content: bytes, media_type: str) -> StoredManifest:
    if fields.get("mediaType", media_type) != media_type or ("manifests" in fields) != (media_type in INDEX_TYPES):
        raise ValueError(f"it is no {media_type}")
    config = [] if "manifests" in fields else [fields["config"]]
    return StoredManifest(
        content,
        media_type,
        blobs=tuple(each["digest"] for each in (*config, *(fields.get("layers") or ()))),
        children=tuple(each["digest"] for each in fields.get("manifests", ())),
        subject=fields["subject"]["digest"] if fields.get("subject") else "",
        artifact_type=fields.get("artifactType") or (config[0]["mediaType"] if config else ""),
        annotations=fields.get("annotations") or {},
    )


@dataclass(frozen=True, slots=True)
class TagWrite:
    """One value that a tag was given.

    Attributes:
        digest: None for a deletion.
        request: the number of the request that did it; -1 for what a test put there by itself.
        trouble: what of it was not there or not as it should be at that moment; empty for a complete index.
    """

    digest: str | None
    request: int
    trouble: str = ""


@dataclass(slots=True)
class RepositoryState:
    """What one repository holds. Contents of blobs are in the Store, once for all repositories."""

    blobs: set[str] = field(default_factory=set)
    manifests: dict[str, StoredManifest] = field(default_factory=dict)
    history: dict[str, list[TagWrite]] = field(default_factory=dict)

    @property
    def tags(self) -> dict[str, str]:
        """What each tag names now, in the order of the tags."""
        now = {tag: writes[-1].digest for tag, writes in self.history.items()}
        return {tag: digest for tag, digest in sorted(now.items()) if digest is not None}

    def trouble_of(self, digest: str) -> str:
        """What is missing of an index, children and blobs; empty if it is complete."""
        top = self.manifests.get(digest)
        if top is None:
            return f"{digest} is not there"
        if not top.is_index:
            return f"{digest} is no index but a {top.media_type}"
        for child in top.children:
            below = self.manifests.get(child)
            if below is None:
                return f"{digest} lacks its manifest {child}"
            if below.is_index and (trouble := self.trouble_of(child)):
                return trouble
            lacking = [blob for blob in below.blobs if blob not in self.blobs]
            if lacking:
                return f"{digest} lacks the blobs {', '.join(lacking)} of {child}"
        return ""

    def copy(self) -> RepositoryState:
        """The same, to be changed by itself."""
        return RepositoryState(
            set(self.blobs), dict(self.manifests), {tag: list(writes) for tag, writes in self.history.items()}
        )


@dataclass(slots=True)
class _Hidden:
    """What a reference named before a write that is not seen yet."""

    before: str | None
    readings: int
    until: float
    armed: Armed


class Store:
    """All repositories of a registry. Every method may be called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._contents: dict[str, bytes] = {}
        self._repositories: dict[str, RepositoryState] = {}
        self._hidden: dict[tuple[str, str], _Hidden] = {}

    def copy(self) -> Store:
        """The same state for another registry. Contents are shared, so it costs next to nothing."""
        other = Store()
        with self._lock:
            other._contents = dict(self._contents)
            other._repositories = {path: state.copy() for path, state in self._repositories.items()}
        return other

    # For tests

    def repositories(self) -> dict[str, RepositoryState]:
        """All repositories by their path; a copy, to be looked at in peace."""
        with self._lock:
            return {path: state.copy() for path, state in sorted(self._repositories.items())}

    def repository(self, path: str) -> RepositoryState:
        """One repository, empty if nobody has written to it; a copy."""
        with self._lock:
            state = self._repositories.get(path)
            return state.copy() if state is not None else RepositoryState()

    def tags(self, path: str) -> dict[str, str]:
        """What each tag of a repository names now, whatever lag pretends."""
        with self._lock:
            state = self._repositories.get(path)
            return state.tags if state is not None else {}

    def put_image(self, path: str, top: Descriptor, blobs: BlobStore, *tags: str) -> None:
        """Put an index (or an image) and all that it names into a repository, without a request."""
        manifest = StoredManifest.read(blobs.read(top.digest), top.media_type)
        for child in _children(manifest):
            self.put_image(path, child, blobs)
        for blob in manifest.blobs:
            with blobs.open(blob) as stream:
                self.put_blob(path, blob, stream.read())
        self.put_manifest(path, top.digest, manifest)
        for tag in tags:
            self.put_manifest(path, top.digest, manifest, tag=tag)

    def integrity(self, *, but_for: Iterable[str] = ()) -> list[str]:
        """Every write of a tag that did not name a complete index at that moment, a sentence each.

        `but_for`: repositories that are left out.
        """
        with self._lock:
            return [
                f"{path}:{tag} was pointed at something else than a complete index by request {write.request}: "
                f"{write.trouble}"
                for path, state in sorted(self._repositories.items())
                if path not in but_for
                for tag, writes in sorted(state.history.items())
                for write in writes
                if write.trouble
            ]

    # Blobs

    def blob(self, path: str, digest: str) -> bytes | None:
        """A blob of a repository."""
        with self._lock:
            state = self._repositories.get(path)
            return self._contents.get(digest) if state is not None and digest in state.blobs else None

    def put_blob(self, path: str, digest: str, content: bytes) -> None:
        """Keep a blob; its digest is the caller's word."""
        with self._lock:
            self._state(path).blobs.add(digest)
            self._contents.setdefault(digest, content)

    def mount_blob(self, path: str, digest: str, source: str) -> bool:
        """Let a repository have a blob of another one; False if that one has none."""
        with self._lock:
            if source not in self._repositories or digest not in self._repositories[source].blobs:
                return False
            self._state(path).blobs.add(digest)
            return True

    def delete_blob(self, path: str, digest: str) -> bool:
        """Take a blob out of a repository; False if it is not there."""
        with self._lock:
            state = self._repositories.get(path)
            if state is None or digest not in state.blobs:
                return False
            state.blobs.remove(digest)
            return True

    # Manifests and tags

    def manifest(self, path: str, reference: str) -> tuple[str, StoredManifest] | None:
        """What a tag or digest names for whoever asks now, with its digest: a write that lags is not seen."""
        with self._lock:
            state = self._repositories.get(path)
            if state is None:
                return None
            digest: str | None = reference
            if ":" not in reference:
                digest = state.history[reference][-1].digest if reference in state.history else None
            digest = self._seen_by_reader(path, reference, digest)
            found = state.manifests.get(digest) if digest is not None else None
            return (digest, found) if digest is not None and found is not None else None

    def missing_parts(self, path: str, manifest: StoredManifest) -> list[str]:
        """The blobs and children of a manifest that are not in a repository."""
        with self._lock:
            state = self._state_or_empty(path)
            blobs = [blob for blob in manifest.blobs if blob not in state.blobs]
            return blobs + [child for child in manifest.children if child not in state.manifests]

    def put_manifest(
        self,
        path: str,
        digest: str,
        manifest: StoredManifest,
        *,
        tag: str = "",
        request: int = -1,
        armed: Armed | None = None,
    ) -> None:
        """Keep a manifest, and let a tag name it. The lag of `armed` hides that from readers for a while."""
        with self._lock:
            state = self._state(path)
            before = state.history[tag][-1].digest if tag in state.history else None
            if not tag and digest in state.manifests:
                before = digest
            state.manifests.setdefault(digest, manifest)
            if tag:
                state.history.setdefault(tag, []).append(TagWrite(digest, request, state.trouble_of(digest)))
            lag = armed.fault.lag if armed is not None else None
            if armed is not None and lag is not None and before != digest:
                until = time.monotonic() + lag.seconds
                self._hidden[path, tag or digest] = _Hidden(before, lag.readings, until, armed)

    def delete_manifest(self, path: str, digest: str, request: int) -> bool:
        """Take a manifest away, and all tags that name it; False if it is not there."""
        with self._lock:
            state = self._repositories.get(path)
            if state is None or state.manifests.pop(digest, None) is None:
                return False
            for tag in [tag for tag, named in state.tags.items() if named == digest]:
                state.history[tag].append(TagWrite(None, request))
            return True

    def delete_tag(self, path: str, tag: str, request: int) -> bool:
        """Take a tag away; False if it is not there."""
        with self._lock:
            if tag not in self.tags(path):
                return False
            self._repositories[path].history[tag].append(TagWrite(None, request))
            return True

    def listed_tags(self, path: str) -> list[str] | None:
        """The tags for whoever asks now; None where nothing was ever tagged."""
        with self._lock:
            state = self._repositories.get(path)
            if state is None or not state.history:
                return None
            found = ((tag, self._seen_by_reader(path, tag, writes[-1].digest)) for tag, writes in state.history.items())
            return sorted(tag for tag, digest in found if digest is not None)

    def referrers(self, path: str, digest: str) -> list[dict[str, Any]]:
        """The descriptors of what refers to a digest."""
        with self._lock:
            return [
                {
                    "mediaType": manifest.media_type,
                    "digest": own,
                    "size": len(manifest.content),
                    "artifactType": manifest.artifact_type,
                    **({"annotations": manifest.annotations} if manifest.annotations else {}),
                }
                for own, manifest in self._state_or_empty(path).manifests.items()
                if manifest.subject == digest
            ]

    def paths(self) -> list[str]:
        """The paths of all repositories."""
        with self._lock:
            return sorted(self._repositories)

    def _state(self, path: str) -> RepositoryState:
        return self._repositories.setdefault(path, RepositoryState())

    def _state_or_empty(self, path: str) -> RepositoryState:
        return self._repositories.get(path) or RepositoryState()

    def _seen_by_reader(self, path: str, reference: str, now: str | None) -> str | None:
        hidden = self._hidden.get((path, reference)) if self._hidden else None
        if hidden is None:
            return now
        if hidden.readings <= 0 and time.monotonic() >= hidden.until:
            del self._hidden[path, reference]
            return now
        hidden.readings -= 1
        hidden.armed.injected += 1
        return hidden.before


def _children(manifest: StoredManifest) -> Iterator[Descriptor]:
    if manifest.is_index:
        for each in json.loads(manifest.content)["manifests"]:
            yield Descriptor(each["mediaType"], each["digest"], each["size"])
