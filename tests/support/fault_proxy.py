"""A proxy before a real registry that adds what a healthy registry on the same machine never does: delay, refusals,
broken connections, lies, tokens that expire, immutable tags, lists of referrers. It keeps a record with times, so that
round trips that had to wait for each other can be counted.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tools.oci.reference import Repository

Headers = dict[str, str]

_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response."""

    status: int
    headers: Headers = field(default_factory=dict)
    body: bytes = b""


def error_answer(status: int, code: str, message: str = "", **headers: str) -> Answer:
    """A response with the error body of the distribution specification; `Retry_After` gives Retry-After."""
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"Content-Type": "application/json", **names}, body)


@dataclass(frozen=True, slots=True)
class Fault:
    """What to do instead with requests that match, `times` of them after the first `skip` (0 times: for ever).

    Exactly one of:
        answer: given without asking the registry.
        change: what the registry answered, changed.
        lose_answer: the registry is asked, the connection cut before its answer.
        reset_after: the connection is reset after so many bytes of the request's body; the registry is not asked.
        keep: the registry's answer is announced whole, but breaks off after so many bytes of its body.
    """

    method: str = ".*"
    path: str = ".*"
    times: int = 1
    skip: int = 0
    answer: Answer | None = None
    change: Callable[[Answer], Answer] | None = None
    lose_answer: bool = False
    reset_after: int | None = None
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as the proxy saw it. Times in seconds of a monotonic clock; `status` 0: cut off."""

    method: str
    path: str
    status: int
    started: float
    ended: float
    authorization: str = field(repr=False)


def round_trips(requests: Iterable[Seen]) -> int:
    """How many requests had to wait for each other: the longest chain in which each began after another had ended."""
    depth = 0
    chains: list[tuple[float, int]] = []
    for request in sorted(requests, key=lambda request: request.started):
        mine = 1 + max((length for ended, length in chains if ended <= request.started), default=0)
        chains.append((request.ended, mine))
        depth = max(depth, mine)
    return depth


class FaultProxy:
    """The proxy, as a context manager.

    Args:
        upstream: HOST:PORT of the real registry.
        latency: seconds added to each request.
        connection_latency: seconds added to each new connection, which costs a round trip of its own.
        tls: speak TLS with this context.
        host: the address it listens on, and under which it is known.
    """

    def __init__(
        self,
        upstream: str,
        *,
        latency: float = 0.0,
        connection_latency: float = 0.0,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.upstream = upstream
        self.latency = latency
        self.connection_latency = connection_latency
        self._host = host
        self._lock = threading.Lock()
        self._faults: list[list[int | Fault]] = []
        self._seen: list[Seen] = []
        self._users: dict[str, str] | None = None
        self._refresh_tokens: frozenset[str] = frozenset()
        self._realm = "/token"
        self._tokens: dict[str, frozenset[str]] = {}
        self._immutable = False
        self._referrers: dict[tuple[str, str], list[dict[str, Any]]] | None = None
        self._server = _Server((host, 0), _handler(self))
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{self._host}:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The address with its scheme."""
        return f"{self._scheme}://{self.address}"

    def repository(self, path: str) -> Repository:
        """A repository, reached through the proxy."""
        return Repository(self.address, path)

    def inject(self, *faults: Fault) -> None:
        """Add faults; of those that match a request, the first that is not used up is done."""
        with self._lock:
            self._faults += [[0, fault] for fault in faults]

    def heal(self) -> None:
        """Take all faults away."""
        with self._lock:
            self._faults.clear()

    def require_token(
        self, users: dict[str, str] | None = None, *, refresh_tokens: Iterable[str] = (), realm: str = "/token"
    ) -> None:
        """Demand Bearer tokens; its own token service gives them to these users, to anybody if there are none."""
        self._users = {} if users is None else users
        self._refresh_tokens = frozenset(refresh_tokens)
        self._realm = realm

    def revoke_tokens(self) -> None:
        """Let all tokens given so far be expired."""
        with self._lock:
            self._tokens.clear()

    def make_tags_immutable(self) -> None:
        """Refuse every PUT of a tag that exists, also with the same digest, as ECR does when told so."""
        self._immutable = True

    def list_referrers(self) -> None:
        """Keep lists of referrers, as registries of distribution-spec 1.1 do: one a page, so that there are pages."""
        self._referrers = {}

    def requests(self) -> list[Seen]:
        """What was asked since the start or the last forget, in order of their beginning."""
        with self._lock:
            return sorted(self._seen, key=lambda seen: seen.started)

    def forget_requests(self) -> None:
        """Let `requests` begin here."""
        with self._lock:
            self._seen.clear()

    # What the handler asks

    def record(self, seen: Seen) -> None:
        """Keep a record of a request."""
        with self._lock:
            self._seen.append(seen)

    def next_fault(self, method: str, path: str) -> Fault | None:
        """The fault for a request, counted."""
        with self._lock:
            for entry in self._faults:
                count, fault = entry
                assert isinstance(count, int)
                assert isinstance(fault, Fault)
                if not (re.fullmatch(fault.method, method) and re.search(fault.path, path)):
                    continue
                if fault.times and count >= fault.skip + fault.times:
                    continue
                entry[0] = count + 1
                if count >= fault.skip:
                    return fault
        return None

    def judge(self, method: str, path: str, headers: Message[str, str], body: bytes) -> Answer | None:
        """The answer of the token service or of the guards, None if the registry may be asked."""
        url = urlsplit(path)
        if self._users is not None and url.path == "/token":
            return self._give_token(url.query, headers, body.decode())
        if self._users is not None:
            name = re.match(r"/v2/(.+)/(?:manifests|blobs|tags)/", url.path)
            action = "pull" if method in ("GET", "HEAD") else "push"
            scope = f"{name[1]}:{action}" if name else ""
            token = (headers.get("Authorization") or "").removeprefix("Bearer ")
            with self._lock:
                granted = self._tokens.get(token)
            if granted is None or (scope and scope not in granted):
                realm = f"{self.url}{self._realm}" if self._realm.startswith("/") else self._realm
                challenge = f'Bearer realm="{realm}",service="test, registry"'
                if name:
                    challenge += f',scope="repository:{name[1]}:{"pull" if action == "pull" else "pull,push"}"'
                return error_answer(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=challenge)
        if self._immutable and method == "PUT" and "/manifests/" in path and "sha256:" not in path:
            present = forward(self.upstream, "HEAD", path, {"Accept": headers.get("Content-Type") or ""}, b"")
            if present.status == 200:
                return error_answer(400, "TAG_INVALID", "The image tag already exists and cannot be overwritten")
        if self._referrers is not None:
            return self._keep_referrers(self._referrers, method, path, headers, body)
        return None

    def _keep_referrers(
        self,
        lists: dict[tuple[str, str], list[dict[str, Any]]],
        method: str,
        path: str,
        headers: Message[str, str],
        body: bytes,
    ) -> Answer | None:
        url = urlsplit(path)
        asked = re.fullmatch(r"/v2/(.+)/referrers/(.+)", url.path)
        if method == "GET" and asked:
            with self._lock:
                entries = lists.get((asked[1], asked[2]), [])
            page = int(parse_qs(url.query).get("page", ["0"])[0])
            index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries[page : page + 1]}
            more = {"Link": f'<{url.path}?page={page + 1}>; rel="next"'} if page + 1 < len(entries) else {}
            return Answer(200, {"Content-Type": _INDEX, **more}, json.dumps(index).encode())
        written = re.fullmatch(r"/v2/(.+)/manifests/(.+)", url.path)
        if method != "PUT" or not written or "subject" not in (manifest := json.loads(body)):
            return None
        subject = manifest["subject"]["digest"]
        answer = forward(self.upstream, method, path, dict(headers.items()), body)
        entry = {
            "mediaType": manifest["mediaType"],
            "digest": f"sha256:{hashlib.sha256(body).hexdigest()}",
            "size": len(body),
            "artifactType": manifest.get("artifactType") or manifest["config"]["mediaType"],
            "annotations": manifest.get("annotations", {}),
        }
        with self._lock:
            entries = lists.setdefault((written[1], subject), [])
            if answer.status == 201 and entry not in entries:
                entries.append(entry)
        return Answer(answer.status, {**answer.headers, "OCI-Subject": subject}, answer.body)

    def _give_token(self, query: str, headers: Message[str, str], form: str) -> Answer:
        fields = parse_qs(form or query)
        basic = (headers.get("Authorization") or "").removeprefix("Basic ")
        user, _, password = base64.b64decode(basic).decode().partition(":")
        refreshed = fields.get("refresh_token", [""])[0] in self._refresh_tokens
        if self._users and not refreshed and (not user or self._users.get(user) != password):
            return error_answer(401, "UNAUTHORIZED", "incorrect username or password")
        scopes = " ".join(fields.get("scope", [])).split()
        granted = set()
        for scope in scopes:
            _, name, actions = scope.split(":")
            granted |= {f"{name}:{action}" for action in actions.split(",")}
        token = secrets.token_hex(16)
        with self._lock:
            self._tokens[token] = frozenset(granted)
        name = "access_token" if form else "token"
        body = json.dumps({name: token, "expires_in": 300}).encode()
        return Answer(200, {"Content-Type": "application/json"}, body)


