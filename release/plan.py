"""What is to be done, out of what was asked for and what the registry holds. No input or output."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from release.errors import Refused, Unasked
from release.inspection import Names, Observation
from release.request import LatestPolicy, Request
from release.version import Version
from tools.oci.errors import Unanswered
from tools.oci.inspection import Inspection, Verdict
from tools.oci.reference import Reference
from tools.oci.tags import TagPolicy, TagState, check_tag


class Way(enum.Enum):
    """How a release gets its image."""

    RETAG = "retag"
    BUILD = "build"
    FALLBACK = "fallback"
    """Never planned: re-tagging failed, so the image is built again."""
    PUBLISH = "publish"
    """Of an artifact, which has the image."""
    COPY = "copy"
    """Of a further registry: it gets what the first one has."""


class TagKind(enum.Enum):
    """What a tag is for."""

    COMMIT = "commit"
    VERSION = "version"
    LATEST = "latest"


class Step(enum.Enum):
    """What is to be done about a tag."""

    WRITE = "write"
    ALREADY = "already"
    """It names the image already."""
    STAY = "stay"
    """It names something else and is to go on doing so."""


@dataclass(frozen=True, slots=True)
class TagPlan:
    """What is to be done about one tag, which names `before` now. `note` says why it stays."""

    kind: TagKind
    reference: Reference
    before: str | None
    step: Step
    policy: TagPolicy = TagPolicy.WRITE_ONCE
    note: str = ""

    @property
    def tag(self) -> str:
        """The tag alone."""
        return self.reference.tag or ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The way to go. `digest` is known beforehand where an image is there; `warning` says what is not known."""

    way: Way
    digest: str | None = None
    tags: tuple[TagPlan, ...] = ()
    warning: str = ""


def make_plan(request: Request, names: Names, observation: Observation) -> Plan:
    """Decide between re-tagging, building and publishing an artifact, and refuse as early as possible.

    Raises:
        Refused: a guard says no.
        Unasked, Unanswered: the registry did not say what has to be known.
        TagConflict: the version tag names another image.
    """
    found = observation.commit
    if (digest := request.artifact_digest) is not None:
        return Plan(Way.PUBLISH, digest, plan_tags(request, names, observation, digest))
    if found is None:
        return Plan(Way.BUILD)
    if found.verdict is Verdict.PRESENT:
        # A rebuild has to come out as this very image, so its tags can be judged beforehand as well.
        tags = plan_tags(request, names, observation, str(found.digest))
        return Plan(Way.BUILD if request.rebuild else Way.RETAG, found.digest, tags)
    if request.no_build:
        raise _not_built(request, found)
    if found.verdict is Verdict.ABSENT:
        return Plan(Way.BUILD)
    state = "cannot be asked for" if found.verdict is Verdict.UNKNOWN else "is incomplete"
    return Plan(Way.BUILD, warning=f"The image of commit {request.short_commit} {state}: {found.reason}")


def _not_built(request: Request, found: Inspection) -> Refused | Unasked:
    if found.verdict is Verdict.UNKNOWN:
        return Unasked(
            f"Cannot tell whether there is an image for commit {request.short_commit}: {found.reference}",
            found.reason,
            found.error.remedy if found.error else "Run the same command again when the registry answers.",
        )
    return Refused(
        f"There is no complete image for commit {request.short_commit}: {found.reference}",
        found.reason or "the registry does not have it",
        "Release without --no-build where it can be built, or wait until that has been done.",
    )


def plan_tags(request: Request, names: Names, observation: Observation, digest: str) -> tuple[TagPlan, ...]:
    """What to do about each tag so that it names `digest`, in the order in which they are written.

    Raises:
        Refused, TagConflict: a write-once tag names another image.
        Unanswered: it is not known what a tag names.
    """
    plans = []
    if names.commit is not None and observation.commit is not None:
        plans.append(_commit_plan(request, names.commit, observation.commit, digest))
    if names.version is not None:
        plans.append(_version_plan(request, names.version, _known(observation.version), digest))
    if names.latest is not None:
        plans.append(_latest_plan(request, names.latest, observation, digest))
    return tuple(plans)


