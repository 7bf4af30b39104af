"""Seeing that tags name what they should after they were written, whatever was said by who wrote them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from release.errors import TaggingError
from release.inspection import Names
from release.plan import newest_version
from release.version import Version
from tools.oci.client import Access, RegistryClient
from tools.oci.errors import NotFound, OciError, TagConflict
from tools.oci.parallel import run_all
from tools.oci.reference import Reference
from tools.oci.tags import TagPolicy, verify_tag, write_tag


def see_tag(client: RegistryClient, reference: Reference, digest: str) -> None:
    """See that a write-once tag names `digest`.

    Raises:
        TaggingError: it is not there, though its writer reported success.
        TagConflict: it names something else.
    """
    try:
        verify_tag(client, reference, digest)
    except NotFound as error:
        raise _not_there(reference, error) from None


def settle_latest(
    client: RegistryClient,
    names: Names,
    latest: Reference,
    digest: str,
    version: Version,
    seen: frozenset[Version] | None,
    say: Callable[[str], None],
) -> str:
    """See that `latest` names `digest`, or move it forward once more, and return what it names in the end.

    Registries have no compare-and-swap, so two releases at the same time may write `latest` in the wrong order. Each of
    them lists the tags again after its own write; the last one to do so puts it right.

    Args:
        client: of the registry.
        names: the release's names.
        latest: the tag that has just been written.
        digest: what it was made to name.
        version: the version released.
        seen: the versions there were before; None where `latest` is not to follow versions.
        say: hears that it was moved on.
    """

    def look() -> OciError | None:
        try:
            verify_tag(client, latest, digest)
        except (NotFound, TagConflict) as error:
            return error
        return None

    def appeared() -> frozenset[Version]:
        if seen is None:
            return frozenset()
        return names.templates.versions(client.list_tags(latest.repository, access=Access.PUSH)) - seen

    questions: list[Callable[[], Any]] = [look, appeared]
    trouble, new = run_all(questions)
    newest = newest_version(new)
    if newest is not None and newest > version:
        newer = client.get_manifest(latest.repository.tag(names.templates.version_tag(newest)), access=Access.PUSH)
        write_tag(client, latest, newer, policy=TagPolicy.OVERWRITE)
        say(f"{latest.tag} moved on to {newest}, which has appeared meanwhile")
        return newer.digest
    if trouble is not None:
        raise _not_there(latest, trouble)
    return digest


def _not_there(reference: Reference, error: OciError) -> TaggingError:
    return TaggingError(f"{reference} was not tagged, though that was reported", error.why, error.remedy)
