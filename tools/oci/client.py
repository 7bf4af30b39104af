"""A client of the distribution API (distribution-spec 1.1) for one registry.

Every method is safe to call from several threads. All of them raise the errors of tools.oci.errors: NotFound only for a
definite 404, Unanswered (Unauthorized, Forbidden, Throttled, Unavailable, InvalidResponse) when nothing was learnt.
"""

from __future__ import annotations

import enum
import hashlib
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.client import HTTPException
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import urlencode, urlsplit

from tools.oci.authorization import Authorization, Authorizer, Scope
from tools.oci.credentials import CredentialSource, DockerCredentials
from tools.oci.digest import digest_of, is_digest, matches
from tools.oci.errors import (
    Forbidden,
    InvalidManifest,
    InvalidReference,
    InvalidResponse,
    NotFound,
    NotKept,
    OciError,
    Refused,
    Unauthorized,
    Unavailable,
)
from tools.oci.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST_SIZE,
    OCI_INDEX,
    Descriptor,
    ImageIndex,
    Manifest,
    parse_manifest,
)
from tools.oci.reference import Reference, Repository, check_registry, is_tag
from tools.oci.retrying import (
    Sender,
    Traffic,
    Transient,
    backoff,
    is_tls_missing,
    join_url,
    same_origin,
    server_words,
    shown,
)
from tools.oci.transport import UPLOAD_SECONDS, Body, Request, Response, Sink, is_loopback

Result = TypeVar("Result")

_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
"""Always all four: a registry answers 404 to a question for a type that was not named."""

_ABSENT = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "BLOB_UPLOAD_UNKNOWN", "NOT_FOUND"})
"""Error codes of a definite 404. NOT_FOUND is Harbor's."""

_PART_UNKNOWN = "MANIFEST_BLOB_UNKNOWN"
_PART_TRIES = 5
"""How often a manifest is sent whose parts the registry denies to have, though this client has seen them there."""

_DOCKER_HUB = ("docker.io", "index.docker.io")
_DOCKER_HUB_API = "registry-1.docker.io"

_PAGE = 1000
_MAX_PAGES = 10_000
_MAX_TAGS_SIZE = 32 * 1024 * 1024
_MAX_REFERRER_PAGES = 100
_NO_REFERRERS_API = (400, 404, 405, 406, 501)
"""What registries answer that do not know the question for referrers; one that does may not answer 404."""
_NEXT = re.compile(r"""<([^>]*)>[^,]*;\s*rel="?next"?""", re.IGNORECASE)


class Access(enum.Enum):
    """What a token is asked for. A registry may answer 401 or 403 to PULL of a repository that does not exist yet."""

    PULL = "pull"
    PUSH = "pull,push"
    DELETE = "pull,push,delete"


class UploadOutcome(enum.Enum):
    """How a blob came to be in the repository."""

    EXISTS = "exists"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


