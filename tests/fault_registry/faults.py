"""The vocabulary of faults: what a server was asked, what it does instead of answering, and what it remembers of it.

The registry in memory and the proxy before a real one speak it both.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from enum import Enum
from urllib.parse import parse_qs, urlsplit

Headers = dict[str, str]


class Route(Enum):
    """The routes of the distribution API; a request for the session of an upload is one for UPLOADS."""

    BASE = "base"
    MANIFESTS = "manifests"
    BLOBS = "blobs"
    UPLOADS = "uploads"
    TAGS = "tags"
    REFERRERS = "referrers"
    CATALOG = "catalog"
    TOKEN = "token"
    OTHER = "other"


_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = rf"{_NAME}(?:/{_NAME})*"
_ROUTE = re.compile(
    rf"/v2/(?P<repository>{_REPOSITORY})/(?:(?P<uploads>blobs/uploads)/(?P<session>[^/]*)|(?P<tags>tags)/list"
    r"|(?P<kind>manifests|blobs|referrers)/(?P<reference>[^/]+))"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Attributes:
        number: of all the requests to this server, the first is 0.
        method: in capitals.
        path: with its query.
        headers: names in lower case; one that was sent several times is one, with commas.
        route: what the path leads to.
        repository: empty where there is none in the path.
        reference: a tag, digest or upload session; empty where there is none.
        body: empty until it has been read.
    """

    number: int
    method: str
    path: str
    headers: Headers = field(repr=False)
    route: Route
    repository: str
    reference: str
    body: bytes = field(default=b"", repr=False)

    @staticmethod
    def of(number: int, method: str, path: str, headers: Headers) -> Asked:
        """A request by its first line and headers."""
        bare = path.partition("?")[0]
        found = _ROUTE.fullmatch(bare)
        if found is None:
            known = {"/v2/": Route.BASE, "/v2/_catalog": Route.CATALOG, "/token": Route.TOKEN}
            return Asked(number, method, path, headers, known.get(bare, Route.OTHER), "", "")
        kind = "uploads" if found["uploads"] else found["tags"] or found["kind"]
        return Asked(
            number,
            method,
            path,
            headers,
            Route(kind),
            found["repository"],
            found["session"] or found["reference"] or "",
        )

    def header(self, name: str) -> str:
        """A header's value, empty if it is not there. `name` in lower case."""
        return self.headers.get(name, "")

    def query(self, name: str) -> str:
        """A parameter's first value, empty if it is not there."""
        return parse_qs(urlsplit(self.path).query).get(name, [""])[0]

    def with_body(self, body: bytes) -> Asked:
        """The same request, read to its end."""
        return replace(self, body=body)

    @property
    def is_write(self) -> bool:
        """Whether it may change the registry."""
        return self.method not in ("GET", "HEAD")


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


# Answers that registries have been seen to give


UNAUTHORIZED = error_answer(401, "UNAUTHORIZED", "authentication required")
"""Without a challenge, so that nobody can renew anything. One with a challenge is given to a token that has expired."""
DENIED = error_answer(403, "DENIED", "requested access to the resource is denied")
MISSING = error_answer(404, "MANIFEST_UNKNOWN", "manifest unknown")
PAGE_MISSING = Answer(404, {"Content-Type": "text/plain"}, b"404 page not found\n")
"""Of something that is no registry, or does not know the route."""
HTML = Answer(200, {"Content-Type": "text/html"}, b"<html><body>Sign in to continue</body></html>")
"""Of a login page, with a status that says that all is well."""
BROKEN = error_answer(500, "UNKNOWN", "out of order")
UNAVAILABLE = Answer(503, {"Content-Type": "text/html"}, b"<html>service unavailable</html>")


def throttled(seconds: float | str = "", *, message: str = "too many requests") -> Answer:
    """429; with Retry-After as it is given."""
    return error_answer(429, "TOOMANYREQUESTS", message, **({"Retry_After": str(seconds)} if seconds != "" else {}))


def throttled_until(seconds: float) -> Answer:
    """429 with Retry-After as a date, so many seconds from now. Dates have whole seconds: one less may be meant."""
    return throttled(formatdate(time.time() + seconds, usegmt=True))


def throttled_like_github(duration: str) -> Answer:
    """429 with the time to wait in the body alone, as a duration of Go: `1.5s`, `10.3ms`."""
    return throttled(message=f"retry-after: {duration}, allowed: 2000/minute")


# Changes of an answer


