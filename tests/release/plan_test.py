"""What is decided: by the four verdicts, the write-once guards and the order of versions."""

from typing import Any

import pytest

from release.errors import Exit, Refused, ReleaseError, exit_status
from release.inspection import Names, Observation, names_of
from release.plan import Step, TagPlan, Way, make_plan, plan_tags, survey_tags
from release.request import LatestPolicy, Request
from release.tags import TagTemplates
from release.version import Version
from tools.oci.errors import Forbidden, TagConflict, Unanswered
from tools.oci.inspection import Inspection, Verdict
from tools.oci.manifest import OCI_INDEX, ImageIndex
from tools.oci.reference import Repository
from tools.oci.tags import TagPolicy, TagState

REPOSITORY = Repository("ghcr.io", "owner/demo-hello_python")
IMAGE = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64
NO_ANSWER = Forbidden("cannot read it", "403 denied", "Log in.")
ABSENT, PRESENT, INCOMPLETE, UNKNOWN = Verdict.ABSENT, Verdict.PRESENT, Verdict.INCOMPLETE, Verdict.UNKNOWN


def request(**wishes: Any) -> Request:
    return Request(**{"app": "hello_python", "version": Version(1, 0, 0), "commit": "abc123def", **wishes})


def names(request: Request) -> Names:
    return names_of(request, REPOSITORY, TagTemplates())


def observation(
    request: Request,
    verdict: Verdict = ABSENT,
    digest: str | None = None,
    version: str | Unanswered | None = None,
    latest: str | Unanswered | None = None,
    versions: tuple[str, ...] | Unanswered = (),
) -> Observation:
    """What a registry may answer: the commit tag names `digest`, and so on."""
    asked = names(request)

    def state(reference: Any, answer: str | Unanswered | None) -> TagState | Unanswered | None:
        if isinstance(answer, Unanswered):
            return answer
        return None if reference is None else TagState(reference, answer)

    commit = None
    if asked.commit is not None:
        manifest = ImageIndex(b"", OCI_INDEX, digest, ()) if digest else None
        error = NO_ANSWER if verdict is UNKNOWN else None
        commit = Inspection(asked.commit, verdict, "the reason", manifest, error)
    found = versions if isinstance(versions, Unanswered) else frozenset(map(Version.parse, versions))
    return Observation(commit, state(asked.version, version), state(asked.latest, latest), found)


def steps(plans: tuple[TagPlan, ...]) -> dict[str, Step]:
    return {plan.tag: plan.step for plan in plans}


@pytest.mark.parametrize(
    ("wishes", "verdict", "digest", "way", "warned"),
    [
        ({"commit": None}, ABSENT, None, Way.BUILD, False),
        ({}, ABSENT, None, Way.BUILD, False),
        ({}, PRESENT, IMAGE, Way.RETAG, False),
        ({}, INCOMPLETE, OTHER, Way.BUILD, True),
        ({}, UNKNOWN, None, Way.BUILD, True),
        ({"rebuild": True}, PRESENT, IMAGE, Way.BUILD, False),
        ({"no_build": True}, PRESENT, IMAGE, Way.RETAG, False),
        ({"version": None}, PRESENT, IMAGE, Way.RETAG, False),
        ({"version": None}, ABSENT, None, Way.BUILD, False),
    ],
)
def test_the_verdict_on_the_commits_image_decides_the_way(
    wishes: dict[str, Any], verdict: Verdict, digest: str | None, way: Way, warned: bool
) -> None:
    wanted = request(**wishes)
    plan = make_plan(wanted, names(wanted), observation(wanted, verdict, digest))
    assert plan.way is way
    assert bool(plan.warning) is warned


@pytest.mark.parametrize(
    ("verdict", "digest", "status"),
    [(ABSENT, None, Exit.REFUSED), (INCOMPLETE, OTHER, Exit.REFUSED), (UNKNOWN, None, Exit.UNASKED)],
)
def test_where_nothing_may_be_built_every_other_verdict_ends_the_release(
    verdict: Verdict, digest: str | None, status: Exit
) -> None:
    wanted = request(no_build=True)
    with pytest.raises(ReleaseError) as caught:
        make_plan(wanted, names(wanted), observation(wanted, verdict, digest))
    assert exit_status(caught.value) == status
    assert "the reason" in str(caught.value)


def test_a_retag_writes_the_version_and_latest_and_leaves_the_commit_tag_alone() -> None:
    wanted = request()
    plan = make_plan(wanted, names(wanted), observation(wanted, PRESENT, IMAGE, latest=OTHER))
    assert plan.digest == IMAGE
    assert steps(plan.tags) == {"abc123def": Step.ALREADY, "v1.0.0": Step.WRITE, "latest": Step.WRITE}
    assert [tag.before for tag in plan.tags] == [IMAGE, None, OTHER]


@pytest.mark.parametrize("verdict", [ABSENT, INCOMPLETE])
def test_a_build_writes_the_commit_tag_first_and_latest_last(verdict: Verdict) -> None:
    wanted = request()
    seen = observation(wanted, verdict, OTHER if verdict is INCOMPLETE else None)
    plans = plan_tags(wanted, names(wanted), seen, IMAGE)
    assert list(steps(plans).items()) == [
        ("abc123def", Step.WRITE),
        ("v1.0.0", Step.WRITE),
        ("latest", Step.WRITE),
    ]
    # Only an incomplete image may be replaced under its commit's tag.
    assert plans[0].policy is (TagPolicy.OVERWRITE if verdict is INCOMPLETE else TagPolicy.WRITE_ONCE)


