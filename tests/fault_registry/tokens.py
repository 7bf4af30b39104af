"""Who may ask: Basic authentication, or Bearer tokens of an own token service (distribution's "Token Authentication").

Scopes are told apart, tokens expire by time or by use, and somebody without a login may be allowed less.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.fault_registry.faults import Answer, Asked, Route, error_answer


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token service gives, and to whom.

    Attributes:
        users: names and passwords; without any, everybody is given whatever is asked for.
        refresh_tokens: what may be exchanged for a token, as an identity token is.
        realm: where the service is; on this server if it begins with a slash.
        anonymous: the actions that are given without a login where there are users: "pull", or none.
        readers: users who are given no more than "pull", without a word, as token services do.
        opaque: whether tokens keep to themselves what they allow; else they are JSON Web Tokens that claim it.
        lifetime: seconds for which a token is good; they are told to clients as they are.
        uses: how many requests a token is good for, which clients are not told; 0 for any number.
    """

    users: dict[str, str] = field(default_factory=dict, repr=False)
    refresh_tokens: frozenset[str] = field(default=frozenset(), repr=False)
    realm: str = "/token"
    anonymous: frozenset[str] = frozenset()
    readers: frozenset[str] = frozenset()
    opaque: bool = True
    lifetime: float = 300.0
    uses: int = 0


@dataclass(slots=True)
class _Grant:
    scopes: frozenset[str]
    expires: float
    left: int


class Doorkeeper:
    """Lets requests pass or not. Nobody is asked for anything until `demand_tokens` or `demand_login`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: TokenRules | None = None
        self._logins: dict[str, str] | None = None
        self._grants: dict[str, _Grant] = {}

    def demand_tokens(self, rules: TokenRules) -> None:
        """Demand Bearer tokens from now on."""
        self._rules = rules

    def demand_login(self, users: dict[str, str]) -> None:
        """Demand Basic authentication from now on."""
        self._logins = users

    @property
    def demands_tokens(self) -> bool:
        """Whether there are tokens to expire."""
        return self._rules is not None

    def revoke_tokens(self) -> None:
        """Let all tokens given so far be expired."""
        with self._lock:
            self._grants.clear()

    def judge(self, asked: Asked, url: str) -> Answer | None:
        """The answer of the token service, or a refusal; None for a request that may pass. `url` is this server's."""
        if self._logins is not None and not _is_user(asked, self._logins):
            return error_answer(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate='Basic realm="test"')
        rules = self._rules
        if rules is None:
            return None
        if asked.route is Route.TOKEN:
            return self._give_token(rules, asked)
        wanted = _wanted(asked)
        if self._uses_token(asked.header("authorization").removeprefix("Bearer "), wanted):
            return None
        realm = f"{url}{rules.realm}" if rules.realm.startswith("/") else rules.realm
        challenge = f'Bearer realm="{realm}",service="test, registry"'
        if wanted:
            challenge += f',scope="{" ".join(_scope(action) for action in sorted(wanted))}"'
        return error_answer(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=challenge)

    def _uses_token(self, token: str, wanted: frozenset[str]) -> bool:
        with self._lock:
            grant = self._grants.get(token)
            if grant is None or not wanted <= grant.scopes:
                return False
            if grant.expires <= time.monotonic() or not grant.left:
                del self._grants[token]
                return False
            grant.left -= 1
            return True

    def _give_token(self, rules: TokenRules, asked: Asked) -> Answer:
        form = asked.body.decode()
        fields = parse_qs(form or urlsplit(asked.path).query)
        allowed: Iterable[str] = ("pull", "push", "delete", "*")
        if rules.users and not fields.keys() & {"refresh_token"}:
            if not asked.header("authorization") and rules.anonymous:
                allowed = rules.anonymous
            elif not _is_user(asked, rules.users):
                return error_answer(401, "UNAUTHORIZED", "incorrect username or password")
            elif _login(asked)[0] in rules.readers:
                allowed = ("pull",)
        elif rules.users and fields["refresh_token"][0] not in rules.refresh_tokens:
            return error_answer(401, "UNAUTHORIZED", "this refresh token is not known")
        granted = set()
        for scope in " ".join(fields.get("scope", [])).split():
            _, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            granted |= {f"{name}:{action}" for action in actions.split(",") if action in allowed}
        token = secrets.token_hex(16) if rules.opaque else _web_token(granted)
        with self._lock:
            # Without a limit it counts down from below 0, and never comes there.
            self._grants[token] = _Grant(frozenset(granted), time.monotonic() + rules.lifetime, rules.uses or -1)
        name = "access_token" if form else "token"
        body = json.dumps({name: token, "expires_in": int(rules.lifetime)}).encode()
        return Answer(200, {"Content-Type": "application/json"}, body)


def _wanted(asked: Asked) -> frozenset[str]:
    """What a token has to be for: a mount reads another repository."""
    if not asked.repository:
        return frozenset()
    source = asked.query("from") if asked.route is Route.UPLOADS and asked.method == "POST" else ""
    action = "delete" if asked.method == "DELETE" else "push" if asked.is_write else "pull"
    own = f"{asked.repository}:{action}"
    return frozenset({own, f"{source}:pull"} if source else {own})


def _scope(action: str) -> str:
    """What is told to a client: who may push may pull, too."""
    name, _, verb = action.rpartition(":")
    return f"repository:{name}:{'pull,push' if verb == 'push' else verb}"


def _web_token(granted: Iterable[str]) -> str:
    """A token as distribution's specification has it; nobody checks its signature here."""
    scopes = [scope.rpartition(":") for scope in sorted(granted)]
    access = [{"type": "repository", "name": name, "actions": [action]} for name, _, action in scopes]
    parts = [{"alg": "none"}, {"access": access, "jti": secrets.token_hex(16)}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


def _is_user(asked: Asked, users: dict[str, str]) -> bool:
    user, password = _login(asked)
    return bool(user) and users.get(user) == password


def _login(asked: Asked) -> tuple[str, str]:
    """User and password; empty where there are none."""
    scheme, _, value = asked.header("authorization").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
