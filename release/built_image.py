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

_GROUPS = ("descriptor", "blobs")


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


def build_arguments(target: str, event_file: Path) -> list[str]:
    """The arguments of `bazel build` that make an image's descriptor and blobs, and a file that says where they are."""
    groups = ",".join(_GROUPS)
    return [f"--output_groups={groups}", f"--build_event_json_file={event_file}", "--show_result=0", "--", target]


def read_build_events(lines: Iterable[str], target: str) -> BuildOutputs:
    """Read the files of `target`'s output groups from the lines of a build event file.

    Files are named relative to the execution root, which the file names too; their contents need not be on this
    machine. Raises ReleaseError when the target's outputs are not told of.
    """
    sets: dict[str, Mapping[str, Any]] = {}
    groups: list[Mapping[str, Any]] = []
    root = Path()
    for line in lines:
        event = json.loads(line)
        kind = event.get("id", {})
        if "workspace" in kind:
            root = Path(event["workspaceInfo"]["localExecRoot"])
        elif "namedSet" in kind:
            sets[kind["namedSet"]["id"]] = event["namedSetOfFiles"]
        elif "targetCompleted" in kind and not kind["targetCompleted"].get("aspect"):
            groups += event.get("completed", {}).get("outputGroup", [])
    found = {
        group["name"]: tuple(dict.fromkeys(_files(sets, [each["id"] for each in group.get("fileSets", [])], root)))
        for group in groups
    }
    missing = [name for name in _GROUPS if not found.get(name)]
    if missing:
        raise ReleaseError(
            f"Cannot use what was built for {target}",
            f"it has no output group {' and '.join(missing)}",
            "The target has to be an image_index of //tools/image:defs.bzl.",
        )
    return BuildOutputs(found)


def _files(sets: Mapping[str, Mapping[str, Any]], start: Sequence[str], root: Path) -> Iterator[OutputFile]:
    waiting, seen = list(start), set(start)
    while waiting:
        files = sets[waiting.pop()]
        for file in files.get("files", []):
            yield OutputFile(root.joinpath(*file.get("pathPrefix", []), file["name"]), file.get("digest", ""))
        new = [each["id"] for each in files.get("fileSets", []) if each["id"] not in seen]
        seen.update(new)
        waiting += new


def image_of(outputs: BuildOutputs, target: str, download: Download) -> BuiltImage:
    """The image that a build made.

    Raises:
        ReleaseError: the descriptor and the blobs do not fit together.
        OciError: as `parse_manifest`.
    """
    descriptor_file = outputs.groups["descriptor"][0].path
    download([descriptor_file])
    index = Descriptor.from_json(json.loads(descriptor_file.read_bytes()), str(descriptor_file))
    paths = {_digest(file, download): file.path for file in outputs.groups["blobs"]}
    if index.digest not in paths:
        raise ReleaseError(
            f"Cannot use what was built for {target}",
            f"{descriptor_file} names {index.digest}, and no built file has that digest",
            "Build with Bazel's own digest function, sha256 (--digest_function).",
        )
    blobs = BuiltBlobs(FileBlobs(paths), download)
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
    """Blobs of a build; those that were left in a remote cache come to this machine when they are asked for."""

    files: FileBlobs
    download: Download = field(repr=False)

    def prepare(self, digests: Sequence[str]) -> None:
        """See BlobStore."""
        self.download([path for digest in digests if (path := self.files.paths.get(digest)) is not None])
        self.files.prepare(digests)

    def open(self, digest: str) -> BinaryIO:
        """See BlobStore."""
        return self.files.open(digest)

    def read(self, digest: str) -> bytes:
        """See BlobStore."""
        self.prepare([digest])
        return self.files.read(digest)
