"""HTTP/1.1 over a pool of kept-alive connections.

On http.client, not urllib3: a re-tag is a handful of requests, so the start counts. Without .pyc files of their own, on
one machine: `import http.client, ssl` 14 ms, `import urllib3` 51 ms, `import requests` over 100 ms. What http.client
lacks and a registry needs is this module: keeping connections, starting anew when a kept one has gone stale, hearing
an early refusal of an upload, limiting an answer's size, proxies.
"""

from __future__ import annotations

import http.client
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import SplitResult, urlsplit

from tools.oci.errors import BlobMismatch
from tools.oci.parallel import run_all

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
"""How long the other side may be silent."""
UPLOAD_SECONDS = 300.0
"""The same after a blob was sent: a registry may then move it to its own storage."""

_BLOCK = 1024 * 1024
_STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


@dataclass(frozen=True, slots=True)
class Body:
    """What a request carries: `open` starts it anew for each attempt, `size` is in bytes."""

    open: Callable[[], BinaryIO]
    size: int


@dataclass(frozen=True, slots=True)
class Sink:
    """What takes the content of a 200: `start` gives it, anew for each attempt, and it takes at most `size` bytes."""

    start: Callable[[], Callable[[bytes], object]]
    size: int


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `limit` is how many bytes of an answer are read, `timeout` the silence allowed in seconds.

    `sink` takes the content of a 200, which is then in no Response.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | Body | None = field(default=None, repr=False)
    timeout: float = READ_SECONDS
    limit: int = 4 * 1024 * 1024
    sink: Sink | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response, read to its end. `oversize`: it went on after the request's limit or the sink's size."""

    url: str
    status: int
    reason: str
    headers: http.client.HTTPMessage = field(repr=False)
    body: bytes = field(repr=False)
    oversize: bool = False

    def header(self, name: str) -> str:
        """A header's value, empty if it is not there."""
        return self.headers.get(name) or ""


class Transport:
    """The connections. Safe to use from several threads; as many as requests at the same time, and those made ahead."""

    def __init__(self, on_sent: Callable[[int], None]) -> None:
        """`on_sent` is told the number of body bytes as they are sent."""
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._made_ahead: set[tuple[str, str]] = set()
        self._lock = threading.Lock()
        self._on_sent = on_sent

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            connections = [connection for kept in self._idle.values() for connection in kept]
            self._idle.clear()
        for connection in connections:
            connection.close()

    def connect_ahead(self, address: str, count: int) -> None:
        """Open so many connections at the same time, once. Where that fails, a request will say why."""
        url = urlsplit(address)
        key = (url.scheme, url.netloc)

        def connect() -> None:
            connection = _connect(url)
            try:
                connection.connect()
            except (OSError, http.client.HTTPException):
                connection.close()
                return
            with self._lock:
                self._idle.setdefault(key, []).append(connection)

        with self._lock:
            if key in self._made_ahead or self._idle.get(key):
                return
            self._made_ahead.add(key)
        run_all([connect] * count, at_once=count)

    def exchange(self, request: Request) -> Response:
        """Send a request and read its answer. Raises OSError or http.client.HTTPException when there is none."""
        url = urlsplit(request.url)
        key = (url.scheme, url.netloc)
        with self._lock:
            kept = self._idle.get(key)
            connection = kept.pop() if kept else None
        if connection is not None:
            try:
                return self._talk(connection, key, url, request)
            except _STALE:
                # Most likely the server closed it while it was idle. Of an upload one cannot know: it may have got
                # through, and its session be over.
                if isinstance(request.body, Body):
                    raise
        return self._talk(_connect(url), key, url, request)

    def _talk(
        self, connection: http.client.HTTPConnection, key: tuple[str, str], url: SplitResult, request: Request
    ) -> Response:
        done = False
        try:
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(request.timeout)
            answer, early = self._converse(connection, url, request)
            if request.sink is not None and answer.status == 200:
                body, oversize = b"", _pour(answer, request.sink)
            else:
                body = answer.read(request.limit + 1)
                oversize = len(body) > request.limit
            if answer.length and not oversize:  # read(n) does not complain about a body that breaks off
                raise http.client.IncompleteRead(body, answer.length)
            done = not (early or oversize or answer.will_close) and answer.isclosed()
            return Response(
                request.url, answer.status, answer.reason, answer.headers, body[: request.limit], oversize=oversize
            )
        finally:
            if done:
                with self._lock:
                    self._idle.setdefault(key, []).append(connection)
            else:
                connection.close()

    def _converse(
        self, connection: http.client.HTTPConnection, url: SplitResult, request: Request
    ) -> tuple[http.client.HTTPResponse, bool]:
        """The answer's head, and whether it came before the request was sent whole."""
        try:
            self._send(connection, url, request)
        except (BrokenPipeError, ConnectionResetError) as broken:
            # A server that refuses an upload may answer and hang up before it has read it all: its answer says why.
            try:
                return connection.getresponse(), True
            except (OSError, http.client.HTTPException):
                raise broken from None
        return connection.getresponse(), False

    def _send(self, connection: http.client.HTTPConnection, url: SplitResult, request: Request) -> None:
        target = url._replace(scheme="", netloc="", fragment="").geturl() or "/"
        if isinstance(connection, _ViaProxy):
            target = request.url
        headers = {"User-Agent": "slipway", **request.headers}
        if isinstance(request.body, Body):
            headers["Content-Length"] = str(request.body.size)
            with request.body.open() as stream:
                connection.request(
                    request.method, target, body=_Exactly(stream, request.body.size, self._on_sent), headers=headers
                )
        else:
            connection.request(request.method, target, body=request.body, headers=headers)
            self._on_sent(len(request.body or b""))


