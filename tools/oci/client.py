"""A client of the distribution API (distribution-spec 1.1) for one registry.

Every method is safe to call from several threads. All of them raise the errors of tools.oci.errors: NotFound only for a
definite 404, Unanswered (Unauthorized, Forbidden, Throttled, Unavailable, InvalidResponse) when nothing was learnt.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

from tools.oci.credentials import CredentialSource
from tools.oci.manifest import Descriptor, Manifest
from tools.oci.reference import Reference, Repository


class Access(enum.Enum):
    """What a token is asked for. A registry may answer 401 or 403 to PULL of a repository that does not exist yet."""

    PULL = "pull"
    PUSH = "pull,push"


class UploadOutcome(enum.Enum):
    """How a blob came to be in the repository."""

    EXISTS = "exists"
    MOUNTED = "mounted"
    UPLOADED = "uploaded"


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a client has sent so far. Requests to token services and retries are counted too."""

    requests: dict[str, int] = field(default_factory=dict)
    blobs_uploaded: int = 0
    blobs_mounted: int = 0
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


class RegistryClient:
    """The distribution API of one registry, over a pool of kept-alive connections.

    Args:
        registry: HOST[:PORT].
        credentials: where user names and passwords come from; asked only when the registry demands them.
        insecure: whether plain HTTP is allowed for a host that is not this machine. TLS is tried first, and
            certificates are verified either way.
        retry_for: seconds for which 429, 5xx and network errors are retried, from the first failure of a request.
        on_wait: called with a line of text before each wait (from any thread).
        max_connections: requests at the same time.
    """

    def __init__(
        self,
        registry: str,
        *,
        credentials: CredentialSource | None = None,
        insecure: bool = False,
        retry_for: float = 30.0,
        on_wait: Callable[[str], None] | None = None,
        max_connections: int = 8,
    ) -> None:
        raise NotImplementedError

    max_connections: int

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections."""
        raise NotImplementedError

    @property
    def traffic(self) -> Traffic:
        """What has been sent so far."""
        raise NotImplementedError

    def get_manifest(self, reference: Reference, *, access: Access = Access.PULL) -> Manifest:
        """Fetch and check a manifest or index (one GET). Raises NotFound for a definite 404."""
        raise NotImplementedError

    def find_manifest(self, reference: Reference, *, access: Access = Access.PULL) -> Manifest | None:
        """Like get_manifest, but None for a definite 404. The cheapest question where absence is likely (one GET)."""
        raise NotImplementedError

    def head_manifest(self, reference: Reference, *, access: Access = Access.PULL) -> Descriptor | None:
        """Media type, digest and size; None for a definite 404.

        The cheapest question where presence is likely: one HEAD. A 404, which has no body to judge, costs a second
        request: GET says whether it is definite. So does a 405 or an answer without a digest.
        """
        raise NotImplementedError

    def manifest_exists(self, reference: Reference, *, access: Access = Access.PULL) -> bool:
        """Whether a HEAD finds the manifest. An unconfirmed 404 counts as no: right where writing it again is harmless."""
        raise NotImplementedError

    def put_manifest(self, reference: Reference, content: bytes, media_type: str) -> str:
        """Write a manifest by tag or by digest, byte for byte, and return its digest."""
        raise NotImplementedError

    def blob_exists(self, repository: Repository, digest: str, *, access: Access = Access.PUSH) -> bool:
        """Whether a HEAD finds the blob."""
        raise NotImplementedError

    def upload_blob(
        self,
        repository: Repository,
        blob: Descriptor,
        open_blob: Callable[[], BinaryIO],
        *,
        mount_from: Iterable[Repository] = (),
        known_missing: bool = False,
    ) -> UploadOutcome:
        """Make a blob exist in a repository: look, mount from elsewhere on this registry, else stream it.

        Args:
            repository: where it shall be.
            blob: its digest and size.
            open_blob: opens the content anew; called once for each attempt, only if it must be sent.
            mount_from: repositories of the same registry that may have it.
            known_missing: the caller has just asked: leave out the first HEAD.
        """
        raise NotImplementedError

    def list_tags(self, repository: Repository, *, access: Access = Access.PULL) -> tuple[str, ...]:
        """All tags, every page of them; empty when the repository does not exist."""
        raise NotImplementedError