class RegistryClient:
    """The distribution API of one registry, over a pool of kept-alive connections.

    Args:
        registry: HOST[:PORT].
        credentials: where user names and passwords come from; asked only when the registry demands them.
        insecure: whether plain HTTP is allowed for a host that is not this machine. TLS is tried first, and
            certificates are verified either way.
        retry_for: seconds for which 429, 5xx and network errors are retried, from the first failure of a request.
        on_wait: called with a line of text before each wait (from any thread).
        max_connections: requests at the same time.
    """

    def __init__(
        self,
        registry: str,
        *,
        credentials: CredentialSource | None = None,
        insecure: bool = False,
        retry_for: float = 30.0,
        on_wait: Callable[[str], None] | None = None,
        max_connections: int = 8,
    ) -> None:
        self.registry = check_registry(registry)
        self.retry_for = retry_for
        self.max_connections = max_connections
        self._insecure = insecure
        self._sender = Sender(retry_for=retry_for, on_wait=on_wait, max_connections=max_connections)
        self._authorizer = Authorizer(self._sender, registry, credentials or DockerCredentials(), insecure=insecure)
        self._lock = threading.Lock()
        self._address: str | None = None
        self._homes: dict[str, dict[Repository, None]] = {}
        self._uploads: dict[str, threading.Lock] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RegistryClient({self.registry!r})"

    def close(self) -> None:
        """Close the idle connections."""
        self._sender.close()

    @property
    def traffic(self) -> Traffic:
        """What has been sent so far."""
        return self._sender.traffic

    def connect_ahead(self, count: int) -> None:
        """Open so many connections for requests that are to come at once, and need not wait for them then.

        Nothing is done a second time or where connections are idle already, and nothing is raised where it fails: the
        requests will.
        """
        self._sender.connect_ahead(self._base(), count)

    def poll(
        self, question: Callable[[], Result], until: Callable[[Result], bool], text: str, seconds: float
    ) -> Result:
        """Ask again, with growing waits, until an answer will do or the time is over; return the last answer.

        For what a registry should answer by now but may not yet, being eventually consistent.
        """
        give_up = time.monotonic() + min(seconds, self.retry_for)
        tries = 0
        while True:
            answer = question()
            tries += 1
            wait = max(0.1, backoff(tries))
            if until(answer) or time.monotonic() + wait > give_up:
                return answer
            self._sender.wait(f"{text}; asking again in {wait:.1f} s", wait, text)

    # Manifests

    def get_manifest(self, reference: Reference, *, access: Access = Access.PULL) -> Manifest:
        """Fetch and check a manifest or index (one GET). Raises NotFound for a definite 404."""
        what = f"cannot read {reference}"
        found = self._get(reference, access, what)
        if isinstance(found, Response):
            raise NotFound(
                what, f"{self.registry} answered {server_words(found)}", "Check the name; list what there is."
            )
        return found

    def find_manifest(self, reference: Reference, *, access: Access = Access.PULL) -> Manifest | None:
        """Like get_manifest, but None for a definite 404. The cheapest question where absence is likely (one GET)."""
        found = self._get(reference, access, f"cannot read {reference}")
        return None if isinstance(found, Response) else found

    def head_manifest(self, reference: Reference, *, access: Access = Access.PULL) -> Descriptor | None:
        """Media type, digest and size; None for a definite 404.

        The cheapest question where presence is likely: one HEAD. A 404, which has no body to judge, costs a second
        request: GET says whether it is definite. So does a 405 or an answer without a digest.
        """
        found = self._head(reference, access)
        if isinstance(found, Descriptor):
            return found
        manifest = self.find_manifest(reference, access=access)
        return manifest.descriptor if manifest is not None else None

    def manifest_exists(self, reference: Reference, *, access: Access = Access.PULL) -> bool:
        """Whether a HEAD finds the manifest. An unconfirmed 404 is a no: right where writing it again is harmless."""
        found = self._head(reference, access)
        if isinstance(found, Descriptor):
            return True
        return found.status != 404 and self.find_manifest(reference, access=access) is not None

    def put_manifest(self, reference: Reference, content: bytes, media_type: str) -> str:
        """Write a manifest by tag or by digest, byte for byte, and return its digest."""
        self._put(reference, content, media_type)
        return digest_of(content)

    def put_referrer(self, reference: Reference, content: bytes, media_type: str, subject: str) -> bool:
        """Write a manifest that has a `subject`, and return whether the registry says that it has listed it there."""
        return self._put(reference, content, media_type).header("OCI-Subject").strip() == subject

    def get_referrers(
        self, repository: Repository, digest: str, *, access: Access = Access.PULL
    ) -> tuple[Descriptor, ...] | None:
        """What the registry itself lists as referring to a digest, every page of it; None where it has no such list."""
        what = f"cannot list what refers to {repository}@{digest}"
        request = self._request("GET", repository, f"referrers/{digest}", headers={"Accept": OCI_INDEX})
        found: list[Descriptor] = []
        request = replace(request, limit=MAX_MANIFEST_SIZE)
        for response in self._pages(request, repository, access, what, _MAX_REFERRER_PAGES):
            if response.status in _NO_REFERRERS_API and not found:
                return None
            if response.status != 200:
                raise self._refusal(response, what)
            if response.oversize:
                raise self._nonsense(what, f"one page has more than {MAX_MANIFEST_SIZE} bytes")
            try:
                page = parse_manifest(response.body, response.header("Content-Type"), "its list of referrers")
            except InvalidManifest as error:
                raise self._nonsense(what, error.why) from None
            if not isinstance(page, ImageIndex):
                raise self._nonsense(what, f"its answer is no index but a {page.media_type}")
            found += page.manifests
        return tuple(found)

    def delete_manifest(self, reference: Reference) -> None:
        """Delete a manifest with all its tags, by digest; or a tag, with which some registries delete the manifest.

        Raises Refused where that is not offered.
        """
        self._delete(reference.repository, f"manifests/{reference.target}", f"cannot delete {reference}")
        if reference.digest is not None:
            self._forget(reference.digest, reference.repository)

    def _delete(self, repository: Repository, rest: str, what: str) -> None:
        request = self._request("DELETE", repository, rest)
        response = self._send(request, self._scopes(repository, Access.DELETE), what)
        if response.status not in (200, 202, 204):
            raise self._refusal(response, what)

    def _put(self, reference: Reference, content: bytes, media_type: str) -> Response:
        """Write a manifest. What it names must be there; where this client has seen it, a denial may pass.

        A registry may lag behind itself. And docker-registry, on a file system, empties the link to a blob or manifest
        for a moment while another client sends it once more: whoever reads it then is told that there is none.
        """
        what = f"cannot write {reference}"
        digest = digest_of(content)
        if reference.digest is not None and not matches(content, reference.digest):
            raise InvalidReference(what, f"the content's digest is {digest}", "Write it under its own digest.")
        request = self._request(
            "PUT", reference.repository, f"manifests/{reference.target}", headers={"Content-Type": media_type}
        )
        request = replace(request, body=content)
        scopes = self._scopes(reference.repository, Access.PUSH)

        def attempt() -> Response:
            response = self._send(request, scopes, what, once=True)
            if response.status in (200, 201, 202) and not _is_page(response):
                return response
            refusal = self._refusal(response, what)
            if _PART_UNKNOWN in _codes(response) and self._has_seen_parts(reference.repository, content, media_type):
                raise Transient(refusal, urlsplit(response.url).netloc, tries=_PART_TRIES)
            raise refusal

        response = self._sender.retry(attempt)
        kept = response.header("Docker-Content-Digest")
        if kept not in ("", reference.digest or digest):
            raise self._nonsense(what, f"it kept {kept[:100]!r} where {digest} was sent")
        self._remember(digest, reference.repository)
        return response

    def _has_seen_parts(self, repository: Repository, content: bytes, media_type: str) -> bool:
        """Whether this client has seen in a repository whatever a manifest names."""
        try:
            manifest = parse_manifest(content, media_type, "what was sent")
        except InvalidManifest:
            return False
        parts = manifest.manifests if isinstance(manifest, ImageIndex) else manifest.blobs
        with self._lock:
            return all(repository in self._homes.get(part.digest, ()) for part in parts)

    def _get(self, reference: Reference, access: Access, what: str) -> Manifest | Response:
        request = self._request(
            "GET", reference.repository, f"manifests/{reference.target}", headers={"Accept": _ACCEPT}
        )
        response = self._send(
            replace(request, limit=MAX_MANIFEST_SIZE), self._scopes(reference.repository, access), what
        )
        if response.status == 404 and _is_definite(response):
            return response
        if response.status != 200:
            raise self._refusal(response, what)
        if response.oversize:
            raise self._nonsense(what, f"its answer has more than {MAX_MANIFEST_SIZE} bytes")
        try:
            manifest = parse_manifest(response.body, response.header("Content-Type"), str(reference))
        except InvalidManifest as error:
            raise self._nonsense(what, error.why) from None
        for source, digest in (
            ("the reference", reference.digest),
            ("the registry", response.header("Docker-Content-Digest")),
        ):
            if digest and not matches(response.body, digest):
                raise self._nonsense(what, f"{source} says {digest[:140]}, the content is {manifest.digest}")
        self._remember(manifest.digest, reference.repository)
        return manifest

    def _head(self, reference: Reference, access: Access) -> Descriptor | Response:
        """A descriptor, or an answer that says too little: 404, 405, or 200 without digest, type or length."""
        what = f"cannot look at {reference}"
        request = self._request(
            "HEAD", reference.repository, f"manifests/{reference.target}", headers={"Accept": _ACCEPT}
        )
        response = self._send(request, self._scopes(reference.repository, access), what)
        if response.status in (404, 405):
            return response
        if response.status != 200:
            raise self._refusal(response, what)
        digest = response.header("Docker-Content-Digest")
        media_type = response.header("Content-Type").partition(";")[0].strip().lower()
        length = response.header("Content-Length")
        known = media_type in (*INDEX_TYPES, *MANIFEST_TYPES) and length.isascii() and length.isdecimal()
        if not digest or not known:
            return response
        if not is_digest(digest) or reference.digest not in (None, digest):
            raise self._nonsense(what, f"it says that its digest is {digest[:140]!r}")
        self._remember(digest, reference.repository)
        return Descriptor(media_type, digest, int(length))

    # Blobs

    def blob_exists(self, repository: Repository, digest: str, *, access: Access = Access.PUSH) -> bool:
        """Whether a HEAD finds the blob."""
        what = f"cannot look at blob {repository}@{digest}"
        request = self._request("HEAD", repository, f"blobs/{digest}")
        response = self._send(request, self._scopes(repository, access), what)
        if response.status == 404:
            self._forget(digest, repository)
            return False
        if response.status != 200 or _is_page(response):
            raise self._refusal(response, what)
        if response.header("Docker-Content-Digest") not in ("", digest):
            raise self._nonsense(what, f"it says that its digest is {response.header('Docker-Content-Digest')[:140]!r}")
        self._remember(digest, repository)
        return True

    def download_blob(self, repository: Repository, blob: Descriptor, out: BinaryIO) -> None:
        """Stream a blob's content into an empty file, checked against its digest and size on the way (one GET).

        The file is begun anew for each attempt; it holds the blob only if this returns.
        """
        what = f"cannot fetch blob {repository}@{blob.digest}"
        taken = _Taken(out, blob.digest, what)
        request = self._request("GET", repository, f"blobs/{blob.digest}")
        request = replace(request, sink=Sink(taken.start, blob.size))
        response = self._send(request, self._scopes(repository, Access.PULL), what)
        if response.status != 200:
            raise self._refusal(response, what)
        taken.finish()
        if response.oversize or taken.size != blob.size:
            found = f"more than {blob.size}" if response.oversize else f"{taken.size}"
            raise self._nonsense(what, f"its content has {found} bytes, {blob.size} were announced")
        if taken.digest != blob.digest:
            raise self._nonsense(what, f"its content is {taken.digest}")
        self._remember(blob.digest, repository)

    def read_blob(self, repository: Repository, blob: Descriptor) -> bytes:
        """Fetch and check a small blob (one GET): its descriptor's size is how much memory it may take."""
        content = io.BytesIO()
        self.download_blob(repository, blob, content)
        return content.getvalue()

    def mount_source(self, repository: Repository, digest: str, origin: Repository | None) -> Repository | None:
        """Where in this registry a blob may be mounted from: where this client has seen it, else `origin`."""
        source = self._home(digest, repository) or origin
        return None if source is None or source.registry != self.registry or source == repository else source

    def mount_blob(self, repository: Repository, digest: str, origin: Repository | None) -> bool:
        """Make a blob exist in a repository without its content: out of where this client has seen it, else `origin`.

        False where there is no such place in this registry, or the registry does not mount it from there for this login
        (it may then have opened an upload, which ends by itself).
        """
        source = self.mount_source(repository, digest, origin)
        if source is None:
            return False
        what = f"cannot mount blob {repository}@{digest} from {source}"
        try:
            response = self._sender.retry(partial(self._mount, repository, source, digest, what))
        except Unavailable:
            # What breaks over a mount may take the content nevertheless.
            response = None
        if response is None or response.status != 201:
            self._forget(digest, source)
            return False
        self._remember(digest, repository)
        return True

    def upload_blob(
        self,
        repository: Repository,
        blob: Descriptor,
        open_blob: Callable[[], BinaryIO],
        *,
        known_missing: bool = False,
    ) -> UploadOutcome:
        """Make a blob exist in a repository: look, mount it from where this client has seen it, else stream it.

        One that several repositories need at the same time is sent to the first, and the others mount it.

        Args:
            repository: where it shall be.
            blob: its digest and size.
            open_blob: opens the content anew; called once for each attempt, only if it must be sent.
            known_missing: the caller has just asked: leave out the first HEAD.
        """
        look = not known_missing
        what = f"cannot upload blob {repository}@{blob.digest}"

        def attempt() -> UploadOutcome:
            nonlocal look
            # Not in a retry of its own: the whole is tried again, and a broken upload may have got through.
            if look and self.blob_exists(repository, blob.digest):
                return UploadOutcome.EXISTS
            look = True
            location = self._start_upload(repository, blob.digest, what)
            if location is None:
                return UploadOutcome.MOUNTED
            self._finish_upload(repository, location, blob, open_blob, what)
            return UploadOutcome.UPLOADED

        with self._lock:
            alone = self._uploads.setdefault(blob.digest, threading.Lock())
        with alone:
            outcome = self._sender.retry(attempt)
            self._remember(blob.digest, repository)
        return outcome

    def delete_blob(self, repository: Repository, digest: str) -> None:
        """Take a blob out of a repository. Raises Refused where that is not offered."""
        self._delete(repository, f"blobs/{digest}", f"cannot delete blob {repository}@{digest}")
        self._forget(digest, repository)

    def _start_upload(self, repository: Repository, digest: str, what: str) -> str | None:
        """Mount the blob (None) or open an upload session (its address). A mount that fails opens one as well."""
        source = self._home(digest, repository)
        if source is not None:
            response = self._mount(repository, source, digest, what)
            if response is not None and response.status == 201:
                return None
            self._forget(digest, source)
            if response is not None and response.status == 202:
                return self._session(response, what)
        response = self._send(
            self._request("POST", repository, "blobs/uploads/"), self._scopes(repository, Access.PUSH), what, once=True
        )
        if response.status != 202:
            raise self._refusal(response, what)
        return self._session(response, what)

    def _mount(self, repository: Repository, source: Repository, digest: str, what: str) -> Response | None:
        """The answer to a mount; None where there is no token for both repositories. Raises Transient."""
        query = urlencode({"mount": digest, "from": source.path})
        scopes = self._scopes(repository, Access.PUSH) | self._scopes(source, Access.PULL)
        try:
            return self._send(self._request("POST", repository, f"blobs/uploads/?{query}"), scopes, what, once=True)
        except (Forbidden, InvalidResponse, Unauthorized):
            # What may be sent need not be mounted.
            return None

    def _session(self, response: Response, what: str) -> str:
        location = response.header("Location")
        if not location:
            raise self._nonsense(what, "it opened an upload without saying where")
        return join_url(response.url, location, what)

    def _remember(self, digest: str, repository: Repository) -> None:
        """Note where a blob or manifest is: from there a blob can be mounted into other repositories."""
        with self._lock:
            self._homes.setdefault(digest, {})[repository] = None

    def _forget(self, digest: str, repository: Repository) -> None:
        with self._lock:
            self._homes.get(digest, {}).pop(repository, None)

    def _home(self, digest: str, repository: Repository) -> Repository | None:
        """Another repository that has the blob, as far as this client has seen."""
        with self._lock:
            return next((home for home in self._homes.get(digest, ()) if home != repository), None)

    def _finish_upload(
        self, repository: Repository, location: str, blob: Descriptor, open_blob: Callable[[], BinaryIO], what: str
    ) -> None:
        parts = urlsplit(location)
        query = "&".join(part for part in (parts.query, urlencode({"digest": blob.digest})) if part)
        request = Request(
            "PUT",
            parts._replace(query=query).geturl(),
            {"Content-Type": "application/octet-stream"},
            Body(open_blob, blob.size),
            timeout=UPLOAD_SECONDS,
        )
        response = self._send(request, self._scopes(repository, Access.PUSH), what, once=True)
        if response.status == 404:
            # The session is gone, with a restart of the registry perhaps: a new one may live.
            raise Transient(self._refusal(response, what), parts.netloc)
        if response.status not in (200, 201, 204) or _is_page(response):
            raise self._refusal(response, what)
        kept = response.header("Docker-Content-Digest")
        if kept not in ("", blob.digest):
            raise self._nonsense(what, f"it kept {kept[:140]!r}")

    # Tags

    def list_tags(self, repository: Repository, *, access: Access = Access.PULL) -> tuple[str, ...]:
        """All tags, every page of them; empty when the repository does not exist."""
        what = f"cannot list the tags of {repository}"
        request = replace(self._request("GET", repository, f"tags/list?n={_PAGE}"), limit=_MAX_TAGS_SIZE)
        tags: dict[str, None] = {}
        for response in self._pages(request, repository, access, what, _MAX_PAGES):
            if response.status == 404 and _is_definite(response):
                return ()
            if response.status != 200:
                raise self._refusal(response, what)
            tags.update(dict.fromkeys(self._read_tags(response, what)))
        return tuple(tags)

    def _read_tags(self, response: Response, what: str) -> list[str]:
        if response.oversize:
            raise self._nonsense(what, f"one page has more than {_MAX_TAGS_SIZE} bytes")
        try:
            fields = json.loads(response.body)
        except (ValueError, RecursionError):
            raise self._nonsense(what, f"its answer is not JSON: {response.body[:40]!r}") from None
        tags = fields.get("tags", ()) if isinstance(fields, dict) else ()
        if tags is None:
            return []
        if not isinstance(tags, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in tags):
            raise self._nonsense(what, f"its answer is no list of tags: {response.body[:40]!r}")
        return tags

    def _pages(
        self, request: Request, repository: Repository, access: Access, what: str, most: int
    ) -> Iterator[Response]:
        """The answer to a question for a list, and to those for its further pages, whatever their status."""
        following: Request | None = request
        seen: set[str] = set()
        while following is not None:
            if following.url in seen or len(seen) >= most:
                raise self._nonsense(what, f"its pages have no end ({len(seen)} read)")
            seen.add(following.url)
            response = self._send(following, self._scopes(repository, access), what)
            yield response
            following = self._next_page(following, response, what)

    def _next_page(self, request: Request, response: Response, what: str) -> Request | None:
        link = _NEXT.search(response.header("Link"))
        if link is None:
            return None
        url = join_url(response.url, link[1], what)
        if not same_origin(url, request.url):
            raise self._nonsense(what, f"its next page is elsewhere: {shown(url)}")
        return replace(request, url=url)

    # What the registry is like

    @property
    def address(self) -> str:
        """The registry's address, with its scheme. With `insecure`, asking for it asks the registry."""
        return self._base()

    def ping(self) -> Response:
        """What the registry answers to who has not said who they are (one GET). Raises Unavailable, Throttled."""
        return self._sender.send(Request("GET", f"{self._base()}/v2/"), f"cannot reach {self.registry}")

    def ask(self, method: str, repository: Repository, rest: str, *, access: Access = Access.PULL) -> Response:
        """The answer to a GET or HEAD as it is, for who wants to know how a registry answers."""
        request = self._request(method, repository, rest, headers={"Accept": _ACCEPT})
        return self._send(request, self._scopes(repository, access), f"cannot read {repository}/{rest}")

    def authorization(self, repository: Repository, access: Access) -> Authorization:
        """What lets this client in, as far as the registry has asked for it: known after a request of that access."""
        return self._authorizer.describe(_scope(repository, access), f"cannot get a token for {repository}")

    # Requests

    def _request(
        self, method: str, repository: Repository, rest: str, *, headers: dict[str, str] | None = None
    ) -> Request:
        if repository.registry != self.registry:
            raise InvalidReference(
                f"cannot use {repository}", f"this client is for {self.registry}", "Make a client for each registry."
            )
        return Request(method, f"{self._base()}/v2/{repository.path}/{rest}", headers or {})

    def _base(self) -> str:
        """The registry's address, found once: plain HTTP on this machine, else TLS (or none, if insecure)."""
        with self._lock:
            if self._address is None:
                host = _DOCKER_HUB_API if self.registry in _DOCKER_HUB else self.registry
                scheme = "http" if is_loopback(urlsplit(f"//{host}").hostname or "") else "https"
                if scheme == "https" and self._insecure and not self._speaks_tls(host):
                    scheme = "http"
                self._address = f"{scheme}://{host}"
            return self._address

    def _speaks_tls(self, host: str) -> bool:
        try:
            self._sender.probe(Request("GET", f"https://{host}/v2/"))
        except (OSError, HTTPException) as error:
            # With a port, something else may answer there; without one, a registry may listen on 80 alone.
            return not (is_tls_missing(error) or (":" not in host and isinstance(error, ConnectionRefusedError)))
        return True

    def _scopes(self, repository: Repository, access: Access) -> frozenset[Scope]:
        return frozenset({_scope(repository, access)})

    def _send(self, request: Request, scopes: frozenset[Scope], what: str, *, once: bool = False) -> Response:
        """Send with authorization, renewing it once on 401. `once`: the caller retries (Transient is raised)."""
        send = self._sender.once if once else self._sender.send
        own = same_origin(request.url, self._base())
        used = self._authorizer.header(scopes, what) if own else None
        response = send(_authorized(request, used), what)
        if response.status != 401 or not own or not same_origin(response.url, request.url):
            return response
        renewed = self._authorizer.answer(response, used, scopes, what)
        if renewed == used:
            return response
        return send(_authorized(request, renewed), what)

    def _refusal(self, response: Response, what: str) -> OciError:
        """The error for an answer that is not what was hoped for."""
        why = f"{urlsplit(response.url).netloc} answered {server_words(response)}"
        if response.status == 401:
            return self._authorizer.refused(what, response)
        if response.status == 403:
            remedy = f"Check that this login may do that (docker login {self.registry}) and that the repository exists."
            if "rate limit" in why.lower():
                remedy = "Wait some minutes, then run the same command again."
            return Forbidden(what, why, remedy)
        if response.status == 404 and _is_definite(response):
            return NotFound(what, why, "Check the name; list what there is.")
        if response.status in (400, 405, 409, 410, 411, 412, 413, 415, 416, 422):
            return Refused(what, why, "See what the registry says and change the request.", status=response.status)
        return self._nonsense(what, f"it answered {server_words(response)}")

    def _nonsense(self, what: str, why: str) -> InvalidResponse:
        return InvalidResponse(
            what,
            f"{self.registry} does not answer like a registry: {why}",
            f"Check that {self.registry} is the registry, and what stands before it (proxy, login page).",
        )


