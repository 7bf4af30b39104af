"""git, called so that it never asks anybody anything, never waits for ever, and gives no login of an address away."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from release.child import Finished, run_child
from release.git import git_environment

LOCAL_SECONDS = 60.0
"""How long git may take for what it does on this machine."""

_SILENT = {"GIT_TERMINAL_PROMPT": "0", "GCM_INTERACTIVE": "never", "SSH_ASKPASS_REQUIRE": "never"}
_LOGIN = re.compile(r"(?<=://)\S*@")
_QUERY = re.compile(r"(?P<address>://[^\s?]*)\?[^\s'\"]*")
_USER = re.compile(r"(?P<scheme>\w+)://(?P<login>[^\s/]+)@")
_MAX_WORDS = 500  # Of what git and a remote's hooks say in a message.


class GitFailed(Exception):
    """git did not do something. The text says why, in its own words."""


@dataclass(frozen=True, slots=True)
class UnattendedGit:
    """git in a folder. `run` gives back whatever came of it, `ask` only an answer."""

    folder: Path

    def run(self, *arguments: str, given: str = "", limit: float = LOCAL_SECONDS) -> Finished:
        """Call git. Raises GitFailed when it cannot be run, or takes longer than `limit` seconds."""
        try:
            return run_child(
                ["git", *arguments],
                environment=_unattended(),
                directory=self.folder,
                given=given,
                limit=limit,
            )
        except TimeoutError as error:
            raise GitFailed(str(error)) from None
        except OSError as error:
            raise GitFailed(f"git cannot be run: {error}") from None

    def ask(self, *arguments: str, given: str = "", limit: float = LOCAL_SECONDS) -> str:
        """What git answers. Raises GitFailed when it ends with an error, too."""
        finished = self.run(*arguments, given=given, limit=limit)
        if finished.status != 0:
            raise GitFailed(self.words(finished.errors) or f"git {arguments[0]} ended with {finished.status}")
        return finished.output

    def words(self, errors: str) -> str:
        """What git has written to standard error, without advice, and without the logins of its configuration."""
        lines = (line.strip() for line in errors.splitlines() if not line.startswith(("hint:", "To ")))
        words = _QUERY.sub(r"\g<address>", _LOGIN.sub("", " ".join(line for line in lines if line)))
        # A server or a hook may repeat what it was given.
        for secret in self._secrets():
            words = words.replace(secret, "***")
        return words if len(words) <= _MAX_WORDS else words[: _MAX_WORDS - 3] + "..."

    def _secrets(self) -> list[str]:
        configured = self.run("config", "--get-regexp", r"^(remote|url)\.").output
        found = set()
        for match in _USER.finditer(configured):
            user, _, password = match["login"].partition(":")
            # ssh's user is no secret; a token may stand where http has one.
            if secret := password or (user if match["scheme"].startswith("http") else ""):
                found |= {secret, unquote(secret)}
        return sorted(found, key=len, reverse=True)


def _unattended() -> dict[str, str]:
    # SSH_ASKPASS opens a window; GIT_ASKPASS stays, by which a CI answers. Traces would be taken for errors.
    environment = {
        name: value
        for name, value in git_environment().items()
        if name not in ("SSH_ASKPASS", "GIT_CURL_VERBOSE") and not name.startswith("GIT_TRACE")
    }
    return {**environment, **_SILENT}
