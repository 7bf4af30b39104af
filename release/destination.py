"""The registries that get an image beside the first one, and what each of them has come to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from release.errors import ReleaseError
from tools.oci.client import Access, RegistryClient
from tools.oci.errors import OciError
from tools.oci.manifest import Descriptor, ImageManifest
from tools.oci.parallel import run_all
from tools.oci.reference import Repository

if TYPE_CHECKING:
    from release.record import Record

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Destination:
    """A registry of the configuration, whose name and owner may be taken from the environment: `${NAME}`."""

    registry: str
    owner: str = ""
    required: bool = True

    def resolve(self, app: str, environment: Mapping[str, str]) -> Repository | None:
        """The repository of an app there; None where a variable is not set, so that the registry is not configured.

        Raises InvalidReference for a name that cannot be one.
        """
        missing = [name for name in _VARIABLE.findall(self.registry + self.owner) if not environment.get(name)]
        if missing:
            return None
        registry, owner = (
            _VARIABLE.sub(lambda match: environment[match[1]], text) for text in (self.registry, self.owner)
        )
        return Repository(registry, f"{owner.lower()}/{app}" if owner else app)


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What became of one further registry: the record of its release, or why there is none."""

    registry: str
    required: bool
    record: Record | None
    error: ReleaseError | OciError | None

    def to_json(self) -> dict[str, Any]:
        """A row of the record."""
        record = self.record
        return {
            "registry": self.registry,
            "required": self.required,
            "repository": str(record.repository) if record else None,
            "digest": record.manifest.digest if record and record.manifest else None,
            "tags": record.tags_json() if record else [],
            **(record.blobs_json() if record else {"blobs": None, "bytes": None}),
            "error": None if self.error is None else {"what": self.error.what, "why": self.error.why},
        }


class NotConfigured(ReleaseError):
    """A registry of the configuration lacks a variable of the environment."""


class RepositoryBlobs:
    """The content of an image in a repository, for copying it: a BlobStore. Layers are fetched into a folder."""

    def __init__(
        self, client: RegistryClient, repository: Repository, folder: Path, access: Access = Access.PUSH
    ) -> None:
        self._client = client
        self._access = access
        self._repository = repository
        self._folder = folder
        self._blobs: dict[str, Descriptor] = {}
        """What the manifests that were read so far consist of."""

    def origin(self, digest: str) -> Repository | None:
        """See BlobStore."""
        return self._repository if digest in self._blobs else None

    def prepare(self, digests: Sequence[str]) -> None:
        """Fetch what is to be sent. Raises OciError as RegistryClient.download_blob."""
        wanted = [digest for digest in digests if not self._path(digest).exists()]
        run_all([partial(self._fetch, digest) for digest in wanted], at_once=self._client.max_connections)

    def open(self, digest: str) -> BinaryIO:
        """See BlobStore."""
        return self._path(digest).open("rb")

    def read(self, digest: str) -> bytes:
        """See BlobStore. What no manifest names is a manifest itself."""
        if digest in self._blobs:
            return self._client.read_blob(self._repository, self._blobs[digest])
        manifest = self._client.get_manifest(self._repository.digest(digest), access=self._access)
        if isinstance(manifest, ImageManifest):
            self._blobs |= {blob.digest: blob for blob in manifest.blobs}
        return manifest.content

    def _fetch(self, digest: str) -> None:
        part = self._path(digest).with_suffix(".part")
        with part.open("wb") as out:
            self._client.download_blob(self._repository, self._blobs[digest], out)
        part.replace(self._path(digest))

    def _path(self, digest: str) -> Path:
        return self._folder / digest.replace(":", "-")