class _Exactly:
    """A stream of as many bytes as were announced: fewer would leave the server waiting, more would confuse it."""

    def __init__(self, stream: BinaryIO, size: int, on_read: Callable[[int], None]) -> None:
        self._stream = stream
        self._left = size
        self._on_read = on_read

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes (http.client asks for one block after the other)."""
        block = self._stream.read(size)
        self._left -= len(block)
        if self._left < 0 or (not block and self._left > 0):
            raise BlobMismatch(
                f"cannot send {getattr(self._stream, 'name', 'a blob')}",
                f"it has {abs(self._left)} bytes {'more' if self._left < 0 else 'fewer'} than its descriptor says",
                "Build the image again.",
            )
        self._on_read(len(block))
        return block


def _pour(answer: http.client.HTTPResponse, sink: Sink) -> bool:
    """Hand an answer's content on, block by block; tell whether it goes on after the sink's size."""
    take = sink.start()
    left = sink.size
    while block := answer.read(min(_BLOCK, left + 1)):
        if len(block) > left:
            return True
        take(block)
        left -= len(block)
    return False


class _ViaProxy(http.client.HTTPConnection):
    """A connection to a proxy that is asked for whole URLs (plain HTTP)."""


def _connect(url: SplitResult) -> http.client.HTTPConnection:
    host, port = url.hostname or "", url.port
    proxy = _proxy(url)
    if url.scheme == "https":
        import ssl  # only where there is TLS

        # create_default_context honours SSL_CERT_FILE and SSL_CERT_DIR.
        secure = http.client.HTTPSConnection(
            proxy.hostname or "" if proxy else host,
            (proxy.port or 80) if proxy else port,
            timeout=CONNECT_SECONDS,
            blocksize=_BLOCK,
            context=ssl.create_default_context(),
        )
        if proxy:
            secure.set_tunnel(host, port or 443, headers=_proxy_headers(proxy))
        return secure
    if proxy:
        return _ViaProxy(proxy.hostname or "", proxy.port or 80, timeout=CONNECT_SECONDS, blocksize=_BLOCK)
    return http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS, blocksize=_BLOCK)


def _proxy(url: SplitResult) -> SplitResult | None:
    """The proxy that the environment names for a URL; this machine is never asked through one."""
    if is_loopback(url.hostname or "") or not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass  # slow to import

    proxy = getproxies().get(url.scheme)
    if not proxy or proxy_bypass(url.netloc.rpartition("@")[2]):
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    from base64 import b64encode  # rarely needed
    from urllib.parse import unquote

    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(user.encode()).decode()}"}


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: localhost, 127.0.0.0/8 or ::1."""
    name = host.strip("[]").lower()
    parts = name.split(".")
    return name in ("localhost", "::1") or (
        len(parts) == 4 and parts[0] == "127" and all(part.isdecimal() and int(part) < 256 for part in parts)
    )
