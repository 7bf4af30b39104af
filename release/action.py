"""Doing what was planned: giving an existing image its tags, or building it and pushing it with all of them.

Tags are written in the order commit, version, latest, each seen to be right before the next, so that a run that is
killed anywhere leaves nothing misleading, and the same command finishes the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from release.engine import Engine, Imagetools, RegistryApi, Substituted
from release.errors import ReleaseError
from release.plan import Step, TagKind, TagPlan
from release.verification import see_tag
from tools.oci.client import RegistryClient
from tools.oci.manifest import ImageIndex, Platform
from tools.oci.publication import PushReport, push_index
from tools.oci.reference import Reference
from tools.oci.tags import write_tag

if TYPE_CHECKING:
    from release.builder import Builder
    from release.built_image import BuiltImage

Say = Callable[[str], None]
SettleLatest = Callable[[Reference, str], str]
"""See verification.settle_latest; the tag and its digest are what an action knows of."""


@dataclass(frozen=True, slots=True)
class TagResult:
    """What became of one tag: it named `before` and names `after`."""

    kind: TagKind
    tag: str
    before: str | None
    after: str | None
    step: Step


def tag_existing_image(source_tag: str, target_tags: Sequence[str], engine: Engine | None = None) -> None:
    """Give an image that is in the registry further tags there, one call each, without a build or a transfer.

    `docker buildx imagetools` does it where it is installed, the distribution API where not, unless another engine is
    given. Raises TaggingError or OciError for the first tag that fails.
    """
    if engine is None:
        with RegistryClient(Reference.parse(source_tag).repository.registry) as client:
            engine = Substituted(Imagetools(), RegistryApi(client), lambda line: None)
            return tag_existing_image(source_tag, target_tags, engine)
    for target in target_tags:
        engine.tag(source_tag, target)
    return None


def build_image(bazel_target: str, builder: Builder, platforms: Sequence[Platform], say: Say) -> BuiltImage:
    """Build an image index. Raises ReleaseError when that fails, or it is not made of exactly these platforms."""
    image = builder.build(bazel_target)
    built = image.manifest.platforms if isinstance(image.manifest, ImageIndex) else ()
    if sorted(built) != sorted(platforms):
        raise ReleaseError(
            f"Cannot release {bazel_target}",
            f"it was built for {_list(built)}, and is to have {_list(platforms)}",
            "Give the app and its image the same platforms.",
        )
    say(f"✅ Built OCI image index containing {len(built)} platform variants")
    return image


def _list(platforms: Sequence[Platform]) -> str:
    return ", ".join(str(platform) for platform in platforms) or "no platform"


def push_image_with_tags(
    image: BuiltImage,
    tags: Sequence[TagPlan],
    client: RegistryClient,
    settle: SettleLatest,
    say: Say,
    attest: Callable[[], None] = lambda: None,
) -> tuple[PushReport, tuple[TagResult, ...]]:
    """Push what the registry lacks of a built image, and write its tags in their order.

    `attest` is called between the two: the image is there by then, and nobody sees it yet.

    Raises TagConflict when a write-once tag has come to name another image meanwhile, OciError as the client does.
    """
    count = sum(1 for tag in tags if tag.step is not Step.STAY)
    say(f"Pushing OCI image index with {count} tag{'s' if count != 1 else ''}...")
    report = push_index(client, tags[0].reference.repository, image.manifest.descriptor, image.blobs)
    if report.blobs_uploaded:
        size = report.bytes_uploaded / 1e6
        mounted = f"{report.blobs_mounted} were mounted, " if report.blobs_mounted else ""
        say(
            f"Uploaded {report.blobs_uploaded} blobs, {size:.1f} MB; {mounted}{report.blobs_present} were there already"
        )
    attest()
    results = []
    for tag in tags:
        after: str | None = image.digest
        if tag.step is Step.STAY:
            say(tag.note)
            after = tag.before
        elif tag.step is Step.WRITE:
            # Read anew, not from before the push, which may have taken minutes.
            latest = tag.kind is TagKind.LATEST
            write_tag(client, tag.reference, report.manifest, policy=tag.policy, verify=not latest)
            if latest:
                after = settle(tag.reference, image.digest)
        results.append(TagResult(tag.kind, tag.tag, tag.before, after, tag.step))
    return report, tuple(results)


def retag(
    source: Reference, tags: Sequence[TagPlan], engine: Engine, client: RegistryClient, settle: SettleLatest, say: Say
) -> tuple[TagResult, ...]:
    """Give the image at `source`, named by digest, its tags; each one is seen to be there before the next is written.

    Raises TaggingError, TagConflict or OciError for the first tag that fails.
    """
    digest = str(source.digest)
    results = []
    for tag in tags:
        after: str | None = digest
        if tag.step is Step.WRITE:
            tag_existing_image(str(source), [str(tag.reference)], engine)
            if tag.kind is TagKind.LATEST:
                after = settle(tag.reference, digest)
            else:
                see_tag(client, tag.reference, digest)
            say(f"✅ Tagged with {tag.tag}")
        elif tag.step is Step.STAY:
            say(tag.note)
            after = tag.before
        elif tag.kind is TagKind.VERSION:
            say(f"✅ Tagged with {tag.tag} (already)")
        elif tag.kind is TagKind.LATEST:
            say(f"✅ Tagged with {tag.tag}")
        results.append(TagResult(tag.kind, tag.tag, tag.before, after, tag.step))
    return tuple(results)
