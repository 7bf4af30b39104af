"""Retries, with one pace per host: a registry that says "not so fast" slows every request, not only the one it told.

Retried are 408, 429, 5xx and network errors, for a limited time from the first failure on. The wait is the server's own
hint (Retry-After in seconds or as a date; the Go duration that GitHub's registry writes into the body), else
exponential with full jitter.
"""

from __future__ import annotations

import http.client
import json
import math
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

from tools.oci.errors import InvalidResponse, OciError, Throttled, Unavailable
from tools.oci.transport import Request, Response, Transport

Result = TypeVar("Result")

_FIRST_WAIT = 0.25
_LONGEST_WAIT = 8.0
_NOTICED = 1.0  # Seconds of waiting that are worth a line.
_QUIET = 10.0  # Seconds for which a line holds for all that wait for the same reason.
_REDIRECTS = 5
_GO_DURATION = re.compile(r"retry-after:\s*((?:[0-9]+(?:\.[0-9]*)?(?:h|ms|m|s|us|µs|ns))+)", re.IGNORECASE)
_GO_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_SECRET = re.compile(r"\b(basic|bearer)\s+[A-Za-z0-9+/=._~-]{6,}", re.IGNORECASE)


def is_transient(status: int) -> bool:
    """Whether the same request may fare better later. 501 and 505 will not."""
    return status in (408, 429) or (status >= 500 and status not in (501, 505))


def wait_hint(response: Response, now: float) -> float | None:
    """Seconds that the server asks to wait, or None. `now` is the time of day in seconds since the epoch."""
    value = response.header("Retry-After").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    if value:
        from email.utils import parsedate_to_datetime  # rarely needed

        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - now)
        except (ValueError, OverflowError):
            pass  # Neither of the two forms: as if it were not there.
    match = _GO_DURATION.search(response.body[:4096].decode(errors="replace"))
    if match is None:
        return None
    parts = re.findall(r"([0-9.]+)(h|ms|m|s|us|µs|ns)", match[1].lower())
    return sum(float(number) * _GO_UNITS[unit] for number, unit in parts)


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures when the server gives no hint: full jitter below a doubling bound."""
    return random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(failures, 10)))


def server_words(response: Response) -> str:
    """What the server says, on one line: status, then its errors' codes and messages or the begin of the body."""
    words = ""
    try:
        errors = json.loads(response.body)["errors"]
        words = "; ".join(f"{error['code']}: {error.get('message', '')}" for error in errors)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        words = response.body[:400].decode(errors="replace")
    words = " ".join("".join(char if char.isprintable() else " " for char in words).split())
    words = _SECRET.sub(r"\1 ***", words)[:300]
    status = f"{response.status} {response.reason}".strip()
    return f"{status}: {words}" if words else status


