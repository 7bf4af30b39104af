"""The little of GitHub's REST API that release notes need: reading a release, and writing its text.

https://docs.github.com/en/rest/releases/releases. Over the same transport and with the same retries as registries are
asked, so that there is no further package.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from release.errors import Exit, InvalidRequest, ReleaseError
from tools.oci.errors import InvalidResponse, Throttled
from tools.oci.retrying import Sender, Transient, server_words, wait_hint
from tools.oci.transport import Request, Response, is_loopback

PUBLIC_URL = "https://api.github.com"

_REPOSITORY = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]+")
_REMEDY = "Check GITHUB_TOKEN: it needs the permission `contents: write` for {}."


class ReleaseNotFound(ReleaseError):
    """GitHub has no release of that tag, or none that this token may see."""


class GitHubRefused(ReleaseError):
    """GitHub said no."""


class GitHubUnasked(ReleaseError):
    """GitHub did not take the token."""

    exit_status = Exit.UNASKED


@dataclass(frozen=True, slots=True)
class GitHubRelease:
    """The release of a tag in a repository, OWNER/NAME. Raises InvalidRequest where these cannot be."""

    repository: str
    tag: str

    def __post_init__(self) -> None:
        if not _REPOSITORY.fullmatch(self.repository) or {".", ".."} & set(self.repository.split("/")):
            raise InvalidRequest(f"{self.repository!r} is no repository of GitHub", "it is OWNER/NAME", "Correct it.")
        if not self.tag or not self.tag.isprintable():
            raise InvalidRequest(f"{self.tag!r} is no tag", "it has no printable name", "Correct --tag.")

    def __str__(self) -> str:
        return f"the release {self.tag} of {self.repository}"


@dataclass(frozen=True, slots=True)
class Edit:
    """What has become of the text of a release."""

    text: str
    changed: bool


@dataclass(frozen=True, slots=True)
class GitHub:
    """A client of the API. Raises InvalidRequest for an address or a token that cannot be used."""

    url: str
    token: str | None = field(repr=False)
    """None: nobody. Enough to read what is public."""
    sender: Sender

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            usable = bool(parts.hostname) and parts.scheme in ("http", "https") and parts.port != 0
            # A login in the address would be shown with it.
            usable = usable and not (parts.query or parts.fragment or "@" in parts.netloc) and self.url.isprintable()
        except ValueError:
            usable = False
        if not usable:
            raise InvalidRequest(
                "Cannot ask GitHub",
                "its address is not https://HOST[:PORT][/PATH]",
                f"Correct --github-url or $GITHUB_API_URL, e.g. {PUBLIC_URL}.",
            )
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            raise InvalidRequest(
                f"Cannot ask GitHub at {self.url}", "the token would go there unencrypted", "Use https://."
            )
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise InvalidRequest(
                "Cannot use GITHUB_TOKEN", "it is empty, or has characters that no token has", "Set it to a token."
            )

    def edit(self, release: GitHubRelease, change: Callable[[str], str], *, dry_run: bool = False) -> Edit:
        """Change the text of a release; what is right already is not written.

        GitHub cannot compare and swap. So each attempt reads the text anew, directly before it writes.

        Raises:
            ReleaseNotFound, GitHubRefused, GitHubUnasked: GitHub says no.
            OciError: GitHub cannot be asked (Throttled, Unavailable, InvalidResponse).
            ReleaseError: what `change` raises.
        """
        return self.sender.retry(lambda: self._attempt(release, change, dry_run))

    def _attempt(self, release: GitHubRelease, change: Callable[[str], str], dry_run: bool) -> Edit:
        base = f"{self.url.rstrip('/')}/repos/{release.repository}/releases"
        what = f"Cannot read {release}"
        found = self._document(self._send("GET", f"{base}/tags/{quote(release.tag, safe='')}", release, what), what)
        number, before = found.get("id"), found.get("body") or ""
        if type(number) is not int or not isinstance(before, str):
            raise self._nonsense(what, "the answer has no `id` or `body`")
        after = change(before)
        if after == before or dry_run:
            return Edit(after, changed=after != before)
        what = f"Cannot write {release}"
        body = json.dumps({"body": after}).encode()
        written = self._document(self._send("PATCH", f"{base}/{number}", release, what, body), what)
        # What it makes of the rest is its own affair, and so are the ends of lines.
        if not isinstance(kept := written.get("body"), str) or _lines(change(kept)) != _lines(kept):
            raise self._nonsense(what, "GitHub did not keep the text as it was written")
        return Edit(after, changed=True)

    def _send(self, method: str, url: str, release: GitHubRelease, what: str, body: bytes | None = None) -> Response:
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        response = self.sender.once(Request(method, url, headers, body), what)
        if response.status == 200:
            return response
        why = f"{urlsplit(url).netloc} answered {_words(response)}"
        remedy = _REMEDY.format(release.repository)
        if response.status == 404:
            raise ReleaseNotFound(
                what,
                f"release not found ({why})",
                f"Create the release of that tag first, and publish it: drafts have no tag. {remedy}",
            )
        if response.status == 403 and (hint := _limit_hint(response, time.time())) is not None:
            error = Throttled(what, why, "Run the same command again later.")
            raise Transient(error, urlsplit(url).netloc, hint)
        if response.status in (401, 403):
            raise GitHubUnasked(what, why, remedy)
        raise GitHubRefused(what, why, "Correct what it names, then run the same command again.")

    def _document(self, response: Response, what: str) -> dict[str, Any]:
        try:
            document = json.loads(response.body)
        except (ValueError, RecursionError):
            raise self._nonsense(what, "the answer is not JSON") from None
        if not isinstance(document, dict):
            raise self._nonsense(what, "the answer is no release")
        return document

    def _nonsense(self, what: str, why: str) -> InvalidResponse:
        return InvalidResponse(what, why, f"Check that {self.url} is the address of GitHub's API.")


def _words(response: Response) -> str:
    """What GitHub says, on one line."""
    try:
        message = json.loads(response.body)["message"]
    except (ValueError, LookupError, TypeError, RecursionError):
        message = None
    if not isinstance(message, str):
        return server_words(response)
    line = " ".join("".join(char if char.isprintable() else " " for char in message).split())
    return f"{response.status} {response.reason}: {line[:300]}"


def _limit_hint(response: Response, now: float) -> float | None:
    """Seconds to wait where a 403 is a rate limit, as GitHub's are; None where it is a refusal."""
    hint = wait_hint(response, now)
    if hint is None and response.header("x-ratelimit-remaining") == "0":
        reset = response.header("x-ratelimit-reset")
        hint = max(0.0, float(reset) - now) if reset.isascii() and reset.isdecimal() else 60.0
    return hint


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").rstrip().split("\n")
