"""Who we are to a registry: Basic, or Bearer tokens from its token service (distribution's "Token Authentication").

Nothing is sent before the registry asks (401 with WWW-Authenticate). Once it has asked, further tokens are fetched
without being asked again. A token is kept for its scopes, and one that may push serves a pull.
"""

from __future__ import annotations

import json
import re
import threading
import time
from base64 import b64encode, urlsafe_b64decode
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from tools.oci.credentials import Credential, CredentialSource
from tools.oci.errors import Forbidden, InvalidResponse, Unauthorized
from tools.oci.retrying import Sender, server_words, shown
from tools.oci.transport import Request, Response, is_loopback

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110's word for a word
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=[\s,]|$)")
_PARAMETER = re.compile(rf'[\s,]*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))(?=[\s,]|$)')
_TOKEN68 = re.compile(r"\s+[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))")
_LEAST_LIFE = 60.0
"""Seconds. The token specification: clients take a shorter or missing expires_in as 60."""
_LEEWAY = 10.0


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a WWW-Authenticate header: the scheme and parameter names in lower case."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read WWW-Authenticate (RFC 9110, 11.6.1), several challenges and quoted commas included; junk ends it."""
    challenges: list[Challenge] = []
    position = 0
    while position < len(header):
        parameter = _PARAMETER.match(header, position)
        if parameter is not None and challenges:
            quoted, plain = parameter[2], parameter[3]
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            challenges[-1].parameters.setdefault(parameter[1].lower(), value)
            position = parameter.end()
            continue
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            break
        challenges.append(Challenge(scheme[1].lower(), {}))
        position = scheme.end()
        if _PARAMETER.match(header, position) is None:
            blob = _TOKEN68.match(header, position)
            position = blob.end() if blob is not None else position
    return tuple(challenges)


@dataclass(frozen=True, slots=True, order=True)
class Scope:
    """What a token is for: to pull from a repository of the registry, or also to push to it, or to delete there."""

    path: str
    push: bool = False
    delete: bool = False

    def __str__(self) -> str:
        return f"repository:{self.path}:pull{',push' * self.push}{',delete' * self.delete}"

    def covers(self, other: Scope) -> bool:
        """Whether this allows what the other one does."""
        return self.path == other.path and self.push >= other.push and self.delete >= other.delete


@dataclass(frozen=True, slots=True)
class Authorization:
    """How a registry lets a client in, without the secrets.

    scheme: basic or bearer; None where the registry has not asked who it is.
    source: where the login comes from; None for anybody.
    granted: the actions that the token says it allows in a repository; None where it does not say.
    """

    scheme: str | None
    source: str | None
    granted: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    scopes: frozenset[Scope]
    expires: float

    def covers(self, scopes: frozenset[Scope]) -> bool:
        return all(any(mine.covers(scope) for mine in self.scopes) for scope in scopes)