def shown(url: str) -> str:
    """A URL without what may be secret: its query (signed links) and user."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Transient(Exception):  # it is caught by this package, which then waits or raises `error`
    """A failure that may pass. `hint`: seconds that the server asks to wait; `tries`: after so many it is final."""

    def __init__(self, error: OciError, host: str, hint: float | None = None, *, tries: float = math.inf) -> None:
        super().__init__(error)
        self.error = error
        self.host = host
        self.hint = hint
        self.tries = tries


class Meter:
    """Counts what is sent, over all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[str, int] = {}
        self._bytes = 0
        self._retries = 0
        self._waited = 0.0

    def add(self, *, method: str | None = None, sent: int = 0, retries: int = 0, waited: float = 0.0) -> None:
        """Count a request, bytes of a body, a retry, or seconds of waiting."""
        with self._lock:
            if method is not None:
                self._requests[method] = self._requests.get(method, 0) + 1
            self._bytes += sent
            self._retries += retries
            self._waited += waited

    @property
    def traffic(self) -> Traffic:
        """What was counted so far."""
        with self._lock:
            return Traffic(dict(sorted(self._requests.items())), self._bytes, self._retries, self._waited)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was sent. Requests to token services and retries are counted too."""

    requests: Mapping[str, int] = field(default_factory=dict)
    bytes_sent: int = 0
    retries: int = 0
    seconds_waited: float = 0.0

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.requests.values())

    @property
    def writes(self) -> int:
        """Requests that may change the registry."""
        return sum(count for method, count in self.requests.items() if method not in ("GET", "HEAD"))


_also: ContextVar[Meter | None] = ContextVar("_also", default=None)


@contextmanager
def metered(meter: Meter) -> Iterator[None]:
    """Count what is sent in the context by this meter as well, whichever clients and threads of `run_all` send it."""
    token = _also.set(meter)
    try:
        yield
    finally:
        _also.reset(token)


class Sender:
    """Requests with redirects, pace and retries over one transport. Safe to use from several threads."""

    def __init__(self, *, retry_for: float, on_wait: Callable[[str], None] | None, max_connections: int) -> None:
        self.retry_for = retry_for
        self._on_wait = on_wait
        self._transport = Transport(self._count_bytes)
        self._slots = threading.BoundedSemaphore(max_connections)
        self._lock = threading.Lock()
        self._not_before: dict[str, float] = {}
        self._told_until: dict[str, float] = {}
        self._meter = Meter()

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def connect_ahead(self, address: str, count: int) -> None:
        """See Transport."""
        self._transport.connect_ahead(address, count)

    @property
    def traffic(self) -> Traffic:
        """What has been sent so far."""
        return self._meter.traffic

    def send(self, request: Request, what: str) -> Response:
        """Send until there is an answer that is not transient. `what` fails, for errors: "cannot read R".

        Raises Throttled, Unavailable, InvalidResponse.
        """
        return self.retry(lambda: self.once(request, what))

    def retry(self, attempt: Callable[[], Result]) -> Result:
        """Call `attempt` until it raises no Transient, or raise its error when the time is over."""
        failures = 0
        give_up = 0.0
        while True:
            try:
                return attempt()
            except Transient as failure:
                now = time.monotonic()
                if not failures:
                    give_up = now + self.retry_for
                failures += 1
                wait = backoff(failures) if failure.hint is None else failure.hint
                if failures >= failure.tries or now + wait > give_up:
                    raise _final(failure, failures, wait) from None
                self._hold(failure, wait)

    def wait(self, text: str, seconds: float, situation: str = "") -> None:
        """Count a wait and sleep, and tell about it where a person would notice.

        Requests side by side all wait: one line is for all that are in the same situation, by default that of `text`.
        """
        if self._on_wait is not None and seconds >= _NOTICED and self._is_news(situation or text, seconds):
            self._on_wait(text)
        self._count(waited=seconds)
        time.sleep(seconds)

    def once(self, request: Request, what: str) -> Response:
        """One attempt, with its redirects. Raises Transient, InvalidResponse."""
        origin = request
        for _ in range(_REDIRECTS + 1):
            response = self._exchange(request, what)
            if response.status not in (301, 302, 303, 307, 308) or not response.header("Location"):
                return response
            if request.method not in ("GET", "HEAD") and response.status not in (307, 308):
                return response
            request = redirected(request, response, what)
        raise InvalidResponse(
            what,
            f"more than {_REDIRECTS} redirects, the last to {shown(request.url)}",
            f"Check the address of {urlsplit(origin.url).netloc} and what stands before it.",
        )

    def probe(self, request: Request) -> Response:
        """One bare attempt. Raises OSError or http.client.HTTPException when nobody answers."""
        self._count(method=request.method)
        return self._transport.exchange(request)

    def _exchange(self, request: Request, what: str) -> Response:
        host = urlsplit(request.url).netloc
        try:
            with self._slots:
                self._keep_pace(host)
                response = self.probe(request)
        except (OSError, http.client.HTTPException) as error:
            unavailable = Unavailable(
                what,
                f"no answer from {host} ({_reason(error)})",
                f"Check that {host} is reachable from here, then run the same command again.",
            )
            if _is_final(error):
                raise unavailable from None
            raise Transient(unavailable, host) from None
        if is_transient(response.status):
            kind = Throttled if response.status == 429 else Unavailable
            raise Transient(
                kind(what, f"{host} answered {server_words(response)}", "Run the same command again later."),
                host,
                wait_hint(response, time.time()),
            )
        return response

    def _keep_pace(self, host: str) -> None:
        """Wait until the host may be asked again."""
        while True:
            with self._lock:
                wait = self._not_before.get(host, 0.0) - time.monotonic()
            if wait <= 0:
                return
            time.sleep(wait)

    def _hold(self, failure: Transient, wait: float) -> None:
        """Wait, and where the server asked for it let every other request to that host wait as well."""
        if failure.hint is not None or isinstance(failure.error, Throttled):
            with self._lock:
                until = time.monotonic() + wait
                self._not_before[failure.host] = max(until, self._not_before.get(failure.host, 0.0))
        self._count(retries=1)
        asked = " as it asks" if failure.hint is not None else ""
        # Who does not answer, or answers what; not the rest of its words, which may be of the one request.
        situation = failure.error.why.partition(": ")[0]
        self.wait(f"{failure.error.what}: {failure.error.why}; trying again in {wait:.1f} s{asked}", wait, situation)

    def _is_news(self, situation: str, seconds: float) -> bool:
        """Whether no line of the last seconds has told it, and if so it counts as told."""
        with self._lock:
            now = time.monotonic()
            if now < self._told_until.get(situation, 0.0):
                return False
            self._told_until[situation] = now + max(seconds, _QUIET)
            return True

    def _count(self, **what: Any) -> None:
        self._meter.add(**what)
        if (also := _also.get()) is not None:
            also.add(**what)

    def _count_bytes(self, number: int) -> None:
        self._count(sent=number)


def redirected(request: Request, response: Response, what: str) -> Request:
    """The request that a redirect asks for; without Authorization when it leads to another origin."""
    url = join_url(request.url, response.header("Location"), what)
    headers = dict(request.headers)
    if not same_origin(url, request.url):
        headers.pop("Authorization", None)
    return replace(request, url=url, headers=headers)


def join_url(source: str, location: str, what: str) -> str:
    """The address to which a response from `source` leads. Raises InvalidResponse if not HTTP(S) or out of TLS."""
    host = urlsplit(source).netloc
    try:
        target = urljoin(source, location)
        parts = urlsplit(target)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        why = f"{host} sends on to {location[:80]!r}, which is no address of HTTP"
    elif parts.scheme == "http" and urlsplit(source).scheme == "https":
        why = f"{host} sends on to {shown(target)}, which would leave TLS"
    else:
        return target
    raise InvalidResponse(what, why, f"Tell those who run {host}; behind a proxy it must be told its outer address.")


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _final(failure: Transient, failures: int, wait: float) -> OciError:
    error = failure.error
    if failure.hint is not None and failures == 1:
        error.why += f"; it asks to wait {wait:.0f} s, which is longer than this command does"
    elif failures > 1:
        error.why += f" ({failures} times)"
    return error


def is_tls_missing(error: Exception) -> bool:
    """Whether a TLS handshake failed because the other side does not speak TLS."""
    # By name, so that ssl is not imported for plain HTTP.
    return getattr(error, "reason", "") in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")


def _is_final(error: Exception) -> bool:
    """Whether waiting cannot help: a certificate that does not fit, a server that does not speak TLS."""
    return is_tls_missing(error) or getattr(error, "reason", "") == "CERTIFICATE_VERIFY_FAILED"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer broke off"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
