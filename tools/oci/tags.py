"""Writing a tag, with the guard that a write-once tag never changes.

Registries have no compare-and-swap: the tag is read, written and read again, and whatever the write itself said, what
counts is the digest that the tag names afterwards.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from tools.oci.client import Access, RegistryClient
from tools.oci.errors import Forbidden, NotFound, Refused, TagConflict
from tools.oci.manifest import Manifest
from tools.oci.reference import Reference

_IMMUTABLE = re.compile(r"immutable|TAG_INVALID|tag invalid|already exists|cannot be overwritten", re.IGNORECASE)


class TagPolicy(enum.Enum):
    """Whether a tag that names another digest may be moved."""

    WRITE_ONCE = "write-once"
    OVERWRITE = "overwrite"


class TagOutcome(enum.Enum):
    """What write_tag did: WRITTEN (was absent), MOVED (named another digest), ALREADY (nothing written)."""

    WRITTEN = "written"
    MOVED = "moved"
    ALREADY = "already"


@dataclass(frozen=True, slots=True)
class TagState:
    """What a tag named when it was read: a digest, or None where it is definitely absent."""

    reference: Reference
    digest: str | None


def read_tag(
    client: RegistryClient, reference: Reference, *, likely: bool = False, access: Access = Access.PUSH
) -> TagState:
    """Read a tag: one request if the guess is right, else two.

    Args:
        client: of the reference's registry.
        reference: with a tag.
        likely: whether the tag is expected to be there (HEAD; GitHub and Docker Hub count a GET as a pull) or not (GET,
            whose 404 is definite).
        access: PUSH by default, since this is read in order to write, and a registry may hide from PULL a repository
            that does not exist.

    Raises:
        Unanswered: neither presence nor absence is known.
    """
    found = client.head_manifest(reference, access=access) if likely else client.find_manifest(reference, access=access)
    return TagState(reference, found.digest if found is not None else None)


def check_tag(state: TagState, digest: str, policy: TagPolicy = TagPolicy.WRITE_ONCE) -> None:
    """The guard alone, to be asked before any work is done. Raises TagConflict."""
    if policy is TagPolicy.WRITE_ONCE and state.digest not in (None, digest):
        raise _conflict(state.reference, str(state.digest), digest)


def write_tag(
    client: RegistryClient,
    reference: Reference,
    manifest: Manifest,
    *,
    policy: TagPolicy = TagPolicy.WRITE_ONCE,
    state: TagState | None = None,
    verify: bool = True,
) -> TagOutcome:
    """Make a tag name a manifest that is in the repository, and see that it does.

    Args:
        client: of the reference's registry.
        reference: with the tag to write.
        manifest: its bytes are sent as they are, so the digest stays.
        policy: whether the tag may be moved from another digest.
        state: what read_tag has just answered, to save the request here; never one from before a build.
        verify: read the tag back after writing (one HEAD). Without, only the digest in the registry's answer to the
            write was compared: for a caller that verifies several tags at the same time.

    Raises:
        TagConflict: it names another digest, before or after the write; names both digests.
        OciError: as the client's methods.
    """
    if state is None:
        state = read_tag(client, reference)
    if state.digest == manifest.digest:
        return TagOutcome.ALREADY
    check_tag(state, manifest.digest, policy)
    try:
        client.put_manifest(reference, manifest.content, manifest.media_type)
    except (Refused, Forbidden) as error:
        # A registry with immutable tags refuses the same digest too; somebody may have written it a moment ago.
        if not _IMMUTABLE.search(error.why):
            raise
        now = read_tag(client, reference)
        if now.digest is None:
            raise
        check_tag(now, manifest.digest, TagPolicy.WRITE_ONCE)
        return TagOutcome.ALREADY
    if verify:
        verify_tag(client, reference, manifest.digest)
    return TagOutcome.WRITTEN if state.digest is None else TagOutcome.MOVED


def verify_tag(client: RegistryClient, reference: Reference, digest: str, *, patience: float = 10.0) -> None:
    """See that a tag names a digest (one HEAD).

    Just after a write another answer may be the registry's lag: it is asked again for `patience` seconds (never longer
    than the client retries).

    Raises:
        TagConflict: it names another digest.
        NotFound: it is still absent.
    """
    found = client.poll(
        lambda: client.head_manifest(reference, access=Access.PUSH),
        lambda found: found is not None and found.digest == digest,
        f"{reference} is not yet {digest} there",
        patience,
    )
    if found is None:
        raise NotFound(
            f"cannot verify {reference}", "the registry has no such tag after it was written", "Run the command again."
        )
    if found.digest != digest:
        raise _conflict(reference, found.digest, digest)


def _conflict(reference: Reference, present: str, wanted: str) -> TagConflict:
    return TagConflict(
        f"cannot tag {wanted} as {reference}",
        f"the tag already names {present}",
        "A published tag does not move: choose another one, or overwrite it on purpose (--allow-overwrite).",
        present=present,
        wanted=wanted,
    )