def forward(upstream: str, method: str, path: str, headers: Headers, body: bytes) -> Answer:
    """Ask the real registry."""
    connection = http.client.HTTPConnection(upstream, timeout=60)
    try:
        connection.request(method, path, body=body if method not in ("GET", "HEAD") else None, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, dict(response.headers.items()), response.read())
    finally:
        connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the game."""


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Nothing: there is a record."""

        def setup(self) -> None:
            time.sleep(proxy.connection_latency)
            super().setup()

        def handle_request(self) -> None:
            self.started = time.monotonic()
            self.respond()

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request  # noqa: N815 - the base class's names

        def record(self, status: int) -> None:
            # Before the client can know: what it asks next has then begun later, and a test sees all that was answered.
            authorization = self.headers.get("Authorization") or ""
            proxy.record(Seen(self.command, self.path, status, self.started, time.monotonic(), authorization))

        def respond(self) -> None:
            time.sleep(proxy.latency)
            fault = proxy.next_fault(self.command, self.path) or Fault()
            if fault.reset_after is not None:
                self.rfile.read(fault.reset_after)
                self.cut()
                return
            body = self.read_body()
            answer = fault.answer or proxy.judge(self.command, self.path, self.headers, body)
            if answer is None:
                dropped = ("connection", "transfer-encoding", "content-length", "expect")
                headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
                answer = forward(proxy.upstream, self.command, self.path, headers, body)
            if fault.change is not None:
                answer = fault.change(answer)
            if fault.lose_answer:
                self.cut()
            else:
                self.give(answer, fault.keep)

        def read_body(self) -> bytes:
            if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            chunks = []
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def give(self, answer: Answer, keep: int | None) -> None:
            self.record(answer.status)
            self.send_response_only(answer.status)
            headers = {name.title(): value for name, value in answer.headers.items()}
            headers.pop("Connection", None)
            headers.pop("Transfer-Encoding", None)
            if self.command != "HEAD" and answer.status != 204:
                headers["Content-Length"] = str(len(answer.body))
            elif answer.status != 204:
                headers.setdefault("Content-Length", "0")
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body if keep is None else answer.body[:keep])
            if keep is not None:
                self.close_connection = True

        def cut(self) -> None:
            self.record(0)
            # Lingering for no time sends a reset, whatever is still to be read.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            # The files hold the socket open beyond its own close.
            self.wfile.close()
            self.rfile.close()
            self.connection.close()

    return Handler
