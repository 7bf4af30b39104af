"""What a release did, for machines (`--json`).

One document for a run, with an entry for each app. The keys and their order are part of the program's interface;
`schema` counts up when one of them changes its meaning.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from release.action import TagResult
from release.destination import CopyResult
from release.errors import ReleaseError, exit_status
from release.plan import Way
from release.provenance import ProvenancePlan
from release.request import EngineName, Request
from tools.oci.errors import OciError
from tools.oci.manifest import ImageIndex, Manifest
from tools.oci.publication import PushReport
from tools.oci.reference import Repository
from tools.oci.retrying import Traffic

SCHEMA = 2


@dataclass(frozen=True, slots=True)
class Record:
    """A release that was done, or, with `dry_run`, what it would have done."""

    request: Request
    app: str
    repository: Repository
    way: Way
    verdict: str | None
    """Of the commit's image: present, absent, incomplete or unknown; None where it was not asked for."""
    manifest: Manifest | None
    tags: Sequence[TagResult]
    provenance: ProvenancePlan | None = None
    """None where there is none: not asked for, or not taken by the registry."""
    engine: EngineName | None = None
    """What re-tagged; None where the image was pushed."""
    push: PushReport | None = None
    copies: tuple[CopyResult, ...] = ()
    """What became of the further registries, in the order of the configuration."""
    traffic: Traffic = field(default_factory=Traffic)
    """Requests of this program; those of `docker buildx imagetools` are its own and not counted."""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The entry of a release."""
        request = self.request
        children = self.manifest.manifests if isinstance(self.manifest, ImageIndex) else ()
        return {
            "app": self.app,
            "version": str(request.version) if request.version else None,
            "commit": request.commit,
            "repository": str(self.repository),
            "registries": self.registries(),
            "digest": self.manifest.digest if self.manifest else None,
            "artifact_digest": request.artifact_digest,
            "platforms": {
                str(child.platform.normalized): child.digest
                for child in children
                if child.platform and not child.is_attestation
            },
            "tags": self.tags_json(),
            "copies": [copy.to_json() for copy in self.copies],
            "provenance": self.provenance
            and {
                "digest": self.provenance.digest,
                "step": self.provenance.step.value,
                "signed": self.provenance.signed,
            },
            "verdict": self.verdict,
            "path": self.way.value,
            "engine": self.engine.value if self.engine else None,
            "dry_run": request.dry_run,
            "requests": self.traffic.total,
            "writes": self.traffic.writes,
            **self.blobs_json(),
            "seconds": round(self.seconds, 3),
            "error": None,
        }

    def registries(self) -> list[str]:
        """Those that have the image under its tags, as was seen after the writes; none in a dry run."""
        if self.request.dry_run:
            return []
        done = [self.repository, *(copy.record.repository for copy in self.copies if copy.record is not None)]
        return [repository.registry for repository in done]

    def blobs_json(self) -> dict[str, Any]:
        """What was pushed to the repository; null in a dry run where the image is not there yet."""
        push = self.push
        if push is None and self.request.dry_run and self.way is not Way.RETAG:
            return {"blobs": None, "bytes": None}
        return {
            "blobs": {
                "uploaded": push.blobs_uploaded if push else 0,
                "mounted": push.blobs_mounted if push else 0,
                "present": push.blobs_present if push else 0,
            },
            "bytes": push.bytes_uploaded if push else 0,
        }

    def tags_json(self) -> list[dict[str, Any]]:
        """What became of each tag."""
        return [
            {
                "tag": tag.tag,
                "kind": tag.kind.value,
                "before": tag.before,
                "after": tag.after,
                "step": tag.step.value,
            }
            for tag in self.tags
        ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the release of one app: its record, or its error; both where a further registry failed."""

    request: Request
    app: str
    repository: Repository
    record: Record | None
    error: ReleaseError | OciError | None = None
    traffic: Traffic = field(default_factory=Traffic)
    """Of a release without a record."""
    seconds: float = 0.0

    @property
    def digest(self) -> str | None:
        """Of the image that the tags name, or would; None where there is none."""
        return self.record.manifest.digest if self.record is not None and self.record.manifest is not None else None

    @property
    def repositories(self) -> tuple[str, ...]:
        """Where the image is, or would be: in the first registry, then in the further ones."""
        copies = self.record.copies if self.record is not None else ()
        return (str(self.repository), *(str(copy.record.repository) for copy in copies if copy.record is not None))

    def to_json(self) -> dict[str, Any]:
        """The entry of a release. Where it failed, that is who it was of, what it cost, and its `error`."""
        request, error = self.request, self.error
        if self.record is not None:
            entry = self.record.to_json()
        else:
            entry = {
                "app": self.app,
                "version": str(request.version) if request.version else None,
                "commit": request.commit,
                "repository": str(self.repository),
                "registries": [],
                "dry_run": request.dry_run,
                "requests": self.traffic.total,
                "writes": self.traffic.writes,
                "seconds": round(self.seconds, 3),
            }
        if error is not None:
            entry["error"] = {
                "exit_status": int(exit_status(error)),
                "what": error.what,
                "why": error.why,
                "remedy": error.remedy,
            }
        return entry


def records_document(outcomes: Sequence[Outcome]) -> str:
    """The JSON document of a run."""
    document = {"schema": SCHEMA, "releases": [outcome.to_json() for outcome in outcomes]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
