"""Whether a registry has a complete image under a reference: one of four verdicts, never a guess."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tools.oci.client import Access, RegistryClient
from tools.oci.errors import OciError
from tools.oci.manifest import ImageIndex, Manifest, Platform
from tools.oci.parallel import run_all
from tools.oci.reference import Reference
from tools.oci.referrers import Referrers, list_referrers


class Verdict(enum.Enum):
    """PRESENT: an index of exactly the expected platforms, its children there. ABSENT: a definite 404.
    INCOMPLETE: something else is there. UNKNOWN: the registry could not be asked."""

    PRESENT = "present"
    ABSENT = "absent"
    INCOMPLETE = "incomplete"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found. `manifest` holds the raw bytes, so that a re-tag can write them without another GET.

    `reason` is a sentence for people, empty when present. `error` is what made the verdict UNKNOWN. `referrers` are
    those of an index of the right platforms, or why they are not known; None where nobody asked.
    """

    reference: Reference
    verdict: Verdict
    reason: str = ""
    manifest: Manifest | None = None
    error: OciError | None = None
    referrers: Referrers | OciError | None = None

    @property
    def digest(self) -> str | None:
        """The digest under the reference, if something was found."""
        return self.manifest.digest if self.manifest is not None else None


def inspect_index(
    client: RegistryClient,
    reference: Reference,
    platforms: Iterable[Platform],
    *,
    access: Access = Access.PULL,
    referrers: bool = False,
) -> Inspection:
    """Look at an image index: one GET, then its children by HEAD in parallel.

    Args:
        client: of the reference's registry.
        reference: by tag or digest.
        platforms: exactly those that the index must have. Attestations in it are not counted as platforms, but have to
            be there like every other child.
        access: PUSH where a write will follow anyway: one token then serves both.
        referrers: ask, beside the HEADs, what refers to the index. It has no part in the verdict.

    Raises nothing of OciError: what cannot be learnt is the verdict UNKNOWN.
    """
    around: list[Referrers | OciError] = []
    try:
        manifest = client.find_manifest(reference, access=access)
        if manifest is None:
            return Inspection(reference, Verdict.ABSENT, f"{reference} does not exist")
        if isinstance(manifest, ImageIndex):
            reason = _platform_mismatch(manifest, platforms)
            if not reason:
                questions: list[Callable[[], Any]] = [partial(_missing_children, client, reference, manifest, access)]
                if referrers:
                    questions.append(partial(_look_around, client, reference, manifest, access))
                reason, *around = run_all(questions)
        else:
            reason = f"it is a single image ({manifest.media_type}), not an index of platforms"
    except OciError as error:
        return Inspection(reference, Verdict.UNKNOWN, f"{error.what}: {error.why}", error=error)
    verdict = Verdict.INCOMPLETE if reason else Verdict.PRESENT
    return Inspection(reference, verdict, reason, manifest, referrers=around[0] if around else None)


def _platform_mismatch(index: ImageIndex, platforms: Iterable[Platform]) -> str:
    found = index.platforms
    expected = {platform.normalized for platform in platforms}
    if sorted(found) == sorted(expected):
        return ""
    return f"it has {_list(found)}, expected is {_list(expected)}"


def _missing_children(client: RegistryClient, reference: Reference, index: ImageIndex, access: Access) -> str:
    children = list(dict.fromkeys(child.digest for child in index.manifests))
    found = run_all(
        [partial(client.head_manifest, reference.repository.digest(child), access=access) for child in children],
        at_once=client.max_connections,
    )
    gone = [child for child, there in zip(children, found, strict=True) if there is None]
    return f"of its manifests {', '.join(gone)} {'is' if len(gone) == 1 else 'are'} gone" if gone else ""


def _look_around(
    client: RegistryClient, reference: Reference, index: ImageIndex, access: Access
) -> Referrers | OciError:
    try:
        return list_referrers(client, reference.repository, index.digest, access=access)
    except OciError as error:
        return error


def _list(platforms: Iterable[Platform]) -> str:
    return ", ".join(str(platform) for platform in sorted(platforms)) or "no platform"
