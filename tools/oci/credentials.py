"""User names and passwords for registries, from where Docker keeps them.

`$DOCKER_CONFIG/config.json` (else ~/.docker/config.json) in all its forms: `credHelpers`, `credsStore`, and `auths`
with `auth`, `username`/`password`, `identitytoken` or `registrytoken`. In this order, as Docker does.

Not by the docker SDK: importing it takes about 100 ms, and base images are fetched by a Python that has no packages.
The tests hold both readers against each other.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tools.oci.errors import CredentialsError

_DOCKER_HUB = "docker.io"
_DOCKER_HUB_HOSTS = (_DOCKER_HUB, "index.docker.io", "registry-1.docker.io")
_DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""Under what name Docker keeps the login of Docker Hub."""

_TOKEN_USER = "<token>"  # a helper's user name when its secret is an identity token

_NO_LOGIN = "credentials not found in native keychain"
"""What every helper says of a server that it has no login for (docker-credential-helpers, "Development")."""
_HELPER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Credential:
    """What one logs in with. The secrets are in no repr; `source` says where it was found."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    source: str = field(default="", compare=False)


class CredentialSource(Protocol):
    """Where a client gets credentials from."""

    def find(self, registry: str) -> Credential | None:
        """The credential for HOST[:PORT], or None to go on as anybody. Raises CredentialsError."""
        ...


def default_config() -> Path:
    """The file that Docker would read."""
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


class DockerCredentials:
    """The credentials of Docker's configuration, read anew whenever they are asked for (a client asks once)."""

    def __init__(self, path: Path | None = None) -> None:
        """`path`: a config.json; by default the one that Docker would read."""
        self._path = path

    def find(self, registry: str) -> Credential | None:
        """See CredentialSource."""
        path = self._path or default_config()
        config = _read(path)
        server = _DOCKER_HUB_KEY if registry in _DOCKER_HUB_HOSTS else registry
        helpers = _object(config.get("credHelpers"), "credHelpers", path)
        helper = helpers.get(registry) or helpers.get(server) or config.get("credsStore")
        if helper:
            credential = _ask_helper(str(helper), server, path)
            if credential is not None:
                return credential
        for key, entry in _object(config.get("auths"), "auths", path).items():
            if key == server or _host(key) == _host(server):
                return _credential(_object(entry, f"auths of {key}", path), key, path)
        return None


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _error(path, error.strerror or str(error)) from None
    except ValueError as error:
        # Not the parser's own words: they may quote the line, and with it a password.
        position = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise _error(path, f"it is not JSON{position}") from None
    return _object(config, "the whole", path)


def _object(value: Any, where: str, path: Path) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _error(path, f"{where} is {type(value).__name__}, not an object")
    return value


def _credential(entry: dict[str, Any], key: str, path: Path) -> Credential | None:
    values = {
        name: entry.get(name) or "" for name in ("username", "password", "auth", "identitytoken", "registrytoken")
    }
    if not all(isinstance(value, str) for value in values.values()):
        raise _error(path, f"auths of {key} has a value that is no text")
    username, password = values["username"], values["password"]
    if values["auth"]:
        try:
            username, colon, password = b64decode(values["auth"], validate=True).decode().partition(":")
        except ValueError:
            colon = ""
        if not colon:
            raise _error(path, f"auth of {key} is not base64 of USER:PASSWORD")
        password = password.strip("\0")  # Docker pads it so
    if not (username or values["identitytoken"] or values["registrytoken"]):
        return None  # What Docker leaves behind where a credential store has the login.
    return Credential(username, password, values["identitytoken"], values["registrytoken"], f"auths of {path}")


def _ask_helper(helper: str, server: str, path: Path) -> Credential | None:
    import subprocess  # rarely needed

    program = f"docker-credential-{helper}"
    what = f"cannot get the login for {server} from {program} (named in {path})"
    remedy = "Put the helper on PATH or correct its set-up, or take it out of the file and docker login again."
    try:
        result = subprocess.run(
            [program, "get"], input=server.encode(), capture_output=True, check=False, timeout=_HELPER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CredentialsError(what, getattr(error, "strerror", None) or str(error), remedy) from None
    if result.returncode:
        # It says why on standard output; some say it on standard error.
        words = " ".join((result.stdout or result.stderr).decode(errors="replace").split())
        if _NO_LOGIN in words:
            return None
        raise CredentialsError(what, words[:300] or f"it ended with {result.returncode}", remedy)
    try:
        answer = json.loads(result.stdout)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, LookupError, TypeError):
        username, secret = None, None
    if not (isinstance(username, str) and isinstance(secret, str)):
        # Not in its own words: they may hold a password.
        raise CredentialsError(what, "its answer is not that of a credential helper", remedy)
    source = f"{program}, which {path} names"
    if username == _TOKEN_USER:
        return Credential(identity_token=secret, source=source)
    return Credential(username, secret, source=source) if username or secret else None


def _host(key: str) -> str:
    """HOST[:PORT] of a key of `auths`, which may be written as a URL."""
    return key.partition("://")[2].partition("/")[0] or key.partition("/")[0]


def _error(path: Path, why: str) -> CredentialsError:
    return CredentialsError(
        f"cannot use Docker's configuration {path}", why, "Correct the file, or point DOCKER_CONFIG at another folder."
    )
