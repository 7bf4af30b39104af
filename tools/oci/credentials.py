"""User names and passwords for registries, from where Docker keeps them.

`$DOCKER_CONFIG/config.json` (else ~/.docker/config.json) in all its forms: `credHelpers`, `credsStore`, and `auths`
with `auth`, `username`/`password`, `identitytoken` or `registrytoken`. In this order, as Docker does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Credential:
    """What one logs in with. The secrets are in no repr."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)


class CredentialSource(Protocol):
    """Where a client gets credentials from."""

    def find(self, registry: str) -> Credential | None:
        """The credential for HOST[:PORT], or None to go on as anybody. Raises CredentialsError."""
        ...


class DockerCredentials:
    """The credentials of Docker's configuration, read when first asked for."""

    def __init__(self, path: Path | None = None) -> None:
        """Args: path: a config.json; by default the one that Docker would read."""
        raise NotImplementedError

    def find(self, registry: str) -> Credential | None:
        """See CredentialSource."""
        raise NotImplementedError