def _commit_plan(request: Request, reference: Reference, found: Inspection, digest: str) -> TagPlan:
    before = _known_commit(reference, found).digest
    if before == digest:
        return TagPlan(TagKind.COMMIT, reference, before, Step.ALREADY)
    complete = found.verdict is Verdict.PRESENT
    if complete and not request.allow_overwrite:
        raise Refused(
            f"Refused to move {reference}",
            f"what was built is {digest}, but the complete image there is {before}",
            "The same commit should build the same image: find out what differs, or replace it with --allow-overwrite.",
        )
    policy = TagPolicy.WRITE_ONCE if before is None else TagPolicy.OVERWRITE
    return TagPlan(TagKind.COMMIT, reference, before, Step.WRITE, policy)


def _version_plan(request: Request, reference: Reference, state: TagState, digest: str) -> TagPlan:
    if state.digest == digest:
        return TagPlan(TagKind.VERSION, reference, state.digest, Step.ALREADY)
    policy = TagPolicy.OVERWRITE if request.allow_overwrite else TagPolicy.WRITE_ONCE
    check_tag(state, digest, policy)
    return TagPlan(TagKind.VERSION, reference, state.digest, Step.WRITE, policy)


def _latest_plan(request: Request, reference: Reference, observation: Observation, digest: str | None) -> TagPlan:
    before = _known(observation.latest).digest
    note = _why_latest_stays(request, reference, observation, before)
    if note:
        return TagPlan(TagKind.LATEST, reference, before, Step.STAY, note=note)
    step = Step.ALREADY if before is not None and before == digest else Step.WRITE
    return TagPlan(TagKind.LATEST, reference, before, step, TagPolicy.OVERWRITE)


def _why_latest_stays(request: Request, reference: Reference, observation: Observation, before: str | None) -> str:
    if request.latest is LatestPolicy.ALWAYS or request.version is None:
        return ""
    if request.latest is LatestPolicy.NEVER:
        return f"{reference.tag} stays as it is"
    if isinstance(observation.versions, Unanswered):
        raise observation.versions
    newest = newest_version(observation.versions or frozenset())
    if not request.version.pre and (newest is None or newest <= request.version):
        return ""
    if newest is not None and before is not None:
        return f"{reference.tag} stays at {newest}"
    why = f"{newest} is newer" if newest is not None and newest > request.version else "a pre-release does not make it"
    return f"{reference.tag} is not written: {why}"


def newest_version(versions: frozenset[Version]) -> Version | None:
    """The highest of the versions, pre-releases aside."""
    return max((version for version in versions if not version.pre), default=None)


def _known_commit(reference: Reference, found: Inspection) -> Inspection:
    if found.verdict is Verdict.UNKNOWN:
        raise found.error or Unasked(
            f"Cannot tell what {reference} names", found.reason, "Run the same command again when the registry answers."
        )
    return found


def _known(state: TagState | Unanswered | None) -> TagState:
    if isinstance(state, Unanswered):
        raise state
    assert state is not None, "a tag that is planned for has been asked for"
    return state


def survey_tags(request: Request, names: Names, observation: Observation) -> tuple[TagPlan, ...]:
    """The tags of a release whose digest is not known before it is built, each with what it names now.

    Raises Unanswered or Unasked when that is not known.
    """
    plans = []
    if names.commit is not None and observation.commit is not None:
        before = _known_commit(names.commit, observation.commit).digest
        plans.append(TagPlan(TagKind.COMMIT, names.commit, before, Step.WRITE))
    if names.version is not None:
        plans.append(TagPlan(TagKind.VERSION, names.version, _known(observation.version).digest, Step.WRITE))
    if names.latest is not None:
        plans.append(_latest_plan(request, names.latest, observation, digest=None))
    return tuple(plans)