class _Taken:
    """What of a blob has been written to a file in the latest attempt: its size and digest.

    A file that cannot be written is NotKept: an OSError would look like one of the network.
    """

    def __init__(self, out: BinaryIO, digest: str, what: str) -> None:
        self._out = out
        self._algorithm = digest.partition(":")[0]
        self._what = what
        self.start()

    def start(self) -> Callable[[bytes], None]:
        """Empty the file for an attempt, and return what takes its content."""
        with self._writing():
            self._out.seek(0)
            self._out.truncate()
        self.size = 0
        self._hash = hashlib.new(self._algorithm)
        return self._take

    @property
    def digest(self) -> str:
        """Of what has been taken."""
        return f"{self._algorithm}:{self._hash.hexdigest()}"

    def finish(self) -> None:
        """Write what has been taken but not been written yet."""
        with self._writing():
            self._out.flush()

    def _take(self, block: bytes) -> None:
        with self._writing():
            self._out.write(block)
        self._hash.update(block)
        self.size += len(block)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise NotKept(
                self._what,
                f"{getattr(self._out, 'name', 'the file')} cannot be written ({error.strerror or error})",
                "Make room on the disk, then run the same command again.",
            ) from None


def _scope(repository: Repository, access: Access) -> Scope:
    return Scope(repository.path, push=access is not Access.PULL, delete=access is Access.DELETE)


def _authorized(request: Request, authorization: str | None) -> Request:
    if authorization is None:
        return request
    return replace(request, headers={**request.headers, "Authorization": authorization})


def _is_definite(response: Response) -> bool:
    """Whether a 404 says that there is no such thing, and not just that this address means nothing to the server."""
    return not response.body or any(code in _ABSENT for code in _codes(response))


def _is_page(response: Response) -> bool:
    """Whether a success is a page for people: what stands before a registry may answer everything with its login."""
    media_type = response.header("Content-Type").partition(";")[0].strip().lower()
    return media_type == "text/html" and not response.header("Docker-Content-Digest")


def _codes(response: Response) -> list[str]:
    """The codes in the error body of the distribution specification; none where it is something else."""
    try:
        codes: list[Any] = [error["code"] for error in json.loads(response.body)["errors"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
    return [code for code in codes if isinstance(code, str)]
