"""Pushing a built image by digest (design: blobs in parallel, then platform manifests, then the index).

Nothing here writes a tag: killed anywhere, a push leaves only content that nobody sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from tools.oci.blobs import BlobStore
from tools.oci.client import Access, RegistryClient, UploadOutcome
from tools.oci.errors import InvalidManifest
from tools.oci.manifest import Descriptor, ImageIndex, ImageManifest, Manifest, parse_manifest
from tools.oci.parallel import run_all
from tools.oci.reference import Repository


@dataclass(frozen=True, slots=True)
class PushReport:
    """What a push did. `blobs_present` were there before; `bytes_uploaded` counts blobs, not manifests."""

    manifest: Manifest
    manifests_asked: int = 0
    manifests_written: int = 0
    blobs_present: int = 0
    blobs_mounted: int = 0
    blobs_uploaded: int = 0
    bytes_uploaded: int = 0

    @property
    def digest(self) -> str:
        """The digest that now exists in the repository."""
        return self.manifest.digest

    @property
    def requests(self) -> int:
        """How many a push like this takes, without tokens, retries and mounts that are refused."""
        blobs = self.blobs_present + self.blobs_mounted + self.blobs_uploaded
        return self.manifests_asked + blobs + self.blobs_mounted + 2 * self.blobs_uploaded + self.manifests_written


def push_index(client: RegistryClient, repository: Repository, index: Descriptor, blobs: BlobStore) -> PushReport:
    """Make an image index (or a single manifest) and all it names exist in a repository, by digest.

    A HEAD for each manifest when all of them are there already. Otherwise every blob is asked for in parallel, what is
    missing is mounted from a repository of this registry that has it, as far as is known, or sent (a digest shared by
    platforms once), then the platforms' manifests, then the index. Only what is sent has to be on this machine.

    Args:
        client: of the repository's registry.
        repository: where to.
        index: what to push; its content comes from `blobs` as all else.
        blobs: content by digest.

    Raises:
        BlobMismatch, InvalidManifest: the built image is not whole; nothing was written.
        OciError: as the client's methods.
    """
    gap = _find_gap(client, repository, index, blobs, Access.PUSH)
    if not gap.unwritten:
        return PushReport(gap.top, gap.asked)
    missing = gap.missing

    mounted = run_all(
        [partial(client.mount_blob, repository, blob.digest, blobs.origin(blob.digest)) for blob in missing],
        at_once=client.max_connections,
    )
    missing = [blob for blob, done in zip(missing, mounted, strict=True) if not done]

    blobs.prepare([blob.digest for blob in missing])
    # The largest first: the last to finish is then a small one.
    missing.sort(key=lambda blob: blob.size, reverse=True)
    outcomes = run_all(
        [
            partial(
                client.upload_blob,
                repository,
                blob,
                partial(blobs.open, blob.digest),
                known_missing=True,
            )
            for blob in missing
        ],
        at_once=client.max_connections,
    )
    *children, top = gap.unwritten
    run_all([partial(_put, client, repository, child) for child in children], at_once=client.max_connections)
    _put(client, repository, top)

    uploaded = [blob for blob, outcome in zip(missing, outcomes, strict=True) if outcome is UploadOutcome.UPLOADED]
    return PushReport(
        manifest=top,
        manifests_asked=gap.asked,
        manifests_written=len(gap.unwritten),
        blobs_present=gap.present + outcomes.count(UploadOutcome.EXISTS),
        blobs_mounted=sum(mounted) + outcomes.count(UploadOutcome.MOUNTED),
        blobs_uploaded=len(uploaded),
        bytes_uploaded=sum(blob.size for blob in uploaded),
    )


def rehearse_push(
    client: RegistryClient, repository: Repository, index: Descriptor, blobs: BlobStore, *, access: Access = Access.PULL
) -> PushReport:
    """What push_index would do, by its own questions alone: nothing is written, and no content of a blob is read.

    Whether a registry takes a mount shows only when it is tried: what may be mounted counts as mounted. Raises as
    push_index.
    """
    gap = _find_gap(client, repository, index, blobs, access)
    mounted = [blob for blob in gap.missing if client.mount_source(repository, blob.digest, blobs.origin(blob.digest))]
    sent = [blob for blob in gap.missing if blob not in mounted]
    return PushReport(
        manifest=gap.top,
        manifests_asked=gap.asked,
        manifests_written=len(gap.unwritten),
        blobs_present=gap.present,
        blobs_mounted=len(mounted),
        blobs_uploaded=len(sent),
        bytes_uploaded=sum(blob.size for blob in sent),
    )


@dataclass(frozen=True, slots=True)
class _Gap:
    """What a repository lacks of an image."""

    top: Manifest
    asked: int
    """Manifests that were asked for."""
    unwritten: list[Manifest]
    """Those to write, in this order; where there is one, the index is the last of them."""
    present: int
    """Blobs of theirs that are there."""
    missing: list[Descriptor]


def _find_gap(
    client: RegistryClient, repository: Repository, index: Descriptor, blobs: BlobStore, access: Access
) -> _Gap:
    top = _read(blobs, index)
    images = _images(blobs, top)
    children = [image for image in images if image is not top]
    # All are asked for: an index may outlive its children, where somebody deletes them.
    top_exists, *child_exists = run_all(
        [
            partial(client.manifest_exists, repository.digest(manifest.digest), access=access)
            for manifest in (top, *children)
        ],
        at_once=client.max_connections,
    )
    asked = 1 + len(children)
    if top_exists and all(child_exists):
        return _Gap(top, asked, [], 0, [])
    unwritten = [child for child, exists in zip(children, child_exists, strict=True) if not exists]

    # A registry takes no manifest before its blobs: those of a child that is there are there.
    images = unwritten if children else images
    layers = list({blob.digest: blob for image in images for blob in image.blobs}.values())
    blob_exists = run_all(
        [partial(client.blob_exists, repository, blob.digest, access=access) for blob in layers],
        at_once=client.max_connections,
    )
    missing = [blob for blob, exists in zip(layers, blob_exists, strict=True) if not exists]
    return _Gap(top, asked, [*unwritten, top], sum(blob_exists), missing)


def _put(client: RegistryClient, repository: Repository, manifest: Manifest) -> None:
    client.put_manifest(repository.digest(manifest.digest), manifest.content, manifest.media_type)


def _read(blobs: BlobStore, descriptor: Descriptor) -> Manifest:
    return parse_manifest(blobs.read(descriptor.digest), descriptor.media_type, f"built manifest {descriptor.digest}")


def _images(blobs: BlobStore, top: Manifest) -> list[ImageManifest]:
    if isinstance(top, ImageManifest):
        return [top]
    images = []
    for child in {child.digest: child for child in top.manifests}.values():
        image = _read(blobs, child)
        if isinstance(image, ImageIndex):
            raise InvalidManifest(
                f"cannot push built index {top.digest}",
                f"it holds another index, {child.digest}",
                "Build it of image manifests only.",
            )
        images.append(image)
    return images
