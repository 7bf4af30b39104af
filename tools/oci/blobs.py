"""Where the blobs of a built image lie on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from tools.oci.digest import matches
from tools.oci.errors import BlobMismatch
from tools.oci.reference import Repository


class BlobStore(Protocol):
    """The content of digests: layers, configs, manifests and indexes alike."""

    def origin(self, digest: str) -> Repository | None:
        """A repository that has the blob, as far as is known: its registry can do without the file."""
        ...

    def prepare(self, digests: Sequence[str]) -> None:
        """Make these ready to be read. Called once, with all that is to be sent: the place for one download."""
        ...

    def open(self, digest: str) -> BinaryIO:
        """Open a blob. Raises BlobMismatch when it is not there."""
        ...

    def read(self, digest: str) -> bytes:
        """Read and verify a small blob (a manifest). Raises BlobMismatch."""
        ...


@dataclass(frozen=True, slots=True)
class FileBlobs:
    """Blobs that are files: `{digest: path}`."""

    paths: Mapping[str, Path]

    def origin(self, digest: str) -> Repository | None:
        """None: what is a file was made on this machine."""
        return None

    def prepare(self, digests: Sequence[str]) -> None:
        """Check that all of them are there. Raises BlobMismatch."""
        for digest in digests:
            self._path(digest)

    def open(self, digest: str) -> BinaryIO:
        """See BlobStore."""
        return self._path(digest).open("rb")

    def read(self, digest: str) -> bytes:
        """See BlobStore."""
        path = self._path(digest)
        content = path.read_bytes()
        if not matches(content, digest):
            raise BlobMismatch(f"cannot use {path}", f"its content is not {digest}", "Build the image again.")
        return content

    def _path(self, digest: str) -> Path:
        path = self.paths.get(digest)
        if path is None:
            raise BlobMismatch(f"cannot read blob {digest}", "the build made no such file", "Build the image again.")
        if not path.is_file():
            raise BlobMismatch(f"cannot read blob {digest}", f"{path} does not exist", "Build the image again.")
        return path
