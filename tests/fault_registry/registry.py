"""A registry in memory (distribution-spec 1.1) with faults at will. See README.md.

Where the specification leaves a choice, it answers as docker-registry 2.8 does; parity_test.py holds the two together.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.fault_registry.faults import PAGE_MISSING, Answer, Armed, Asked, Headers, Route, error_answer
from tests.fault_registry.server import FaultServer
from tests.fault_registry.store import Store, StoredManifest
from tools.oci.digest import digest_of, is_digest, matches
from tools.oci.manifest import OCI_INDEX, OCI_MANIFEST
from tools.oci.reference import is_tag

_ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CONTENT_RANGE = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What registries have or lack.

    Attributes:
        referrers: it lists what refers to a digest; without, clients keep a list under a tag.
        mounts: it mounts blobs from other repositories; without, it opens an upload instead.
        tag_deletion: it deletes a tag by its name; without, only manifests by their digest.
        checks_parts: it takes no manifest before its blobs and children. Some registries do not look, and what a client
            writes too early is then seen by `integrity`.
        page: the most tags or referrers on a page.
    """

    referrers: bool = False
    mounts: bool = True
    tag_deletion: bool = False
    checks_parts: bool = True
    page: int = 1000


@dataclass(slots=True)
class _Upload:
    """A session. Its chunks are put together only once."""

    repository: str
    chunks: list[bytes] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(map(len, self.chunks))


