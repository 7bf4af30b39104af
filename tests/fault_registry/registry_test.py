"""The registry in memory does wrong what it is told to do wrong, and remembers what was done to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fault_registry.faults import (
    BROKEN,
    DENIED,
    HTML,
    MISSING,
    PAGE_MISSING,
    UNAUTHORIZED,
    UNAVAILABLE,
    Asked,
    Fault,
    Gate,
    Lag,
    Route,
    throttled,
    throttled_like_github,
    throttled_until,
    wrong_content,
    wrong_digest,
)
from tests.fault_registry.registry import Abilities, FaultRegistry
from tests.support.images import ImageMaker
from tools.oci.client import Access, RegistryClient
from tools.oci.credentials import Credential
from tools.oci.errors import (
    Forbidden,
    InvalidResponse,
    NotFound,
    OciError,
    Refused,
    Throttled,
    Unauthorized,
    Unavailable,
)
from tools.oci.manifest import ImageIndex
from tools.oci.publication import push_index
from tools.oci.reference import Reference
from tools.oci.referrers import Artifact, add_referrer, list_referrers
from tools.oci.tags import TagOutcome, write_tag


@pytest.fixture
def maker(tmp_path: Path) -> ImageMaker:
    return ImageMaker(tmp_path / "blobs")


@pytest.fixture
def index(maker: ImageMaker) -> ImageIndex:
    return maker.index()


@pytest.fixture
def registry(maker: ImageMaker, index: ImageIndex) -> Iterator[FaultRegistry]:
    """One with an image, app:v1."""
    with FaultRegistry() as registry:
        registry.store.put_image("app", index.descriptor, maker.blobs, "v1")
        yield registry


@pytest.fixture
def reference(registry: FaultRegistry) -> Reference:
    return registry.repository("app").tag("v1")


@pytest.fixture
def hasty(registry: FaultRegistry) -> Iterator[RegistryClient]:
    """A client that does not retry."""
    with RegistryClient(registry.address, retry_for=0) as client:
        yield client


@pytest.fixture
def patient(registry: FaultRegistry) -> Iterator[RegistryClient]:
    """A client that does."""
    with RegistryClient(registry.address, retry_for=20) as client:
        yield client


FAULTS = {
    "401": (Fault(answer=UNAUTHORIZED), Unauthorized),
    "403": (Fault(answer=DENIED), Forbidden),
    "404": (Fault(answer=MISSING), NotFound),
    "404 of no registry": (Fault(answer=PAGE_MISSING), InvalidResponse),
    "429": (Fault(answer=throttled()), Throttled),
    "429 in seconds": (Fault(answer=throttled(1)), Throttled),
    "429 until a date": (Fault(answer=throttled_until(3600)), Throttled),
    "429 in the body": (Fault(answer=throttled_like_github("1.5s")), Throttled),
    "500": (Fault(answer=BROKEN), Unavailable),
    "503": (Fault(answer=UNAVAILABLE), Unavailable),
    "HTML": (Fault(answer=HTML), InvalidResponse),
    "wrong digest": (Fault(change=wrong_digest), InvalidResponse),
    "wrong content": (Fault(change=wrong_content), InvalidResponse),
    "reset": (Fault(reset_after=0), Unavailable),
    "lost answer": (Fault(lose_answer=True), Unavailable),
    "half an answer": (Fault(keep=10), Unavailable),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_what_a_client_takes_it_for_and_is_counted(
    registry: FaultRegistry, hasty: RegistryClient, reference: Reference, index: ImageIndex, name: str
) -> None:
    fault, error = FAULTS[name]
    registry.inject(fault)
    with pytest.raises(error):
        hasty.get_manifest(reference)
    registry.check_injected()
    assert [seen.fault for seen in registry.requests()] == [True]
    registry.heal()
    assert hasty.get_manifest(reference) == index


def test_a_fault_is_for_the_requests_that_it_names(
    registry: FaultRegistry, hasty: RegistryClient, reference: Reference
) -> None:
    faults = (
        Fault(route=Route.TAGS, times=0, answer=BROKEN),
        Fault(repository="other", times=0, answer=BROKEN),
        Fault(method="PUT", times=0, answer=BROKEN),
        Fault(skip=2, answer=DENIED),  # the third of all that come past the others
    )
    registry.inject(*faults)
    for _ in range(2):
        hasty.get_manifest(reference)
    with pytest.raises(Unavailable):
        hasty.list_tags(reference.repository)
    with pytest.raises(Forbidden):
        hasty.get_manifest(reference)
    hasty.get_manifest(reference)
    assert [registry.injections(fault) for fault in faults] == [1, 0, 0, 1]
    with pytest.raises(AssertionError, match="never injected"):
        registry.check_injected()


def test_a_change_of_nothing_is_no_fault(registry: FaultRegistry, hasty: RegistryClient, reference: Reference) -> None:
    fault = Fault(change=wrong_digest)
    registry.inject(fault)
    hasty.list_tags(reference.repository)  # an answer without a digest
    assert registry.injections(fault) == 0
    assert [seen.fault for seen in registry.requests()] == [False]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="PUT", path="/blobs/uploads/", reset_after=10),
        Fault(method="PUT", path="/blobs/uploads/", lose_answer=True),
        Fault(method="PUT", path="/manifests/", reset_after=10),
        Fault(method="PUT", path="/manifests/", lose_answer=True),
    ],
)
def test_a_push_through_a_reset_arrives_whole(
    registry: FaultRegistry, patient: RegistryClient, maker: ImageMaker, fault: Fault
) -> None:
    image = maker.index("another")
    registry.inject(fault)
    push_index(patient, registry.repository("app"), image.descriptor, maker.blobs)
    registry.check_injected()
    assert registry.store.repository("app").trouble_of(image.digest) == ""


@pytest.mark.parametrize("lag", [Lag(readings=2), Lag(seconds=0.2)])
def test_what_lags_is_seen_later(
    registry: FaultRegistry, patient: RegistryClient, maker: ImageMaker, index: ImageIndex, lag: Lag
) -> None:
    newer, repository = maker.index("newer"), registry.repository("app")
    registry.store.put_image("app", newer.descriptor, maker.blobs)
    faults = [Fault(method="PUT", path=f"/manifests/{tag}", lag=lag) for tag in ("v1", "v2")]
    registry.inject(*faults)
    for tag in ("v1", "v2"):
        patient.put_manifest(repository.tag(tag), newer.content, newer.media_type)
    assert registry.store.tags("app") == {"v1": newer.digest, "v2": newer.digest}
    assert patient.get_manifest(repository.tag("v1")) == index
    assert patient.find_manifest(repository.tag("v2")) is None
    assert patient.list_tags(repository) == ("v1",)
    assert [registry.injections(fault) for fault in faults] == [2, 2]
    time.sleep(lag.seconds)
    assert patient.get_manifest(repository.tag("v1")) == patient.get_manifest(repository.tag("v2")) == newer


def test_a_gate_holds_a_request_until_it_is_released(
    registry: FaultRegistry, hasty: RegistryClient, maker: ImageMaker
) -> None:
    newer, repository = maker.index("newer"), registry.repository("app")
    registry.store.put_image("app", newer.descriptor, maker.blobs)
    for moment, done in (("before", False), ("after", True)):
        gate = Gate()
        registry.inject(Fault(method="PUT", path=f"/manifests/{moment}", **{moment: gate}))  # type: ignore[arg-type]
        writer = threading.Thread(
            target=hasty.put_manifest, args=(repository.tag(moment), newer.content, newer.media_type)
        )
        writer.start()
        assert gate.wait_reached().reference == moment
        assert (moment in registry.store.tags("app")) is done
        assert writer.is_alive()
        gate.release()
        writer.join()
        assert moment in registry.store.tags("app")
    registry.check_injected()


def test_a_gate_that_nobody_opens_says_so(registry: FaultRegistry, hasty: RegistryClient, reference: Reference) -> None:
    gate = Gate(seconds=0.1)
    registry.inject(Fault(before=gate))
    hasty.get_manifest(reference)
    with pytest.raises(AssertionError, match="nobody opened"):
        gate.release()
    with pytest.raises(AssertionError, match="no request came"):
        Gate(seconds=0.1).wait_reached()


def test_something_can_be_done_just_before_a_write(
    registry: FaultRegistry, hasty: RegistryClient, maker: ImageMaker, index: ImageIndex
) -> None:
    """Somebody else moves the tag between our look and our write."""
    newer = maker.index("newer")
    registry.store.put_image("app", newer.descriptor, maker.blobs)

    def race(asked: Asked) -> None:
        registry.store.put_image("app", newer.descriptor, maker.blobs, asked.reference)

    registry.inject(Fault(method="PUT", path="/manifests/v2", before=race))
    assert write_tag(hasty, registry.repository("app").tag("v2"), index) is TagOutcome.WRITTEN
    history = registry.store.repository("app").history["v2"]
    assert [write.digest for write in history] == [newer.digest, index.digest]
    assert [write.request >= 0 for write in history] == [False, True]


def test_every_value_of_a_tag_is_remembered_and_judged(maker: ImageMaker) -> None:
    """A registry that does not look takes an index before its children."""
    whole, early = maker.index("whole"), maker.index("early")
    with (
        FaultRegistry(abilities=Abilities(checks_parts=False, tag_deletion=True)) as registry,
        RegistryClient(registry.address) as client,
    ):
        repository = registry.repository("app")
        registry.store.put_image("app", whole.descriptor, maker.blobs, "v1")
        assert registry.store.integrity() == []
        client.put_manifest(repository.tag("v1"), early.content, early.media_type)
        push_index(client, repository, early.descriptor, maker.blobs)
        client.put_manifest(repository.tag("v1"), early.content, early.media_type)
        (trouble,) = registry.store.integrity()
        assert "app:v1" in trouble
        assert f"lacks its manifest {early.manifests[0].digest}" in trouble
        single = client.get_manifest(repository.digest(whole.manifests[0].digest))
        client.put_manifest(repository.tag("v1"), single.content, single.media_type)
        assert len(registry.store.integrity()) == 2
        values = [write.digest for write in registry.store.repository("app").history["v1"]]
        assert values == [whole.digest, early.digest, early.digest, single.digest]


def test_an_index_without_a_blob_of_a_child_is_not_complete(maker: ImageMaker, index: ImageIndex) -> None:
    with FaultRegistry(abilities=Abilities(checks_parts=False)) as registry:
        registry.store.put_image("app", index.descriptor, maker.blobs)
        state = registry.store.repository("app")
        assert state.trouble_of(index.digest) == ""
        state.blobs.pop()
        assert "lacks the blobs sha256:" in state.trouble_of(index.digest)


def test_immutable_tags_refuse_the_same_digest_too(
    registry: FaultRegistry, hasty: RegistryClient, index: ImageIndex
) -> None:
    registry.make_tags_immutable(but_for="latest")
    repository = registry.repository("app")
    for tag in ("v2", "latest", "latest"):
        hasty.put_manifest(repository.tag(tag), index.content, index.media_type)
    with pytest.raises(Refused, match="TAG_INVALID"):
        hasty.put_manifest(repository.tag("v2"), index.content, index.media_type)


class Login:
    """A login with this password."""

    def __init__(self, password: str) -> None:
        self._password = password

    def find(self, registry: str) -> Credential:
        return Credential("alice", self._password)


@pytest.mark.parametrize("demand", ["token", "login"])
def test_only_who_is_known_may_ask(
    registry: FaultRegistry, reference: Reference, index: ImageIndex, demand: str
) -> None:
    registry.require_token({"alice": "right"}) if demand == "token" else registry.require_login({"alice": "right"})
    with RegistryClient(registry.address, credentials=Login("right")) as known:
        assert known.get_manifest(reference) == index
        known.put_manifest(reference.repository.tag("v2"), index.content, index.media_type)
    with RegistryClient(registry.address, credentials=Login("wrong")) as other, pytest.raises(Unauthorized):
        other.get_manifest(reference)


def test_without_a_login_one_may_pull_where_that_is_allowed(
    registry: FaultRegistry, reference: Reference, hasty: RegistryClient, index: ImageIndex
) -> None:
    registry.require_token({"alice": "right"}, anonymous=frozenset({"pull"}))
    assert hasty.get_manifest(reference) == index
    with pytest.raises(OciError):
        hasty.put_manifest(reference.repository.tag("v2"), index.content, index.media_type)
    assert set(registry.store.tags("app")) == {"v1"}


@pytest.mark.parametrize("rules", [{"uses": 2}, {"lifetime": 0.05}])
def test_a_token_that_expires_is_renewed(
    registry: FaultRegistry, reference: Reference, hasty: RegistryClient, rules: dict[str, Any]
) -> None:
    registry.require_token(**rules)
    for _ in range(6):
        hasty.get_manifest(reference)
        time.sleep(rules.get("lifetime", 0) * 1.2)
    statuses = [seen.status for seen in registry.requests()]
    assert statuses.count(401) >= 3
    assert statuses.count(200) == 6 + len([seen for seen in registry.requests() if seen.route is Route.TOKEN])


def test_a_mount_needs_a_token_for_its_source(registry: FaultRegistry, maker: ImageMaker, index: ImageIndex) -> None:
    registry.require_token()
    with RegistryClient(registry.address) as client:
        for child in index.manifests:
            manifest = client.get_manifest(registry.repository("app").digest(child.digest), access=Access.PUSH)
            for blob in manifest.blobs:  # type: ignore[union-attr]
                client.blob_exists(registry.repository("app"), blob.digest)
        report = push_index(client, registry.repository("other"), index.descriptor, maker.blobs)
    assert (report.blobs_mounted, report.blobs_uploaded) == (5, 0)


@pytest.mark.parametrize("listed", [False, True])
def test_referrers_are_listed_where_the_registry_can(maker: ImageMaker, index: ImageIndex, listed: bool) -> None:
    with (
        FaultRegistry(abilities=Abilities(referrers=listed, page=1)) as registry,
        RegistryClient(registry.address) as client,
    ):
        registry.store.put_image("app", index.descriptor, maker.blobs, "v1")
        repository = registry.repository("app")
        for text in (b"one", b"two", b"three"):
            statement = Artifact(index.descriptor, "text/plain", "text/plain", text, {})
            add_referrer(client, repository, statement, list_referrers(client, repository, index.digest))
        found = list_referrers(client, repository, index.digest)
        assert (found.listed, len(found.descriptors)) == (listed, 3)
        assert len(registry.store.tags("app")) == (1 if listed else 2)
        assert registry.store.integrity() == []


def test_tags_come_in_pages_and_each_once(maker: ImageMaker, index: ImageIndex) -> None:
    tags = tuple(f"v{number:02}" for number in range(25))
    with FaultRegistry(abilities=Abilities(page=10)) as registry, RegistryClient(registry.address) as client:
        registry.store.put_image("app", index.descriptor, maker.blobs, *tags)
        assert client.list_tags(registry.repository("app")) == tags
        assert len(registry.requests()) == 3


def test_the_log_tells_what_went_over_the_wire(registry: FaultRegistry, maker: ImageMaker) -> None:
    image = maker.index("larger")
    with RegistryClient(registry.address) as client:
        push_index(client, registry.repository("a/b"), image.descriptor, maker.blobs)
        client.put_manifest(registry.repository("a/b").tag("v1"), image.content, image.media_type)
    requests = registry.requests()
    assert [seen.number for seen in requests] == list(range(len(requests)))
    last = requests[-1]
    assert (last.method, last.route, last.repository, last.reference) == ("PUT", Route.MANIFESTS, "a/b", "v1")
    assert (last.status, last.received, last.sent) == (201, len(image.content), 0)
    assert sum(seen.received for seen in requests if seen.route is Route.UPLOADS) == client.traffic.bytes_sent - sum(
        seen.received for seen in requests if seen.route is Route.MANIFESTS
    )
    assert 1 <= registry.most_connections <= registry.connections <= 8
    assert len({seen.connection for seen in requests}) == registry.connections


def test_a_copy_of_what_it_holds_goes_its_own_way(registry: FaultRegistry, index: ImageIndex) -> None:
    with FaultRegistry(registry.store.copy()) as other, RegistryClient(other.address) as client:
        client.put_manifest(other.repository("app").tag("v2"), index.content, index.media_type)
        assert set(other.store.tags("app")) == {"v1", "v2"}
    assert set(registry.store.tags("app")) == {"v1"}


def test_its_latency_is_for_each_request_and_each_connection(maker: ImageMaker, index: ImageIndex) -> None:
    def seconds(call: Callable[[], object]) -> float:
        started = time.monotonic()
        call()
        return time.monotonic() - started

    with FaultRegistry(latency=0.1, connection_latency=0.2) as registry, RegistryClient(registry.address) as client:
        registry.store.put_image("app", index.descriptor, maker.blobs, "v1")
        reference = registry.repository("app").tag("v1")
        assert seconds(lambda: client.head_manifest(reference)) >= 0.3
        assert 0.1 <= seconds(lambda: client.head_manifest(reference)) < 0.3


def test_it_keeps_up_with_hundreds_of_requests_a_second(
    registry: FaultRegistry, hasty: RegistryClient, reference: Reference
) -> None:
    started = time.monotonic()
    for _ in range(1000):
        hasty.head_manifest(reference)
    assert time.monotonic() - started < 5
