"""What is known of public registries, told from their names: what no probe can find out, or would only by damage."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownRegistry:
    """A registry, and what a release should know of it."""

    host: re.Pattern[str]
    notes: tuple[str, ...]


_KNOWN = (
    KnownRegistry(
        re.compile(r"ghcr\.io"),
        (
            "GHCR creates a package at its first push, and makes it private",
            "GHCR answers 403 for a token to a package that is private or not there yet; to who may push it gives one",
            "GHCR does not make tags immutable and keeps no list of referrers: provenance gets the tag sha256-HEX",
            "GHCR deletes the package version, with all its tags, where its web page or REST API deletes a tag",
            "what cleans up untagged versions in GHCR deletes the platforms of an index, and its provenance",
            "GHCR may answer 404 for some seconds after a push, which a release waits for",
        ),
    ),
    KnownRegistry(
        re.compile(r"[0-9]+\.dkr\.ecr(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?"),
        (
            "ECR's password is valid for 12 hours: let docker-credential-ecr-login get it",
            "ECR creates no repository at a push, unless a creation template says so",
            "ECR's immutable tags refuse the same digest again, too, which a release takes for done",
            "ECR's exclusion filters can let latest move where other tags are immutable: the probe cannot tell",
            "ECR takes about 10 manifests a second, and refuses some manifests with a subject",
            "ECR deletes images by its own API (aws ecr batch-delete-image)",
        ),
    ),
    KnownRegistry(
        re.compile(r"public\.ecr\.aws"),
        ("ECR Public creates no repository at a push, and takes about 10 blobs a second",),
    ),
    KnownRegistry(
        re.compile(r"(?:docker\.io|index\.docker\.io|registry-1\.docker\.io)"),
        (
            "Docker Hub counts a GET of a manifest as a pull, for which it has a limit; a HEAD is not counted",
            "Docker Hub's login stands in Docker's configuration as https://index.docker.io/v1/",
            "Docker Hub creates a repository at its first push",
        ),
    ),
    KnownRegistry(
        re.compile(r"(?:[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]+\.)?gcr\.io)"),
        (
            "Artifact Registry creates no repository at a push; the name is PROJECT/REPOSITORY/IMAGE",
            "Artifact Registry makes the tags of a whole repository immutable, latest too",
            "Artifact Registry's limit is 60,000 requests and 18,000 writes a minute for a project and region",
            "cleanup policies of Artifact Registry may delete what has no tag: provenance, platforms of an index",
        ),
    ),
    KnownRegistry(
        re.compile(r"[a-z0-9]+\.azurecr\.io"),
        (
            "ACR locks single tags (az acr repository update --write-enabled false); none is write-once from the start",
            "a geo-replicated ACR may answer 404 for what was just pushed",
        ),
    ),
    KnownRegistry(
        re.compile(r"quay\.io"),
        (
            "Quay mounts a blob only where it is told out of which repository",
            "Quay's robot accounts are called OWNER+NAME; each has to be given write access to a repository",
        ),
    ),
)

_HARBOR = (
    "Harbor makes tags immutable by a project's rules, which go by patterns: the probe cannot tell for latest",
    "Harbor's robot accounts expire, and have a $ in their names, which shells take for a variable",
)


def known_of(registry: str, challenge: str) -> tuple[str, ...]:
    """What is known of a registry, HOST[:PORT], which demanded a login by this WWW-Authenticate."""
    host = registry.partition(":")[0].lower()
    notes = next((known.notes for known in _KNOWN if known.host.fullmatch(host)), ())
    # Harbor runs anywhere, and names itself.
    return notes or (_HARBOR if "harbor-registry" in challenge else ())
