"""An image that Bazel has built: what it consists of and where its blobs lie, read from the build event file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from release.errors import ReleaseError
from tools.oci.blobs import BlobStore, FileBlobs
from tools.oci.manifest import Descriptor, ImageIndex, Manifest, parse_manifest
from tools.oci.origin import Origin, read_origins
from tools.oci.reference import Repository

GROUPS = ("descriptor", "made_blobs", "origins")
_OPTIONAL = "origins"
"""An image that stands on no pulled base has none."""


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A built image: its top manifest, and where the content of every digest is."""

    target: str
    manifest: Manifest
    blobs: BlobStore

    @property
    def digest(self) -> str:
        """The digest of the index."""
        return self.manifest.digest


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file of a build as the build event file tells of it. `digest` is empty where it does not."""

    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class BuildOutputs:
    """The files of a target's output groups, each group's in order and once."""

    groups: Mapping[str, tuple[OutputFile, ...]]


class Download(Protocol):
    """Brings files of the build that were left in a remote cache to this machine."""

    def __call__(self, paths: Sequence[Path]) -> None: ...


class Fetch(Protocol):
    """Builds blobs that are not made but pulled, and says where they are on this machine."""

    def __call__(self, digests: Sequence[str]) -> Mapping[str, Path]: ...


def build_arguments(targets: Sequence[str], event_file: Path, groups: Sequence[str] = GROUPS) -> list[str]:
    """The arguments of `bazel build` that make output groups of targets, and a file that says where they are.

    By default an image's descriptor and blobs, but for those of a pulled base: each of these is a group of its own, by
    the name of its digest.
    """
    asked = f"--output_groups={','.join(groups)}"
    return [asked, f"--build_event_json_file={event_file}", "--keep_going", "--show_result=0", "--", *targets]


def read_build_events(lines: Iterable[str]) -> dict[str, BuildOutputs]:
    """Read the files of the output groups of every target that was built from the lines of a build event file.

    Files are named relative to the execution root, which the file names too; their contents need not be on this
    machine. A target whose build has failed is not there.
    """
    sets: dict[str, Mapping[str, Any]] = {}
    built: dict[str, list[Mapping[str, Any]]] = {}
    root = Path()
    for line in lines:
        event = json.loads(line)
        kind = event.get("id", {})
        if "workspace" in kind:
            root = Path(event["workspaceInfo"]["localExecRoot"])
        elif "namedSet" in kind:
            sets[kind["namedSet"]["id"]] = event["namedSetOfFiles"]
        elif "targetCompleted" in kind and not kind["targetCompleted"].get("aspect"):
            completed = event.get("completed", {})
            if completed.get("success"):
                groups = built.setdefault(kind["targetCompleted"]["label"], [])
                groups += completed.get("outputGroup", [])

    def files(group: Mapping[str, Any]) -> tuple[OutputFile, ...]:
        return tuple(dict.fromkeys(_files(sets, [each["id"] for each in group.get("fileSets", [])], root)))

    return {target: BuildOutputs({group["name"]: files(group) for group in groups}) for target, groups in built.items()}


def check_groups(outputs: BuildOutputs, target: str, groups: Sequence[str] = GROUPS) -> None:
    """Raises ReleaseError when a group that was asked for is not there: it is no image index."""
    missing = [name for name in groups if name != _OPTIONAL and not outputs.groups.get(name)]
    if missing:
        raise ReleaseError(
            f"Cannot use what was built for {target}",
            f"it has no output group {' and '.join(missing)}",
            "The target has to be an image_index of //tools/image:defs.bzl.",
        )


def _files(sets: Mapping[str, Mapping[str, Any]], start: Sequence[str], root: Path) -> Iterator[OutputFile]:
    waiting, seen = list(start), set(start)
    while waiting:
        files = sets[waiting.pop()]
        for file in files.get("files", []):
            yield OutputFile(root.joinpath(*file.get("pathPrefix", []), file["name"]), file.get("digest", ""))
        new = [each["id"] for each in files.get("fileSets", []) if each["id"] not in seen]
        seen.update(new)
        waiting += new


def image_of(outputs: BuildOutputs, target: str, download: Download, fetch: Fetch) -> BuiltImage:
    """The image that a build made.

    Raises:
        ReleaseError: it is no image index, or the descriptor and the blobs do not fit together.
        OciError: as `parse_manifest`.
    """
    check_groups(outputs, target)
    descriptor_file = outputs.groups["descriptor"][0].path
    origin_files = [file.path for file in outputs.groups.get("origins", ())]
    download([descriptor_file, *origin_files])
    index = Descriptor.from_json(json.loads(descriptor_file.read_bytes()), str(descriptor_file))
    paths = {_digest(file, download): file.path for file in outputs.groups["made_blobs"]}
    if index.digest not in paths:
        raise ReleaseError(
            f"Cannot use what was built for {target}",
            f"{descriptor_file} names {index.digest}, and no built file has that digest",
            "Build with Bazel's own digest function, sha256 (--digest_function).",
        )
    origins = {digest: origin for file in origin_files for digest, origin in read_origins(file.read_bytes()).items()}
    blobs = BuiltBlobs(paths, origins, download, fetch)
    manifest = parse_manifest(blobs.read(index.digest), index.media_type, f"built index {index.digest}")
    if isinstance(manifest, ImageIndex):
        # One download of all of them, where they have to be downloaded: the push reads each.
        blobs.prepare([child.digest for child in manifest.manifests])
    return BuiltImage(target, manifest, blobs)


def _digest(file: OutputFile, download: Download) -> str:
    """A file's digest: as Bazel says, which knows it anyway; else by reading it."""
    if len(file.digest) == 64:
        return f"sha256:{file.digest}"
    download([file.path])
    with file.path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


@dataclass(frozen=True, slots=True)
class BuiltBlobs:
    """Blobs of a build; what was left in a remote cache or was not pulled comes to this machine when it is asked for.

    Attributes:
        paths: of what was built, by digest; what is fetched is added.
        origins: of the layers of a pulled base.
        download: brings the former here.
        fetch: builds the latter.
    """

    paths: dict[str, Path]
    origins: Mapping[str, Origin]
    download: Download = field(repr=False)
    fetch: Fetch = field(repr=False)

    def origin(self, digest: str) -> Repository | None:
        """See BlobStore."""
        return self.origins[digest].repository if digest in self.origins else None

    def prepare(self, digests: Sequence[str]) -> None:
        """See BlobStore."""
        pulled = [digest for digest in digests if digest in self.origins and digest not in self.paths]
        if pulled:
            self.paths.update(self.fetch(pulled))
        self.download([path for digest in digests if (path := self.paths.get(digest)) is not None])
        self._files.prepare(digests)

    def open(self, digest: str) -> BinaryIO:
        """See BlobStore."""
        return self._files.open(digest)

    def read(self, digest: str) -> bytes:
        """See BlobStore."""
        self.prepare([digest])
        return self._files.read(digest)

    @property
    def _files(self) -> FileBlobs:
        return FileBlobs(self.paths)