class Authorizer:
    """Authorization headers for one registry. Safe to use from several threads: of these, one fetches a token."""

    def __init__(self, sender: Sender, registry: str, credentials: CredentialSource, *, insecure: bool) -> None:
        self._sender = sender
        self._registry = registry
        self._credentials = credentials
        self._insecure = insecure
        self._lock = threading.Lock()
        self._scope_locks: dict[frozenset[Scope], threading.Lock] = {}
        self._credential_lock = threading.Lock()
        self._credential: tuple[Credential | None] | None = None
        self._challenge: Challenge | None = None
        self._tokens: list[_Token] = []

    def header(self, scopes: frozenset[Scope], what: str) -> str | None:
        """The Authorization for a request of these scopes, or None while the registry has not asked for any."""
        return None if self._challenge is None else self._obtain(scopes, None, what)

    def answer(self, response: Response, used: str | None, scopes: frozenset[Scope], what: str) -> str:
        """The Authorization after a 401 to a request that had `used`. Raises Unauthorized, Forbidden, Unanswered."""
        challenges = parse_challenges(", ".join(response.headers.get_all("WWW-Authenticate") or ()))
        known = {challenge.scheme: challenge for challenge in reversed(challenges)}
        challenge = known.get("bearer") or known.get("basic")
        if challenge is None:
            raise self.refused(what, response)
        self._challenge = challenge
        return self._obtain(scopes, used, what)

    def describe(self, scope: Scope, what: str) -> Authorization:
        """What a request of this scope is let in by. Raises Unauthorized, Forbidden, Unanswered."""
        header = self.header(frozenset({scope}), what)
        if header is None:
            return Authorization(None, None, None)
        credential = self._find_credential()
        scheme, _, token = header.partition(" ")
        granted = _granted(token, scope.path) if scheme == "Bearer" else None
        return Authorization(scheme.lower(), credential.source if credential else None, granted)

    def _obtain(self, scopes: frozenset[Scope], stale: str | None, what: str) -> str:
        """A header for the scopes that is not `stale`; of several threads one fetches it, the others wait for it."""
        with self._lock:
            lock = self._scope_locks.setdefault(scopes, threading.Lock())
        with lock:
            with self._lock:
                now = time.monotonic()
                self._tokens = [token for token in self._tokens if token.header != stale and token.expires > now]
                for token in self._tokens:
                    if token.covers(scopes):
                        return token.header
            token = self._fetch(scopes, what)
            if token.header != stale:
                with self._lock:
                    self._tokens.append(token)
            return token.header

    def _fetch(self, scopes: frozenset[Scope], what: str) -> _Token:
        challenge = self._challenge
        credential = self._find_credential()
        if challenge is None or challenge.scheme == "basic":
            if credential is None or not credential.username:
                raise self.refused(what)
            return _Token(_basic(credential), scopes, float("inf"))
        if credential is not None and credential.registry_token:
            return _Token(f"Bearer {credential.registry_token}", scopes, float("inf"))
        return self._ask_service(challenge, credential, scopes, what)

    def _ask_service(
        self, challenge: Challenge, credential: Credential | None, scopes: frozenset[Scope], what: str
    ) -> _Token:
        realm = challenge.parameters.get("realm", "")
        self._check_realm(realm, what)
        # And what the registry names itself, where it is another repository: a proxy may know it under another name.
        named = challenge.parameters.get("scope", "").split()
        wanted = [str(scope) for scope in sorted(scopes)]
        wanted += [name for name in named if not any(name.startswith(f"repository:{own.path}:") for own in scopes)]
        query = [("service", challenge.parameters.get("service", ""))]
        query = [pair for pair in query if pair[1]]
        if credential is not None and credential.identity_token:
            form = [
                ("grant_type", "refresh_token"),
                *query,
                ("client_id", "slipway"),
                ("scope", " ".join(wanted)),
                ("refresh_token", credential.identity_token),
            ]
            request = Request(
                "POST", realm, {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode()
            )
        else:
            query += [("scope", scope) for scope in wanted]
            headers = {"Authorization": _basic(credential)} if credential is not None and credential.username else {}
            request = Request("GET", f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}", headers)
        response = self._sender.send(request, what)
        if response.status == 401:
            raise self.refused(what, response, f"its token service {shown(realm)}")
        if response.status == 403:
            raise Forbidden(
                what,
                f"the token service {shown(realm)} answered {server_words(response)}",
                "The repository may not exist, or this login may not use it: check its name, and log in: "
                f"docker login {self._registry}",
            )
        return self._read_token(response, scopes, what)

    def _read_token(self, response: Response, scopes: frozenset[Scope], what: str) -> _Token:
        try:
            fields = json.loads(response.body) if response.status == 200 else None
        except (ValueError, RecursionError):
            fields = None
        value = (fields.get("token") or fields.get("access_token")) if isinstance(fields, dict) else None
        if not isinstance(fields, dict) or not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            # Not in its own words: what it says may hold a token.
            raise InvalidResponse(
                what,
                f"the token service {shown(response.url)} answered {response.status} without a token",
                f"Check what runs at {shown(response.url)}.",
            )
        life = fields.get("expires_in")
        seconds = float(life) if isinstance(life, int | float) else _LEAST_LIFE
        return _Token(f"Bearer {value}", scopes, time.monotonic() + max(seconds, _LEAST_LIFE) - _LEEWAY)

    def _check_realm(self, realm: str, what: str) -> None:
        try:
            parts = urlsplit(realm)
            safe = bool(parts.hostname) and (
                parts.scheme == "https"
                or (parts.scheme == "http" and (self._insecure or is_loopback(parts.hostname or "")))
            )
        except ValueError:
            safe = False
        if not safe:
            raise InvalidResponse(
                what,
                f"{self._registry} names a token service that is no https address: {realm[:200]!r}",
                "A password is not sent there. Check the registry, or allow plain HTTP (--insecure).",
            )

    def _find_credential(self) -> Credential | None:
        with self._credential_lock:
            if self._credential is None:
                self._credential = (self._credentials.find(self._registry),)
            return self._credential[0]

    def refused(self, what: str, response: Response | None = None, who: str = "") -> Unauthorized:
        """The error for a 401 that nothing more can be done about."""
        words = server_words(response) if response is not None else "401 Unauthorized"
        login = (
            "with the login that Docker has for it" if self._credential and self._credential[0] else "without a login"
        )
        return Unauthorized(
            what,
            f"{who or self._registry} answered {words} ({login})",
            f"Log in and run the same command again: docker login {self._registry}",
        )


def _granted(token: str, path: str) -> frozenset[str] | None:
    """The actions in a repository that a token of distribution's specification claims; None if it is opaque."""
    try:
        payload = token.split(".")[1]
        access = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["access"]
        mine = [entry["actions"] for entry in access or () if (entry["type"], entry["name"]) == ("repository", path)]
        return frozenset(action for actions in mine for action in actions)
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _basic(credential: Credential) -> str:
    return "Basic " + b64encode(f"{credential.username}:{credential.password}".encode()).decode()
