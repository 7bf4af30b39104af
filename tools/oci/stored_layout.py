"""Reading an OCI image layout that somebody else has brought: a folder, or a plain tar archive of one.

Nothing in it is believed before it is checked, and nothing of an archive is unpacked: its blobs are read where they
stand. No link is followed, so that no content comes from anywhere else.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from tools.oci.digest import matches
from tools.oci.errors import BlobMismatch, InvalidManifest, OciError
from tools.oci.layout import INDEX, MARKER, blob_name
from tools.oci.manifest import MAX_MANIFEST_SIZE, Descriptor, ImageIndex, ImageManifest, parse_manifest
from tools.oci.parallel import run_all
from tools.oci.reference import Repository

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MAX_MEMBERS = 100_000
"""Of an archive. The artifact of a thousand apps has a tenth of that."""

_BLOCK = 512
_AT_ONCE = 4

_REMEDY = "Make it again, or copy it again from where it was made."

_NOT_WELL_FORMED = (tarfile.TarError, ArithmeticError, LookupError, RecursionError, ValueError)
"""What tarfile raises for archives that are not well-formed, meant to or not."""


class InvalidLayout(OciError, ValueError):
    """A file or folder that is no OCI image layout, or not a whole one."""


class _Files(Protocol):
    """The files of a layout, by their names in it."""

    def size(self, name: str) -> int | None:
        """How many bytes a file has; None where there is none. Raises InvalidLayout for what is no plain file."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Open a file that is there."""
        ...


@dataclass(frozen=True, slots=True)
class StoredLayout:
    """A layout on this machine, a BlobStore of what it holds."""

    path: Path
    entries: tuple[Descriptor, ...]
    """Of its index."""
    files: _Files

    def origin(self, digest: str) -> Repository | None:
        """See BlobStore."""
        return None

    def prepare(self, digests: Sequence[str]) -> None:
        """See BlobStore. Raises BlobMismatch."""
        for digest in digests:
            self._size(digest)

    def open(self, digest: str) -> BinaryIO:
        """See BlobStore."""
        self._size(digest)
        return self.files.open(blob_name(digest))

    def read(self, digest: str) -> bytes:
        """See BlobStore. Raises BlobMismatch, also for what is larger than any manifest."""
        size = self._size(digest)
        if size > MAX_MANIFEST_SIZE:
            raise self._mismatch(digest, f"it has {size} bytes, which is too much for a manifest")
        with self.files.open(blob_name(digest)) as file:
            content = file.read()
        if not matches(content, digest):
            raise self._mismatch(digest, "its content has another digest")
        return content

    def read_file(self, name: str, limit: int = MAX_MANIFEST_SIZE) -> bytes:
        """Read a small file that is no blob. Raises InvalidLayout."""
        return _read_file(self.files, self.path, name, limit)

    def read_index(self, entry: Descriptor) -> ImageIndex:
        """Read an image index, and see that all that it consists of is there, by size and digest.

        Raises InvalidManifest or BlobMismatch.
        """
        index = parse_manifest(self.read(entry.digest), entry.media_type, f"{entry.digest} in {self.path}")
        if not isinstance(index, ImageIndex):
            raise InvalidManifest(f"cannot use {entry.digest} in {self.path}", "it is no image index", _REMEDY)
        blobs: dict[str, Descriptor] = {}
        for child in index.manifests:
            image = parse_manifest(self.read(child.digest), child.media_type, f"{child.digest} in {self.path}")
            if not isinstance(image, ImageManifest):
                raise InvalidManifest(f"cannot use {entry.digest} in {self.path}", "it holds another index", _REMEDY)
            blobs |= {blob.digest: blob for blob in image.blobs}
        run_all([partial(self._check, blob) for blob in blobs.values()], at_once=_AT_ONCE)
        return index

    def _check(self, blob: Descriptor) -> None:
        """See that a blob is what its descriptor says, by reading it."""
        size = self._size(blob.digest)
        if size != blob.size:
            raise self._mismatch(blob.digest, f"it has {size} bytes, and should have {blob.size}")
        algorithm, _, expected = blob.digest.partition(":")
        with self.files.open(blob_name(blob.digest)) as file:
            found = hashlib.file_digest(file, algorithm).hexdigest()  # type: ignore[arg-type]
        if found != expected:
            raise self._mismatch(blob.digest, f"its content is {algorithm}:{found}")

    def _size(self, digest: str) -> int:
        size = self.files.size(blob_name(digest))
        if size is None:
            raise self._mismatch(digest, "it is not there")
        return size

    def _mismatch(self, digest: str, why: str) -> BlobMismatch:
        return BlobMismatch(f"cannot use blob {digest} of {self.path}", why, _REMEDY)


