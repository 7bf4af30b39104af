"""Write-once tags: what may be written, what not, and that the digest afterwards is what counts."""

from __future__ import annotations

import pytest

from tests.support.fault_proxy import Answer, Fault, FaultProxy, error_answer
from tests.support.images import ImageMaker
from tests.support.registry import LocalRegistry
from tools.oci.client import RegistryClient
from tools.oci.errors import Forbidden, InvalidResponse, NotFound, Refused, TagConflict, Throttled, Unavailable
from tools.oci.manifest import ImageIndex
from tools.oci.publication import push_index
from tools.oci.reference import Reference
from tools.oci.tags import TagOutcome, TagPolicy, TagState, check_tag, read_tag, verify_tag, write_tag


@pytest.fixture
def indexes(
    client: RegistryClient, registry: LocalRegistry, maker: ImageMaker, path: str
) -> tuple[ImageIndex, ImageIndex]:
    """Two indexes that are in the registry, without a tag."""
    pair = maker.index("one"), maker.index("two")
    for index in pair:
        push_index(client, registry.repository(path), index.descriptor, maker.blobs)
    registry.forget_requests()
    return pair


@pytest.fixture
def reference(proxy: FaultProxy, path: str) -> Reference:
    """The tag, through the proxy."""
    return proxy.repository(path).tag("v1")


def methods(proxy: FaultProxy) -> list[str]:
    return [request.method for request in proxy.requests()]


def test_a_new_tag_is_read_written_and_read_again(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    assert write_tag(patient, reference, indexes[0]) is TagOutcome.WRITTEN
    assert methods(proxy) == ["GET", "PUT", "HEAD"]
    assert patient.get_manifest(reference) == indexes[0]


def test_the_same_digest_again_is_no_write(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    write_tag(patient, reference, indexes[0])
    proxy.forget_requests()
    assert write_tag(patient, reference, indexes[0]) is TagOutcome.ALREADY
    assert methods(proxy) == ["GET"]


def test_another_digest_is_refused_naming_both(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    one, two = indexes
    write_tag(patient, reference, one)
    proxy.forget_requests()
    with pytest.raises(TagConflict) as caught:
        write_tag(patient, reference, two)
    assert (caught.value.present, caught.value.wanted) == (one.digest, two.digest)
    assert one.digest in str(caught.value)
    assert two.digest in str(caught.value)
    assert "--allow-overwrite" in caught.value.remedy
    assert methods(proxy) == ["GET"]


def test_a_tag_may_be_moved_on_purpose(
    patient: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    one, two = indexes
    write_tag(patient, reference, one)
    assert write_tag(patient, reference, two, policy=TagPolicy.OVERWRITE) is TagOutcome.MOVED
    assert patient.get_manifest(reference) == two


def test_a_state_read_before_saves_the_question(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    state = read_tag(patient, reference)
    assert state == TagState(reference, None)
    proxy.forget_requests()
    assert write_tag(patient, reference, indexes[0], state=state, verify=False) is TagOutcome.WRITTEN
    assert methods(proxy) == ["PUT"]


def test_a_tag_that_is_likely_there_is_read_by_head(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    write_tag(patient, reference, indexes[0])
    proxy.forget_requests()
    assert read_tag(patient, reference, likely=True) == TagState(reference, indexes[0].digest)
    assert methods(proxy) == ["HEAD"]


@pytest.mark.parametrize(
    ("present", "policy", "allowed"),
    [
        (None, TagPolicy.WRITE_ONCE, True),
        ("same", TagPolicy.WRITE_ONCE, True),
        ("other", TagPolicy.WRITE_ONCE, False),
        (None, TagPolicy.OVERWRITE, True),
        ("same", TagPolicy.OVERWRITE, True),
        ("other", TagPolicy.OVERWRITE, True),
    ],
)
def test_the_guard_alone(present: str | None, policy: TagPolicy, allowed: bool) -> None:
    state = TagState(Reference.parse("localhost/app:v1"), present)
    if allowed:
        check_tag(state, "same", policy)
    else:
        with pytest.raises(TagConflict):
            check_tag(state, "same", policy)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (error_answer(403, "DENIED"), Forbidden),
        (error_answer(429, "TOOMANYREQUESTS"), Throttled),
        (Answer(503), Unavailable),
        (Answer(200, {"Content-Type": "text/html"}, b"<html></html>"), InvalidResponse),
    ],
)
def test_a_tag_that_cannot_be_read_is_not_written(
    proxy: FaultProxy,
    hasty: RegistryClient,
    reference: Reference,
    indexes: tuple[ImageIndex, ImageIndex],
    answer: Answer,
    error: type[Exception],
) -> None:
    proxy.inject(Fault(method="GET|HEAD", times=0, answer=answer))
    with pytest.raises(error):
        write_tag(hasty, reference, indexes[0])
    assert "PUT" not in methods(proxy)


def test_an_immutable_tag_with_the_same_digest_is_success(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    write_tag(patient, reference, indexes[0])
    proxy.make_tags_immutable()
    absent = TagState(reference, None)  # as it was before somebody else wrote it
    assert write_tag(patient, reference, indexes[0], state=absent) is TagOutcome.ALREADY


def test_an_immutable_tag_with_another_digest_is_a_conflict_whatever_the_policy(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    one, two = indexes
    write_tag(patient, reference, one)
    proxy.make_tags_immutable()
    with pytest.raises(TagConflict) as caught:
        write_tag(patient, reference, two, policy=TagPolicy.OVERWRITE)
    assert caught.value.present == one.digest


def test_a_refusal_that_has_nothing_to_do_with_the_tag_stays_one(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    proxy.inject(Fault(method="PUT", answer=error_answer(400, "MANIFEST_INVALID", "no")))
    with pytest.raises(Refused, match="MANIFEST_INVALID"):
        write_tag(patient, reference, indexes[0])
    proxy.inject(Fault(method="PUT", answer=error_answer(400, "TAG_INVALID", "no such tag")))
    with pytest.raises(Refused, match="TAG_INVALID"):
        write_tag(patient, reference, indexes[0])


def test_a_write_whose_answer_was_lost_is_still_one_tag(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    proxy.inject(Fault(method="PUT", lose_answer=True))
    assert write_tag(patient, reference, indexes[0]) is TagOutcome.WRITTEN
    assert patient.get_manifest(reference) == indexes[0]


def test_a_registry_that_lags_behind_its_own_write_is_asked_again(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    lag = error_answer(404, "MANIFEST_UNKNOWN")
    proxy.inject(Fault(method="HEAD", answer=lag), Fault(method="GET", skip=1, answer=lag))
    assert write_tag(patient, reference, indexes[0]) is TagOutcome.WRITTEN
    assert methods(proxy) == ["GET", "PUT", "HEAD", "GET", "HEAD"]


def test_a_tag_that_somebody_else_moved_is_noticed(
    hasty: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    one, two = indexes
    write_tag(hasty, reference, one)
    with pytest.raises(TagConflict) as caught:
        verify_tag(hasty, reference, two.digest)
    assert caught.value.present == one.digest


def test_a_write_that_the_registry_forgot_is_noticed(
    proxy: FaultProxy, hasty: RegistryClient, reference: Reference, indexes: tuple[ImageIndex, ImageIndex]
) -> None:
    proxy.inject(Fault(method="PUT", answer=Answer(201)))
    with pytest.raises(NotFound, match="after it was written"):
        write_tag(hasty, reference, indexes[0])
