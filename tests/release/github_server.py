"""A stand-in for GitHub's releases. There is no real one to test against, and it stands beside nothing real.

It answers as https://docs.github.com/en/rest/releases/releases says: 404 for what a token may not see, 401 for a wrong
one, drafts under no tag. Faults are those of the fault registry.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from tests.fault_registry.faults import Answer, Armed, Asked
from tests.fault_registry.server import FaultServer


class GitHubServer(FaultServer):
    """Releases of acme/shop. `token` may write."""

    def __init__(self, token: str, prefix: str = "") -> None:
        super().__init__()
        self._token = token
        self._base = f"{prefix}/repos/acme/shop/releases"
        self.releases: dict[str, Any] = {}
        """The text of each tag's release."""
        self.bodies: list[bytes] = []
        """What was written, as it was sent."""

    def has_tag(self, asked: Asked) -> bool:
        """See FaultServer. No tag is immutable here."""
        return False

    def serve(self, asked: Asked, armed: Armed) -> Answer:
        """See FaultServer."""
        given = asked.header("authorization")
        if given not in ("", f"Bearer {self._token}"):
            return _message(401, "Bad credentials")
        tags = list(self.releases)
        if asked.method == "GET" and asked.path.startswith(f"{self._base}/tags/"):
            tag = unquote(asked.path.removeprefix(f"{self._base}/tags/"))
            return self._release(tags.index(tag)) if tag in tags else _message(404, "Not Found")
        number = asked.path.removeprefix(f"{self._base}/")
        if asked.method == "PATCH" and number.isdecimal() and int(number) <= len(tags) and given:
            self.bodies.append(asked.body)
            self.releases[tags[int(number) - 1]] = json.loads(asked.body)["body"]
            return self._release(int(number) - 1)
        return _message(404, "Not Found")

    def _release(self, index: int) -> Answer:
        tag, text = list(self.releases.items())[index]
        return _json(200, {"id": index + 1, "tag_name": tag, "draft": False, "body": text})


def _message(status: int, message: str) -> Answer:
    return _json(status, {"message": message, "documentation_url": "https://docs.github.com/rest"})


def _json(status: int, document: Any) -> Answer:
    return Answer(status, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(document).encode())
