"""The blobs of a built image of which some, the layers of a pulled base, are in a registry and on no disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from tools.oci.blobs import FileBlobs
from tools.oci.client import RegistryClient
from tools.oci.manifest import OCI_LAYER, Descriptor
from tools.oci.origin import Origin
from tools.oci.parallel import run_all
from tools.oci.reference import Repository


@dataclass(frozen=True, slots=True)
class PulledBlobs:
    """Blobs that are files, and those that are fetched from their origin once they have to be.

    Attributes:
        files: what was built.
        origins: of all other blobs, by digest.
        folder: where fetched ones go.
        retry_for: seconds, as for RegistryClient.
        say: told of a download before it begins, and of waiting.
    """

    files: FileBlobs
    origins: Mapping[str, Origin]
    folder: Path
    retry_for: float
    say: Callable[[str], None] = field(repr=False)

    def origin(self, digest: str) -> Repository | None:
        """See BlobStore."""
        return self.origins[digest].repository if digest in self.origins else None

    def prepare(self, digests: Sequence[str]) -> None:
        """Fetch those that are no files. Raises OciError as RegistryClient.download_blob."""
        self.files.prepare([digest for digest in digests if digest not in self.origins])
        wanted = [digest for digest in digests if digest in self.origins and not self._path(digest).exists()]
        by_registry: dict[tuple[str, bool], list[str]] = {}
        for digest in wanted:
            origin = self.origins[digest]
            by_registry.setdefault((origin.repository.registry, origin.insecure), []).append(digest)
        for (registry, insecure), there in by_registry.items():
            size = sum(self.origins[digest].size for digest in there)
            self.say(f"Fetching {len(there)} layers of the base from {registry} ({size} bytes)")
            with RegistryClient(registry, insecure=insecure, retry_for=self.retry_for, on_wait=self.say) as client:
                run_all([partial(self._fetch, client, digest) for digest in there], at_once=client.max_connections)

    def open(self, digest: str) -> BinaryIO:
        """See BlobStore."""
        return self._path(digest).open("rb") if digest in self.origins else self.files.open(digest)

    def read(self, digest: str) -> bytes:
        """See BlobStore. Documents are files."""
        return self.files.read(digest)

    def _fetch(self, client: RegistryClient, digest: str) -> None:
        origin = self.origins[digest]
        with self._path(digest).open("wb") as out:
            client.download_blob(origin.repository, Descriptor(OCI_LAYER, digest, origin.size), out)

    def _path(self, digest: str) -> Path:
        return self.folder / digest.replace(":", "-")