class FaultRegistry(FaultServer):
    """The registry, as a context manager.

    Args:
        store: what it holds at first; it changes it.
        abilities: what it can do.
        options: see FaultServer.
    """

    def __init__(self, store: Store | None = None, *, abilities: Abilities | None = None, **options: Any) -> None:
        self.store = store or Store()
        self.abilities = abilities or Abilities()
        self._uploads: dict[str, _Upload] = {}
        self._uploads_lock = threading.Lock()
        self._routes: dict[Route, Callable[[Asked, Armed], Answer]] = {
            Route.BASE: self._base,
            Route.MANIFESTS: self._manifests,
            Route.BLOBS: self._blobs,
            Route.UPLOADS: self._upload,
            Route.TAGS: self._tags,
            Route.REFERRERS: self._referrers,
            Route.CATALOG: self._catalog,
        }
        super().__init__(**options)

    def serve(self, asked: Asked, armed: Armed) -> Answer:
        """See FaultServer."""
        answer = self._routes.get(asked.route, self._nothing)(asked, armed)
        answer.headers.setdefault("Docker-Distribution-Api-Version", "registry/2.0")
        return answer

    def has_tag(self, asked: Asked) -> bool:
        """See FaultServer."""
        return asked.reference in self.store.tags(asked.repository)

    @property
    def uploads(self) -> int:
        """How many uploads were begun and are neither finished nor cancelled."""
        with self._uploads_lock:
            return len(self._uploads)

    # What is asked about the registry

    def _base(self, asked: Asked, armed: Armed) -> Answer:
        return _json({}) if asked.method in ("GET", "HEAD") else _not_allowed("GET")

    def _nothing(self, asked: Asked, armed: Armed) -> Answer:
        # A copy of its headers: each answer's are added to.
        return Answer(PAGE_MISSING.status, dict(PAGE_MISSING.headers), PAGE_MISSING.body)

    def _catalog(self, asked: Asked, armed: Armed) -> Answer:
        return self._page(asked, "repositories", self.store.paths(), {})

    def _tags(self, asked: Asked, armed: Armed) -> Answer:
        if asked.method != "GET":
            return _not_allowed("GET")
        tags = self.store.listed_tags(asked.repository)
        if tags is None:
            return _error(404, "NAME_UNKNOWN", "repository name not known to registry", {"name": asked.repository})
        return self._page(asked, "tags", tags, {"name": asked.repository})

    def _page(self, asked: Asked, name: str, entries: list[str], fields: dict[str, str]) -> Answer:
        """A part of a list: the `n` entries after `last`, and where there are more."""
        wanted = asked.query("n")
        if wanted and not wanted.isdecimal():
            return _error(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested", {"n": wanted})
        size = min(int(wanted or self.abilities.page), self.abilities.page)
        last = asked.query("last")
        rest = [entry for entry in entries if entry > last]
        page = rest[:size]
        headers = {}
        if page and len(page) < len(rest):
            query = urlencode({"last": page[-1], "n": size})
            headers["Link"] = f'<{asked.path.partition("?")[0]}?{query}>; rel="next"'
        return _json({**fields, name: page}, headers)

    def _referrers(self, asked: Asked, armed: Armed) -> Answer:
        if not self.abilities.referrers:
            return self._nothing(asked, armed)
        if asked.method != "GET":
            return _not_allowed("GET")
        if not is_digest(asked.reference):
            return _invalid_digest()
        entries = self.store.referrers(asked.repository, asked.reference)
        headers = {"Content-Type": OCI_INDEX}
        if wanted := asked.query("artifactType"):
            entries = [entry for entry in entries if entry["artifactType"] == wanted]
            headers["OCI-Filters-Applied"] = "artifactType"
        start = int(asked.query("start") or 0)
        end = start + self.abilities.page
        if end < len(entries):
            query = urlencode({"start": end, **({"artifactType": wanted} if wanted else {})})
            headers["Link"] = f'<{asked.path.partition("?")[0]}?{query}>; rel="next"'
        return _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries[start:end]}, headers)

    # Manifests

    def _manifests(self, asked: Asked, armed: Armed) -> Answer:
        if ":" in asked.reference:
            if not is_digest(asked.reference):
                return _invalid_digest()
        elif not is_tag(asked.reference):
            return self._nothing(asked, armed)
        match asked.method:
            case "GET" | "HEAD":
                return self._get_manifest(asked)
            case "PUT":
                return self._put_manifest(asked, armed)
            case "DELETE":
                return self._delete_manifest(asked)
        return _not_allowed("DELETE, GET, HEAD, PUT")

    def _get_manifest(self, asked: Asked) -> Answer:
        found = self.store.manifest(asked.repository, asked.reference)
        if found is None:
            detail = {"Tag": asked.reference}
            if ":" in asked.reference:
                detail = {"Name": asked.repository, "Revision": asked.reference}
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown", detail)
        digest, manifest = found
        if asked.header("if-none-match") == f'"{digest}"':
            return Answer(304)
        accepted = {part.partition(";")[0].strip() for part in asked.header("accept").split(",")}
        for media_type, name in ((OCI_INDEX, "OCI index"), (OCI_MANIFEST, "OCI manifest")):
            if manifest.media_type == media_type and media_type not in accepted:
                plural = name.replace("index", "indexe") + "s"
                return _error(404, "MANIFEST_UNKNOWN", f"{name} found, but accept header does not support {plural}")
        headers = {"Content-Type": manifest.media_type, "Docker-Content-Digest": digest, "Etag": f'"{digest}"'}
        return Answer(200, headers, manifest.content)

    def _put_manifest(self, asked: Asked, armed: Armed) -> Answer:
        try:
            manifest = StoredManifest.read(asked.body, asked.header("content-type").partition(";")[0].strip())
        except ValueError:
            return _error(400, "MANIFEST_INVALID", "manifest invalid")
        by_digest = ":" in asked.reference
        digest = asked.reference if by_digest else digest_of(asked.body)
        if by_digest and not matches(asked.body, digest):
            return _invalid_digest()
        missing = self.store.missing_parts(asked.repository, manifest) if self.abilities.checks_parts else []
        if missing:
            errors = [
                {"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry", "detail": part}
                for part in missing
            ]
            return _json({"errors": errors}, status=400)
        tag = "" if by_digest else asked.reference
        self.store.put_manifest(asked.repository, digest, manifest, tag=tag, request=asked.number, armed=armed)
        headers = {"Docker-Content-Digest": digest, "Location": self._here(asked, f"manifests/{digest}")}
        if manifest.subject and self.abilities.referrers:
            headers["OCI-Subject"] = manifest.subject
        return Answer(201, headers)

    def _delete_manifest(self, asked: Asked) -> Answer:
        if ":" not in asked.reference:
            if not self.abilities.tag_deletion:
                return _invalid_digest()
            deleted = self.store.delete_tag(asked.repository, asked.reference, asked.number)
        else:
            deleted = self.store.delete_manifest(asked.repository, asked.reference, asked.number)
        return Answer(202) if deleted else _error(404, "MANIFEST_UNKNOWN", "manifest unknown")

    # Blobs

    def _blobs(self, asked: Asked, armed: Armed) -> Answer:
        digest = asked.reference
        if not is_digest(digest):
            return _invalid_digest()
        if asked.method == "DELETE":
            if self.store.delete_blob(asked.repository, digest):
                return Answer(202)
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if asked.method not in ("GET", "HEAD"):
            return _not_allowed("DELETE, GET, HEAD")
        content = self.store.blob(asked.repository, digest)
        if content is None:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry", digest)
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            "Docker-Content-Digest": digest,
            "Etag": f'"{digest}"',
        }
        wanted = _ONE_RANGE.fullmatch(asked.header("range"))
        if wanted is None or not (wanted[1] or wanted[2]):
            return Answer(200, headers, content)
        size = len(content)
        first = int(wanted[1]) if wanted[1] else max(0, size - int(wanted[2]))
        last = min(int(wanted[2]), size - 1) if wanted[1] and wanted[2] else size - 1
        if first > last:
            return Answer(416, {**headers, "Content-Range": f"bytes */{size}"}, b"invalid range: failed to overlap\n")
        return Answer(206, {**headers, "Content-Range": f"bytes {first}-{last}/{size}"}, content[first : last + 1])

    def _upload(self, asked: Asked, armed: Armed) -> Answer:
        if asked.method == "POST" and not asked.reference:
            return self._start_upload(asked)
        with self._uploads_lock:
            upload = self._uploads.get(asked.reference)
        if upload is None or upload.repository != asked.repository:
            code = "BLOB_UPLOAD_UNKNOWN" if asked.query("_state") else "BLOB_UPLOAD_INVALID"
            return _error(404, code, "blob upload unknown to registry")
        # The address of a session is for a client to be handed on as it was given.
        if asked.query("_state") != _state(upload):
            return _error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid")
        match asked.method:
            case "GET" | "HEAD":
                return self._session(asked, asked.reference, upload, 204)
            case "PATCH":
                return self._take_chunk(asked, upload)
            case "PUT":
                return self._finish_upload(asked, upload)
            case "DELETE":
                self._drop(asked.reference)
                return Answer(204, {"Docker-Upload-Uuid": asked.reference})
        return _not_allowed("DELETE, GET, HEAD, PATCH, PUT")

    def _start_upload(self, asked: Asked) -> Answer:
        digest, source = asked.query("mount"), asked.query("from")
        if source and self.abilities.mounts and self.store.mount_blob(asked.repository, digest, source):
            return self._kept(asked, digest)
        session, upload = secrets.token_hex(16), _Upload(asked.repository)
        with self._uploads_lock:
            self._uploads[session] = upload
        return self._session(asked, session, upload, 202)

    def _take_chunk(self, asked: Asked, upload: _Upload) -> Answer:
        chunk = _CONTENT_RANGE.fullmatch(asked.header("content-range"))
        if chunk is not None and int(chunk[1]) != upload.size:
            return self._session(asked, asked.reference, upload, 416)
        upload.chunks.append(asked.body)
        return self._session(asked, asked.reference, upload, 202)

    def _finish_upload(self, asked: Asked, upload: _Upload) -> Answer:
        digest = asked.query("digest")
        if not is_digest(digest):
            return _invalid_digest("digest parsing failed" if digest else "digest missing")
        content = b"".join([*upload.chunks, asked.body]) if upload.chunks else asked.body
        if not matches(content, digest):
            upload.chunks[:] = [content]  # It has taken the bytes, and the session is of no use any more.
            return _invalid_digest({"Digest": digest})
        self._drop(asked.reference)
        self.store.put_blob(asked.repository, digest, content)
        return self._kept(asked, digest)

    def _drop(self, session: str) -> None:
        with self._uploads_lock:
            self._uploads.pop(session, None)

    def _kept(self, asked: Asked, digest: str) -> Answer:
        return Answer(201, {"Docker-Content-Digest": digest, "Location": self._here(asked, f"blobs/{digest}")})

    def _session(self, asked: Asked, session: str, upload: _Upload, status: int) -> Answer:
        headers = {
            "Docker-Upload-Uuid": session,
            "Location": self._here(asked, f"blobs/uploads/{session}?_state={_state(upload)}"),
            "Range": f"0-{max(0, upload.size - 1)}",
        }
        return Answer(status, headers)

    def _here(self, asked: Asked, rest: str) -> str:
        """An address under the name by which the client knows this registry."""
        return f"{self.scheme}://{asked.header('host') or self.address}/v2/{asked.repository}/{rest}"


def _state(upload: _Upload) -> str:
    return f"at-{upload.size}"


def _json(fields: dict[str, Any], headers: Headers | None = None, status: int = 200) -> Answer:
    body = json.dumps(fields, separators=(",", ":")).encode() + b"\n"
    return Answer(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)


def _error(status: int, code: str, message: str, detail: object = None) -> Answer:
    error = {"code": code, "message": message, **({"detail": detail} if detail is not None else {})}
    return _json({"errors": [error]}, status=status)


def _invalid_digest(detail: object = None) -> Answer:
    return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content", detail)


def _not_allowed(methods: str) -> Answer:
    answer = error_answer(405, "UNSUPPORTED", "The operation is unsupported.")
    return Answer(405, {**answer.headers, "Allow": methods}, answer.body)