def test_without_a_version_only_the_commit_tag_is_written() -> None:
    wanted = request(version=None)
    assert steps(plan_tags(wanted, names(wanted), observation(wanted), IMAGE)) == {"abc123def": Step.WRITE}


def test_without_a_commit_two_tags_are_written() -> None:
    wanted = request(commit=None)
    assert steps(plan_tags(wanted, names(wanted), observation(wanted), IMAGE)) == {
        "v1.0.0": Step.WRITE,
        "latest": Step.WRITE,
    }


def test_tags_that_name_the_image_are_not_written_again() -> None:
    wanted = request()
    seen = observation(wanted, PRESENT, IMAGE, version=IMAGE, latest=IMAGE, versions=("v1.0.0",))
    assert set(steps(plan_tags(wanted, names(wanted), seen, IMAGE)).values()) == {Step.ALREADY}


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_version_that_names_another_image_is_refused_before_anything_is_done(rebuild: bool) -> None:
    wanted = request(rebuild=rebuild)
    seen = observation(wanted, PRESENT, IMAGE, version=OTHER)
    with pytest.raises(TagConflict) as caught:
        make_plan(wanted, names(wanted), seen)
    assert exit_status(caught.value) == Exit.REFUSED
    assert IMAGE in str(caught.value)
    assert OTHER in str(caught.value)


def test_a_rebuild_that_differs_from_the_complete_image_is_refused_with_both_digests() -> None:
    wanted = request(rebuild=True)
    with pytest.raises(Refused, match=f"(?s){IMAGE}.*{OTHER}"):
        plan_tags(wanted, names(wanted), observation(wanted, PRESENT, OTHER), IMAGE)


def test_tags_move_to_another_image_only_when_told_to() -> None:
    wanted = request(allow_overwrite=True)
    plans = plan_tags(wanted, names(wanted), observation(wanted, PRESENT, OTHER, version=OTHER), IMAGE)
    assert {plan.policy for plan in plans} == {TagPolicy.OVERWRITE}
    assert set(steps(plans).values()) == {Step.WRITE}


@pytest.mark.parametrize("unknown", ["commit", "version", "latest", "versions"])
def test_what_is_not_known_ends_the_release_before_a_tag_is_written(unknown: str) -> None:
    wanted = request()
    answers: dict[str, Any] = {} if unknown == "commit" else {unknown: NO_ANSWER}
    seen = observation(wanted, UNKNOWN if unknown == "commit" else ABSENT, **answers)
    with pytest.raises(Forbidden) as caught:
        plan_tags(wanted, names(wanted), seen, IMAGE)
    assert exit_status(caught.value) == Exit.UNASKED


@pytest.mark.parametrize(
    ("version", "policy", "versions", "latest", "step", "note"),
    [
        ("v1.0.0", "newest", (), None, Step.WRITE, ""),
        ("v1.0.0", "newest", ("v0.9.0", "v1.0.0-rc1"), OTHER, Step.WRITE, ""),
        ("v1.0.0", "newest", ("v1.0.0",), OTHER, Step.WRITE, ""),
        ("v1.0.0", "newest", ("v2.0.0-rc1",), OTHER, Step.WRITE, ""),
        ("v1.10.0", "newest", ("v1.9.0",), OTHER, Step.WRITE, ""),
        ("v1.9.1", "newest", ("v2.0.0", "v1.10.0"), OTHER, Step.STAY, "latest stays at v2.0.0"),
        ("v1.9.1", "newest", ("v2.0.0",), None, Step.STAY, "latest is not written: v2.0.0 is newer"),
        ("v2.0.0-rc1", "newest", ("v1.0.0",), OTHER, Step.STAY, "latest stays at v1.0.0"),
        ("v2.0.0-rc1", "newest", (), None, Step.STAY, "latest is not written: a pre-release does not make it"),
        ("v1.9.1", "always", ("v2.0.0",), OTHER, Step.WRITE, ""),
        ("v2.0.0-rc1", "always", (), None, Step.WRITE, ""),
        ("v3.0.0", "never", ("v2.0.0",), OTHER, Step.STAY, "latest stays as it is"),
    ],
)
def test_latest_moves_forward_only_unless_told_otherwise(
    version: str, policy: str, versions: tuple[str, ...], latest: str | None, step: Step, note: str
) -> None:
    wanted = request(version=Version.parse(version), latest=LatestPolicy(policy))
    seen = observation(wanted, PRESENT, IMAGE, latest=latest, versions=versions)
    plan = plan_tags(wanted, names(wanted), seen, IMAGE)[-1]
    assert (plan.step, plan.note, plan.before) == (step, note, latest)


def test_before_a_build_the_tags_are_listed_with_what_they_name() -> None:
    wanted = request()
    plans = survey_tags(wanted, names(wanted), observation(wanted, latest=OTHER, versions=("v2.0.0",)))
    assert [(plan.tag, plan.before, plan.step) for plan in plans] == [
        ("abc123def", None, Step.WRITE),
        ("v1.0.0", None, Step.WRITE),
        ("latest", OTHER, Step.STAY),
    ]