def wrong_digest(answer: Answer) -> Answer:
    """Another digest in the header that names it, where there is one."""
    if "Docker-Content-Digest" not in answer.headers:
        return answer
    return replace(answer, headers={**answer.headers, "Docker-Content-Digest": f"sha256:{'0' * 64}"})


def wrong_content(answer: Answer) -> Answer:
    """A content that is not what its digest says, where a success has any: a byte more, which JSON permits."""
    if answer.status not in (200, 206) or not answer.body:
        return answer
    return replace(answer, body=answer.body + b" ")


# Faults


@dataclass(frozen=True, slots=True)
class Lag:
    """How long what was written is not seen: until it was asked for so often, and for so many seconds."""

    readings: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What to do instead with requests that match, `times` of them after the first `skip` (0 times: for ever).

    A request matches when the method matches `method` whole, and the path (with its query) `path` anywhere; `route` and
    `repository` narrow it. So `Fault(skip=k, ...)` is for the k-th of all requests that are still to come.

    In the order in which they are done:
        before: called with the request, before its body is read.
        delay: seconds to wait.
        reset_after: the connection is reset after so many bytes of the request's body; nothing has happened then.
        answer: given in place of the registry's, which is not asked.
        change: what the registry answered, changed.
        lag: what the request writes is seen later. Of the registry in memory alone.
        after: called with the request when it has had its effect, before the answer is given.
        lose_answer: the connection is reset before the answer.
        keep: the answer is announced whole, but breaks off after so many bytes of its body.
    """

    method: str = ".*"
    path: str = ".*"
    times: int = 1
    skip: int = 0
    route: Route | None = None
    repository: str = ""
    before: Callable[[Asked], object] | None = None
    delay: float = 0.0
    reset_after: int | None = None
    answer: Answer | None = None
    change: Callable[[Answer], Answer] | None = None
    lag: Lag | None = None
    after: Callable[[Asked], object] | None = None
    lose_answer: bool = False
    keep: int | None = None

    def matches(self, asked: Asked) -> bool:
        """Whether a request is meant, the counting apart."""
        return (
            self.route in (None, asked.route)
            and self.repository in ("", asked.repository)
            and re.fullmatch(self.method, asked.method) is not None
            and re.search(self.path, asked.path) is not None
        )


@dataclass(slots=True)
class Armed:
    """A fault of a server, and how often it has happened.

    `injected` counts what a client could notice: an answer that was not changed, or a write whose lag nobody saw, is
    none.
    """

    fault: Fault
    matched: int = 0
    injected: int = 0


class Gate:
    """Holds requests back until it is opened: `Fault(before=gate)` or `Fault(after=gate)`.

    Args:
        seconds: after so long it opens by itself, so that no test hangs; `wait_reached` and `release` then tell.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        self._seconds = seconds
        self._reached = threading.Event()
        self._open = threading.Event()
        self._expired = False
        self.held: list[Asked] = []
        """The requests that have come to it."""

    def __call__(self, asked: Asked) -> None:
        """Hold a request back."""
        self.held.append(asked)
        self._reached.set()
        if not self._open.wait(self._seconds):
            self._expired = True
            self._open.set()

    def wait_reached(self) -> Asked:
        """Wait for the first request that comes to it, and return it."""
        if not self._reached.wait(self._seconds):
            raise AssertionError(f"no request came to the gate in {self._seconds:.0f} s")
        return self.held[0]

    def release(self) -> None:
        """Let all requests pass, those that are held and those to come."""
        self._open.set()
        if self._expired:
            raise AssertionError(f"nobody opened the gate for {self._seconds:.0f} s: it let {self.held[0]} pass")


# The log


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as a server saw it. Times in seconds of a monotonic clock; `status` 0: cut off.

    `received` and `sent` count bytes of bodies. `fault`: one that a client could notice was injected.
    """

    method: str
    path: str
    status: int
    started: float
    ended: float
    authorization: str = field(repr=False)
    number: int = 0
    connection: int = 0
    route: Route = Route.OTHER
    repository: str = ""
    reference: str = ""
    received: int = 0
    sent: int = 0
    fault: bool = False

    @property
    def is_write(self) -> bool:
        """Whether it may have changed the registry."""
        return self.method not in ("GET", "HEAD")


def round_trips(requests: Iterable[Seen]) -> int:
    """How many requests had to wait for each other: the longest chain in which each began after another had ended."""
    depth = 0
    chains: list[tuple[float, int]] = []
    for request in sorted(requests, key=lambda request: request.started):
        mine = 1 + max((length for ended, length in chains if ended <= request.started), default=0)
        chains.append((request.ended, mine))
        depth = max(depth, mine)
    return depth
