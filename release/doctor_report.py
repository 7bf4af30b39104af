"""What a look at a registry found, for machines and for people.

The keys of the JSON document and their order are part of the program's interface; `schema` counts up when one of them
changes its meaning.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from release.errors import Exit
from tools.oci.reference import Repository
from tools.oci.retrying import Traffic

SCHEMA = 1


class Answer(enum.Enum):
    """Whether a registry has something."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class Capability(enum.Enum):
    """What is looked at, in this order."""

    CONNECTION = "connection"
    LOGIN = "login"
    PULL = "pull"
    PUSH = "push"
    UPLOAD = "blob upload"
    MOUNT = "blob mount"
    DIGESTS = "digests by HEAD"
    REFERRERS = "referrers"
    IMMUTABILITY = "immutable tags"
    TAG_DELETION = "tag deletion"
    MANIFEST_DELETION = "manifest deletion"
    LIMITS = "rate limits"


NEEDED = frozenset(
    {Capability.CONNECTION, Capability.LOGIN, Capability.PULL, Capability.PUSH, Capability.UPLOAD},
)
"""Without these no release."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer: what was found, and what that means for a release."""

    capability: Capability
    answer: Answer
    found: str
    means: str = ""
    tried: bool = True

    @property
    def blocks(self) -> bool:
        """Whether a release fails for that."""
        return self.answer is Answer.NO and self.capability in NEEDED


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found. `left`: what was written and could not be deleted again."""

    repository: Repository
    findings: Sequence[Finding]
    known: Sequence[str]
    """What is known of registries of this name."""
    left: Sequence[str]
    wrote: bool
    traffic: Traffic

    @property
    def exit_status(self) -> Exit:
        """0: nothing stands against a release; 1: something does; 4: the registry could not be asked."""
        blocking = {finding.capability for finding in self.findings if finding.blocks}
        if Capability.CONNECTION in blocking:
            return Exit.UNASKED
        return Exit.FAILED if blocking else Exit.DONE

    def to_json(self) -> str:
        """The report as a JSON document."""
        document = {
            "schema": SCHEMA,
            "repository": str(self.repository),
            "ready": self.exit_status is Exit.DONE,
            "findings": [
                {
                    "capability": finding.capability.value,
                    "answer": finding.answer.value,
                    "found": finding.found,
                    "means": finding.means or None,
                    "tried": finding.tried,
                    "blocks": finding.blocks,
                }
                for finding in self.findings
            ],
            "known": list(self.known),
            "wrote": self.wrote,
            "left": list(self.left),
            "requests": self.traffic.total,
            "writes": self.traffic.writes,
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def lines(self) -> Iterable[str]:
        """The report as people read it."""
        yield str(self.repository)
        for finding in self.findings:
            if finding.tried:
                yield f"  {finding.capability.value:<19}{finding.answer.value:<9}{finding.found}"
            if finding.tried and finding.means:
                yield f"  {'':<28}-> {finding.means}"
        untried = [finding.capability.value for finding in self.findings if not finding.tried]
        if untried and not self.wrote and not any(finding.blocks for finding in self.findings):
            yield f"  Not tried, since it takes a write: {', '.join(untried)}. --write tries it."
        for line in self.known:
            yield f"  Known: {line}"
        for line in self.left:
            yield f"  Left behind: {line}"
        blocking = [finding.capability.value for finding in self.findings if finding.blocks]
        if blocking:
            yield f"A release cannot go there: {', '.join(blocking)}"
        elif any(finding.answer is Answer.UNKNOWN for finding in self.findings if finding.capability in NEEDED):
            yield "Nothing was found that would stop a release; whether one may push is not known"
        else:
            yield "A release can go there"
