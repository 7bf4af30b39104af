"""An HTTP server that does what it is told instead of what it should: the part that the registry in memory and the
proxy before a real one have in common.

HTTP/1.1 with kept-alive connections, a thread each. On socketserver and not http.server, whose reading of headers costs
more than an answer out of memory does.
"""

from __future__ import annotations

import contextlib
import re
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Self

from tests.fault_registry.faults import Answer, Armed, Asked, Fault, Headers, Route, Seen, error_answer
from tests.fault_registry.tokens import Doorkeeper, TokenRules
from tools.oci.reference import Repository

_NONE = Armed(Fault())
_MAX_LINE = 65536


class FaultServer:
    """The server, as a context manager. Who inherits from it says what it answers without faults.

    Args:
        latency: seconds added to each request.
        connection_latency: seconds added to each new connection, which costs a round trip of its own.
        tls: speak TLS with this context.
        host: the address it listens on, and under which it is known.
    """

    def __init__(
        self,
        *,
        latency: float = 0.0,
        connection_latency: float = 0.0,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.latency = latency
        self.connection_latency = connection_latency
        self.doorkeeper = Doorkeeper()
        self._host = host
        self._lock = threading.Lock()
        self._armed: list[Armed] = []
        self._seen: list[Seen] = []
        self._asked = 0
        self._connections = 0
        self._open: set[socket.socket] = set()
        self._most_open = 0
        self._immutable: Callable[[str], bool] | None = None
        self.scheme = "http" if tls is None else "https"
        self._server = _Server((host, 0), self, tls)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            left = list(self._open)
        for connection in left:  # Whoever kept one learns that nobody is there any more, and its thread ends.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{self._host}:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """The address with its scheme."""
        return f"{self.scheme}://{self.address}"

    def repository(self, path: str) -> Repository:
        """A repository, reached through this server."""
        return Repository(self.address, path)

    # Faults

    def inject(self, *faults: Fault) -> None:
        """Add faults; of those that match a request, the first that is not used up is done."""
        with self._lock:
            self._armed += [Armed(fault) for fault in faults]

    def heal(self) -> None:
        """Take all faults away."""
        with self._lock:
            self._armed.clear()

    def injections(self, fault: Fault) -> int:
        """How often a fault that was not taken away has happened, so that a client could notice."""
        with self._lock:
            return sum(armed.injected for armed in self._armed if armed.fault is fault)

    def check_injected(self) -> None:
        """See that every fault that was not taken away has happened. Raises AssertionError: the test proves nothing."""
        with self._lock:
            idle = [armed for armed in self._armed if not armed.injected]
        if idle:
            told = "; ".join(f"{armed.fault} (matched {armed.matched} requests)" for armed in idle)
            raise AssertionError(f"never injected: {told}")

    # Guards

    def require_token(
        self, users: dict[str, str] | None = None, *, refresh_tokens: Iterable[str] = (), **rules: Any
    ) -> None:
        """Demand Bearer tokens; its own token service gives them to these users, to anybody if there are none.

        For `rules` see TokenRules.
        """
        self.doorkeeper.demand_tokens(TokenRules(users or {}, frozenset(refresh_tokens), **rules))

    def require_login(self, users: dict[str, str]) -> None:
        """Demand Basic authentication of these users."""
        self.doorkeeper.demand_login(users)

    def revoke_tokens(self) -> None:
        """Let all tokens given so far be expired."""
        self.doorkeeper.revoke_tokens()

    def make_tags_immutable(self, *, but_for: str = "") -> None:
        """Refuse every PUT of a tag that exists, also with the same digest, as ECR does when told so.

        `but_for`: a regular expression of the tags that may move all the same.
        """
        self._immutable = lambda tag: not (but_for and re.fullmatch(but_for, tag))

    # The log

    def requests(self) -> list[Seen]:
        """What was asked since the start or the last forget, in order of their beginning."""
        with self._lock:
            return sorted(self._seen, key=lambda seen: seen.started)

    def forget_requests(self) -> None:
        """Let `requests` begin here."""
        with self._lock:
            self._seen.clear()

    def wait_idle(self, seconds: float = 30.0) -> None:
        """Wait until nobody is connected any more: what a client that was killed had sent has then been done."""
        deadline = time.monotonic() + seconds
        while self._open:
            if time.monotonic() > deadline:
                raise AssertionError(f"after {seconds:.0f} s there are still {len(self._open)} connections")
            time.sleep(0.002)

    @property
    def connections(self) -> int:
        """How many connections were made to it so far."""
        return self._connections

    @property
    def most_connections(self) -> int:
        """How many connections there were at the same time, at most."""
        return self._most_open

    # What is asked of who inherits from this

    def serve(self, asked: Asked, armed: Armed) -> Answer:
        """The answer without faults. `armed.fault.lag` is what may change the state; nothing else is to be done."""
        raise NotImplementedError

    def has_tag(self, asked: Asked) -> bool:
        """Whether the tag that is about to be written is there."""
        raise NotImplementedError

    # What the connections ask

    def _judge(self, asked: Asked) -> Answer | None:
        refusal = self.doorkeeper.judge(asked, self.url)
        if refusal is not None:
            return refusal
        written = asked.method == "PUT" and asked.route is Route.MANIFESTS and ":" not in asked.reference
        if written and self._immutable is not None and self._immutable(asked.reference) and self.has_tag(asked):
            return error_answer(400, "TAG_INVALID", "The image tag already exists and cannot be overwritten")
        return None

    def answer(self, asked: Asked, armed: Armed) -> Answer:
        """What the guards say, or else the registry."""
        return self._judge(asked) or self.serve(asked, armed)

    def admit(self, method: str, path: str, headers: Headers) -> Asked:
        """Number a request."""
        with self._lock:
            number = self._asked
            self._asked += 1
        return Asked.of(number, method, path, headers)

    def arm(self, asked: Asked) -> Armed:
        """The fault for a request, counted."""
        if not self._armed:
            return _NONE
        with self._lock:
            for armed in self._armed:
                fault = armed.fault
                if not fault.matches(asked) or (fault.times and armed.matched >= fault.skip + fault.times):
                    continue
                armed.matched += 1
                if armed.matched > fault.skip:
                    return armed
        return _NONE

    def record(self, seen: Seen) -> None:
        """Keep a record of a request."""
        with self._lock:
            self._seen.append(seen)

    def opened(self, connection: socket.socket) -> int:
        """Count a connection, and return its number."""
        with self._lock:
            self._connections += 1
            self._open.add(connection)
            self._most_open = max(self._most_open, len(self._open))
            return self._connections

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.discard(connection)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], owner: FaultServer, tls: ssl.SSLContext | None) -> None:
        self.owner = owner
        self._tls = tls
        super().__init__(address, _Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:  # Whoever is slow to shake hands keeps nobody else waiting.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the game."""


class _Connection(socketserver.StreamRequestHandler):
    rbufsize = 65536
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        self.owner = self.server.owner
        self.number = self.owner.opened(self.request)
        time.sleep(self.owner.connection_latency)
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def finish(self) -> None:
        self.owner.closed(self.request)
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def handle(self) -> None:
        """One request after the other, until one of both sides has enough."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while self.respond():
                pass

    def read_head(self) -> Asked | None:
        """The first line and the headers of a request, None if there is none."""
        line = self.rfile.readline(_MAX_LINE)
        words = line.decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/"):
            if line:  # Of TLS, most likely. A client that hears this does not try again.
                self.connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            return None
        headers: Headers = {}
        while (line := self.rfile.readline(_MAX_LINE)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return self.owner.admit(words[0], words[1], headers)

    def respond(self) -> bool:
        """Answer one request; return whether there may be another."""
        asked = self.read_head()
        if asked is None:
            return False
        self.started = time.monotonic()
        time.sleep(self.owner.latency)
        armed = self.owner.arm(asked)
        fault = armed.fault
        injected = fault.delay > 0 or fault.before is not None or fault.after is not None
        if fault.before is not None:
            fault.before(asked)
        time.sleep(fault.delay)
        if fault.reset_after is not None:
            announced = int(asked.header("content-length") or 0)
            most = fault.reset_after if "chunked" in asked.header("transfer-encoding") else announced
            self.cut(asked, armed, len(self.rfile.read(min(fault.reset_after, most))))
            return False
        asked = asked.with_body(self.read_body(asked))
        answer = fault.answer or self.owner.answer(asked, armed)
        injected |= fault.answer is not None
        if fault.change is not None:
            changed = fault.change(answer)
            injected |= changed != answer
            answer = changed
        if fault.after is not None:
            fault.after(asked)
        if fault.lose_answer:
            self.cut(asked, armed, len(asked.body))
            return False
        return self.give(asked, answer, armed, injected)

    def read_body(self, asked: Asked) -> bytes:
        """The body, whole."""
        if "100-continue" in asked.header("expect").lower():
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" not in asked.header("transfer-encoding"):
            size = int(asked.header("content-length") or 0)
            body = self.rfile.read(size) if size else b""
            if len(body) < size:
                raise ConnectionResetError("the request broke off")  # Half of it means nothing.
            return body
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def give(self, asked: Asked, answer: Answer, armed: Armed, injected: bool) -> bool:
        """Send an answer; return whether the connection stays."""
        body = answer.body if asked.method != "HEAD" and answer.status not in (204, 304) else b""
        headers = {name.title(): value for name, value in answer.headers.items()}
        headers.pop("Connection", None)
        headers.pop("Transfer-Encoding", None)
        if asked.method != "HEAD" and answer.status not in (204, 304):
            headers["Content-Length"] = str(len(body))
        elif answer.status not in (204, 304):
            headers.setdefault("Content-Length", str(len(answer.body)))
        keep = armed.fault.keep
        broken = keep is not None and keep < len(body)
        if broken:
            body = body[:keep]
        self.record(asked, answer.status, armed, injected or broken, len(asked.body), len(body))
        try:
            reason = HTTPStatus(answer.status).phrase
        except ValueError:
            reason = ""
        lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if len(body) < _MAX_LINE:
            self.connection.sendall(head + body)
        else:
            self.connection.sendall(head)
            self.connection.sendall(body)
        return keep is None and asked.header("connection").lower() != "close"

    def cut(self, asked: Asked, armed: Armed, received: int) -> None:
        """Reset the connection."""
        self.record(asked, 0, armed, True, received, 0)
        # Lingering for no time sends a reset, whatever is still to be read.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The files hold the socket open beyond its own close.
        self.wfile.close()
        self.rfile.close()
        self.connection.close()

    def record(self, asked: Asked, status: int, armed: Armed, injected: bool, received: int, sent: int) -> None:
        # Before the client can know: what it asks next has then begun later, and a test sees all that was answered.
        if injected:
            armed.injected += 1
        self.owner.record(
            Seen(
                method=asked.method,
                path=asked.path,
                status=status,
                started=self.started,
                ended=time.monotonic(),
                authorization=asked.header("authorization"),
                number=asked.number,
                connection=self.number,
                route=asked.route,
                repository=asked.repository,
                reference=asked.reference,
                received=received,
                sent=sent,
                fault=injected,
            )
        )