def open_layout(path: Path) -> StoredLayout:
    """Open a layout. Its blobs are not looked at yet: see StoredLayout.read_index.

    Raises InvalidLayout: it is not there, or is none, or is not whole.
    """
    try:
        files: _Files = _Folder(path) if path.is_dir() else _archive(path)
        marker = _json(files, path, MARKER)
        if not isinstance(marker, dict) or not str(marker.get("imageLayoutVersion", "")).startswith("1."):
            raise _invalid(path, f"its {MARKER} names no version that is known here")
        index = _json(files, path, INDEX)
        entries = index.get("manifests") if isinstance(index, dict) else None
        if not isinstance(entries, list):
            raise _invalid(path, f"its {INDEX} has no list of manifests")
        descriptors = [Descriptor.from_json(entry, f"manifests[{n}]") for n, entry in enumerate(entries)]
    except InvalidManifest as error:
        raise _invalid(path, f"its {INDEX} cannot be used: {error.why}") from None
    except OSError as error:
        raise _invalid(path, error.strerror or str(error)) from None
    return StoredLayout(path, tuple(descriptors), files)


def _json(files: _Files, path: Path, name: str) -> Any:
    return read_json(_read_file(files, path, name, MAX_MANIFEST_SIZE), path, name)


def read_json(content: bytes, path: Path, name: str) -> Any:
    """The document in a file of a layout. Raises InvalidLayout."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise _invalid(path, f"its {name} is no JSON") from None


def _read_file(files: _Files, path: Path, name: str, limit: int) -> bytes:
    size = files.size(name)
    if size is None:
        raise _invalid(path, f"it has no {name}")
    if size > limit:
        raise _invalid(path, f"its {name} has {size} bytes, which is too much")
    with files.open(name) as file:
        return file.read()


@dataclass(frozen=True, slots=True)
class _Folder:
    """A layout that is a folder."""

    path: Path

    def size(self, name: str) -> int | None:
        """See _Files. Every part of the way is looked at, since each of them could be a link."""
        place, *parts = self.path, *Path(name).parts
        for number, part in enumerate(parts):
            place = place / part
            try:
                found = place.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            if not (stat.S_ISREG if number == len(parts) - 1 else stat.S_ISDIR)(found.st_mode):
                raise _invalid(self.path, f"{place.relative_to(self.path)} is a link, or no plain file or folder")
        return found.st_size

    def open(self, name: str) -> BinaryIO:
        """See _Files."""
        return os.fdopen(os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW), "rb")


@dataclass(frozen=True, slots=True)
class _Archive:
    """A layout that is a tar archive: where in it each file stands, and how long it is."""

    path: Path
    places: Mapping[str, tuple[int, int]]

    def size(self, name: str) -> int | None:
        """See _Files."""
        return self.places[name][1] if name in self.places else None

    def open(self, name: str) -> BinaryIO:
        """See _Files."""
        return io.BufferedReader(_Section(self.path, *self.places[name]), 1 << 17)


class _Section(io.RawIOBase):
    """A part of a file, as a file of its own; several may be read at the same time."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._file.seek(start)
        self._left = length

    def readable(self) -> bool:
        """See RawIOBase."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """See RawIOBase."""
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view[: self._left])
        self._left -= count
        return count

    def close(self) -> None:
        """See RawIOBase."""
        self._file.close()
        super().close()


def _archive(path: Path) -> _Archive:
    """Look through an archive. Raises InvalidLayout for one that is damaged, or holds what no layout holds."""
    places: dict[str, tuple[int, int]] = {}
    with path.open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _invalid(path, "it is neither a folder nor a plain file")
        end = os.fstat(file.fileno()).st_size
        try:
            with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as reader:
                last = -1
                while (member := reader.next()) is not None:
                    # tarfile would keep every member, though nothing asks for it again.
                    reader.members.clear()  # type: ignore[attr-defined]
                    name = _checked_name(path, member)
                    if member.offset <= last:
                        raise _invalid(path, f"the size of {name!r} is wrong")
                    last = member.offset
                    if member.isdir():
                        continue
                    if name in places:
                        raise _invalid(path, f"{name!r} is in it twice")
                    if member.offset_data + member.size > end:
                        raise _invalid(path, f"it ends in the middle of {name!r}")
                    places[name] = (member.offset_data, member.size)
                    if len(places) > _MAX_MEMBERS:
                        raise _invalid(path, f"it has more than {_MAX_MEMBERS} files")
                # tarfile takes a damaged header for the end, and what breaks off between two files for whole.
                file.seek(reader.offset)
                if file.read(_BLOCK) != bytes(_BLOCK):
                    raise _invalid(path, f"what stands at byte {reader.offset} is neither a file nor the archive's end")
        except _NOT_WELL_FORMED as error:
            if isinstance(error, InvalidLayout):
                raise
            raise _invalid(path, f"it is no plain tar archive, or a damaged one ({error})") from None
    return _Archive(path, places)


def _checked_name(path: Path, member: tarfile.TarInfo) -> str:
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts or "\0" in member.name:
        raise _invalid(path, f"{member.name!r} leads out of it")
    if not (member.isdir() or (member.isreg() and member.sparse is None and member.size >= 0)):
        raise _invalid(path, f"{member.name!r} is a link, or no plain file or folder")
    return "/".join(parts)


def _invalid(path: Path, why: str) -> InvalidLayout:
    return InvalidLayout(f"cannot use {path} as an OCI image layout", why, f"Name a folder or a plain tar. {_REMEDY}")
