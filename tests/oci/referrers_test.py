"""What refers to an image: lists that the registry keeps, and those that its clients keep."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tests.support.fault_proxy import Answer, Fault, FaultProxy, error_answer, round_trips
from tests.support.images import ImageMaker
from tests.support.registry import LocalRegistry
from tools.oci.client import RegistryClient
from tools.oci.errors import Forbidden, InvalidManifest, InvalidResponse, NotFound, OciError, Refused, Unavailable
from tools.oci.manifest import MAX_MANIFEST_SIZE, OCI_INDEX, OCI_MANIFEST, Descriptor, ImageIndex
from tools.oci.parallel import run_all
from tools.oci.publication import push_index
from tools.oci.reference import Repository
from tools.oci.referrers import Artifact, Referrers, add_referrer, fallback_tag, list_referrers

NOWHERE = "sha256:" + "0" * 64
KEPT = "/manifests/sha256-"


@pytest.fixture
def image(
    client: RegistryClient, registry: LocalRegistry, maker: ImageMaker, path: str, proxy: FaultProxy
) -> ImageIndex:
    """An image that is in the registry."""
    index = maker.index()
    push_index(client, registry.repository(path), index.descriptor, maker.blobs)
    proxy.forget_requests()
    return index


@pytest.fixture
def repository(proxy: FaultProxy, path: str) -> Repository:
    """The image's repository, through the proxy."""
    return proxy.repository(path)


def artifact(image: ImageIndex, text: str = "text") -> Artifact:
    return Artifact(image.descriptor, "text/x-note", "text/plain", text.encode(), {"note": text})


def add(client: RegistryClient, repository: Repository, added: Artifact) -> bool:
    return add_referrer(client, repository, added, list_referrers(client, repository, added.subject.digest))


def kept(client: RegistryClient, repository: Repository, image: ImageIndex) -> Any:
    """The list that clients keep, as it stands there."""
    return json.loads(client.get_manifest(repository.tag(fallback_tag(image.digest))).content)


def keep(client: RegistryClient, repository: Repository, image: ImageIndex, entries: list[Any], **more: Any) -> None:
    """Write that list, as another client."""
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **more}
    client.put_manifest(repository.tag(fallback_tag(image.digest)), json.dumps(index).encode(), OCI_INDEX)


def notes(referrers: Referrers) -> list[str]:
    return [each.annotations["note"] for each in referrers.descriptors]


@pytest.fixture
def stranger(client: RegistryClient, registry: LocalRegistry, path: str, image: ImageIndex) -> Callable[[str], Any]:
    """Puts something of another client's there, and returns its entry, with fields that we know nothing of."""

    def make(text: str) -> Any:
        added = artifact(image, text)
        for blob, content in ((added.config, b"{}"), (added.layer, added.content)):
            client.upload_blob(registry.repository(path), blob, partial(io.BytesIO, content))
        client.put_manifest(registry.repository(path).digest(added.descriptor.digest), added.manifest, OCI_MANIFEST)
        return {**added.descriptor.to_json(), "data": "e30=", "urls": ["https://x.example"], "x-Ünknown": [1.5, None]}

    return make


def test_the_tag_of_the_list_is_the_specifications() -> None:
    assert fallback_tag("sha256:" + "a" * 64) == "sha256-" + "a" * 64
    assert fallback_tag("sha512:" + "b" * 128) == "sha512-" + "b" * 64


# Where the clients keep the list


def test_nothing_refers_to_a_new_image_which_takes_two_requests_at_the_same_time(
    patient: RegistryClient, repository: Repository, image: ImageIndex, proxy: FaultProxy
) -> None:
    proxy.latency = 0.05
    assert list_referrers(patient, repository, image.digest) == Referrers((), listed=False)
    assert len(proxy.requests()) == 2
    assert round_trips(proxy.requests()) == 1


def test_what_was_added_is_listed_with_type_and_annotations_and_is_there(
    patient: RegistryClient, repository: Repository, image: ImageIndex
) -> None:
    added = artifact(image)
    assert add(patient, repository, added) is True
    (found,) = list_referrers(patient, repository, image.digest).descriptors
    assert found == added.descriptor
    assert (found.artifact_type, dict(found.annotations)) == ("text/x-note", {"note": "text"})
    manifest = json.loads(patient.get_manifest(repository.digest(found.digest)).content)
    assert manifest["subject"] == image.descriptor.to_json()
    assert manifest["config"] == {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "size": 2,
    }
    assert patient.read_blob(repository, added.layer) == b"text"


def test_what_is_there_is_not_written_again(
    patient: RegistryClient, repository: Repository, image: ImageIndex, proxy: FaultProxy
) -> None:
    add(patient, repository, artifact(image))
    proxy.forget_requests()
    assert add(patient, repository, artifact(image)) is False
    assert {request.method for request in proxy.requests()} == {"GET"}


def test_entries_of_others_stay_as_they_are(
    patient: RegistryClient,
    repository: Repository,
    image: ImageIndex,
    client: RegistryClient,
    registry: LocalRegistry,
    path: str,
    stranger: Callable[[str], Any],
) -> None:
    theirs = stranger("theirs")
    keep(client, registry.repository(path), image, [theirs], annotations={"who": "somebody"})
    add(patient, repository, artifact(image))
    after = kept(patient, repository, image)
    assert after["manifests"] == [theirs, artifact(image).descriptor.to_json()]
    assert after["annotations"] == {"who": "somebody"}


def test_a_writer_that_comes_between_our_write_and_our_look_is_merged_with(
    patient: RegistryClient,
    repository: Repository,
    image: ImageIndex,
    client: RegistryClient,
    registry: LocalRegistry,
    path: str,
    proxy: FaultProxy,
    stranger: Callable[[str], Any],
) -> None:
    """It has read the list before our write, so ours is lost."""
    theirs = [stranger("one"), stranger("two")]
    lost = 0

    def overwrite(answer: Answer) -> Answer:
        nonlocal lost
        keep(client, registry.repository(path), image, theirs[: lost + 1])
        lost += 1
        return answer

    proxy.inject(Fault(method="PUT", path=KEPT, times=2, change=overwrite))
    assert add(patient, repository, artifact(image)) is True
    assert lost == 2
    assert notes(list_referrers(patient, repository, image.digest)) == ["one", "two", "text"]


def test_writers_that_never_stop_are_given_up_on(
    patient: RegistryClient,
    repository: Repository,
    image: ImageIndex,
    client: RegistryClient,
    registry: LocalRegistry,
    path: str,
    proxy: FaultProxy,
    stranger: Callable[[str], Any],
) -> None:
    entries: list[Any] = []

    def overwrite(answer: Answer) -> Answer:
        entries.append(stranger(str(len(entries))))
        keep(client, registry.repository(path), image, entries)
        return answer

    proxy.inject(Fault(method="PUT", path=KEPT, times=0, change=overwrite))
    with pytest.raises(Refused, match="have replaced the list 6 times"):
        add(patient, repository, artifact(image))
    assert len(entries) == 6


def test_a_list_that_is_out_of_date_after_the_write_is_asked_for_again_before_it_is_written_again(
    patient: RegistryClient, repository: Repository, image: ImageIndex, proxy: FaultProxy
) -> None:
    absent = error_answer(404, "MANIFEST_UNKNOWN")
    proxy.inject(Fault(method="GET", path=KEPT, skip=2, times=2, answer=absent))
    add(patient, repository, artifact(image))
    writes = [request for request in proxy.requests() if request.method == "PUT" and KEPT in request.path]
    assert len(writes) == 1


@pytest.mark.parametrize("reading", [1, 2], ids=["before the write", "after the write"])
def test_a_list_that_seems_to_be_gone_for_a_moment_loses_nothing(
    patient: RegistryClient, repository: Repository, image: ImageIndex, proxy: FaultProxy, reading: int
) -> None:
    add(patient, repository, artifact(image, "theirs"))
    fault = Fault(method="GET", path=KEPT, skip=reading, answer=error_answer(404, "MANIFEST_UNKNOWN"))
    proxy.inject(fault)
    add(patient, repository, artifact(image, "ours"))
    assert proxy.injections(fault) == 1
    assert notes(list_referrers(patient, repository, image.digest)) == ["theirs", "ours"]


def test_a_list_that_is_not_there_after_it_was_written_is_not_written_over_and_over(
    hasty: RegistryClient, repository: Repository, image: ImageIndex, proxy: FaultProxy
) -> None:
    proxy.inject(Fault(method="GET", path=KEPT, times=0, answer=error_answer(404, "MANIFEST_UNKNOWN")))
    with pytest.raises(NotFound, match="no such tag after it was written"):
        add(hasty, repository, artifact(image))
    assert len([request for request in proxy.requests() if request.method == "PUT" and KEPT in request.path]) == 1


def test_several_writers_at_once_leave_a_list_of_real_entries_that_whoever_misses_his_own_completes(
    patient: RegistryClient, repository: Repository, image: ImageIndex
) -> None:
    """There is no compare-and-swap: one may read before and write after the other's look. The next run mends that."""
    names = [f"writer {number}" for number in range(5)]
    start = threading.Barrier(len(names))

    def write(name: str) -> None:
        start.wait()
        add(patient, repository, artifact(image, name))

    run_all([partial(write, name) for name in names])
    found = notes(list_referrers(patient, repository, image.digest))
    assert found
    assert set(found) <= set(names)
    for name in names:
        add(patient, repository, artifact(image, name))
    found = notes(list_referrers(patient, repository, image.digest))
    assert sorted(found) == names


def test_clients_that_send_the_same_blob_at_once_all_get_their_manifests_taken(
    registry: LocalRegistry, path: str, image: ImageIndex
) -> None:
    """While one sends it, docker-registry empties its link to what another has sent, and denies to have the blob."""
    repository, count = registry.repository(path), 20
    start = threading.Barrier(count)

    def write(number: int) -> None:
        added = artifact(image, f"client {number}")
        with RegistryClient(repository.registry, retry_for=20) as client:
            start.wait()
            for blob, content in ((added.layer, added.content), (added.config, b"{}")):
                client.upload_blob(repository, blob, partial(io.BytesIO, content), known_missing=True)
            client.put_manifest(repository.digest(added.descriptor.digest), added.manifest, OCI_MANIFEST)

    run_all([partial(write, number) for number in range(count)], at_once=count)


def test_a_tag_that_names_an_image_is_not_taken_for_a_list_and_not_overwritten(
    patient: RegistryClient, repository: Repository, image: ImageIndex, client: RegistryClient, registry: LocalRegistry
) -> None:
    direct = registry.repository(repository.path)
    single = client.get_manifest(direct.digest(image.manifests[0].digest))
    client.put_manifest(direct.tag(fallback_tag(image.digest)), single.content, single.media_type)
    with pytest.raises(InvalidManifest, match="it is a single image"):
        list_referrers(patient, repository, image.digest)
    with pytest.raises(InvalidManifest, match="it is a single image"):
        add_referrer(patient, repository, artifact(image), Referrers((), listed=False))
    assert client.get_manifest(direct.tag(fallback_tag(image.digest))).digest == single.digest


def test_a_list_that_would_become_too_large_is_left_as_it_is(
    patient: RegistryClient,
    repository: Repository,
    image: ImageIndex,
    client: RegistryClient,
    registry: LocalRegistry,
    stranger: Callable[[str], Any],
) -> None:
    entry = stranger("one")
    room = MAX_MANIFEST_SIZE - len(json.dumps(listing(entry))) - 100
    keep(client, registry.repository(repository.path), image, [entry], annotations={"x": "x" * room})
    before = kept(client, registry.repository(repository.path), image)
    with pytest.raises(InvalidManifest, match="more than 4194304 bytes"):
        add(patient, repository, artifact(image))
    assert kept(client, registry.repository(repository.path), image) == before


# Where the registry keeps the list


def test_a_registry_that_keeps_lists_gets_no_tag_and_all_its_pages_are_read(
    patient: RegistryClient, repository: Repository, image: ImageIndex, proxy: FaultProxy
) -> None:
    proxy.list_referrers()
    for text in ("one", "two", "three"):
        assert add(patient, repository, artifact(image, text)) is True
    found = list_referrers(patient, repository, image.digest)
    assert (notes(found), found.listed) == (["one", "two", "three"], True)
    assert patient.list_tags(repository) == ()
    assert add(patient, repository, artifact(image, "two")) is False


def test_what_clients_kept_before_the_registry_did_counts_too(
    patient: RegistryClient, repository: Repository, image: ImageIndex, proxy: FaultProxy
) -> None:
    add(patient, repository, artifact(image, "old"))
    proxy.list_referrers()
    add(patient, repository, artifact(image, "new"))
    assert notes(list_referrers(patient, repository, image.digest)) == ["old", "new"]
    assert [each["annotations"]["note"] for each in kept(patient, repository, image)["manifests"]] == ["old"]


def test_a_registry_that_says_it_has_listed_and_has_no_list_gets_the_tag(
    patient: RegistryClient, repository: Repository, image: ImageIndex, proxy: FaultProxy
) -> None:
    def claim(answer: Answer) -> Answer:
        return replace(answer, headers={**answer.headers, "OCI-Subject": image.digest})

    proxy.inject(Fault(method="PUT", path="/manifests/sha256:", change=claim))
    add(patient, repository, artifact(image))
    assert len(kept(patient, repository, image)["manifests"]) == 1


def test_a_registry_that_has_lists_and_does_not_say_that_it_has_listed_gets_the_tag(
    patient: RegistryClient, repository: Repository, image: ImageIndex, proxy: FaultProxy
) -> None:
    empty = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    proxy.inject(Fault(path="/referrers/", times=0, answer=Answer(200, {"Content-Type": OCI_INDEX}, empty)))
    add(patient, repository, artifact(image))
    assert notes(list_referrers(patient, repository, image.digest)) == ["text"]


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_registry_that_does_not_know_the_question_keeps_no_list(
    patient: RegistryClient, repository: Repository, image: ImageIndex, proxy: FaultProxy, status: int
) -> None:
    proxy.inject(Fault(path="/referrers/", answer=Answer(status, {"Content-Type": "text/html"}, b"<html>what?</html>")))
    assert list_referrers(patient, repository, image.digest) == Referrers((), listed=False)


# Answers that say nothing


def index_answer(document: Any, **headers: str) -> Answer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Answer(200, {"Content-Type": OCI_INDEX, **headers}, body)


ENTRY = Descriptor(OCI_MANIFEST, NOWHERE, 2).to_json()


def listing(*entries: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (error_answer(403, "DENIED"), Forbidden),
        (error_answer(500, "UNKNOWN"), Unavailable),
        (Answer(200, {"Content-Type": "text/html"}, b"<html>Log in</html>"), InvalidResponse),
        (index_answer(b'{"schemaVersion": 2, "manife'), InvalidResponse),
        (index_answer(listing({**ENTRY, "digest": "sha256:short"})), InvalidResponse),
        (index_answer(listing({**ENTRY, "size": -1})), InvalidResponse),
        (index_answer(listing({**ENTRY, "annotations": {"a": 1}})), InvalidResponse),
        (index_answer(listing("entry")), InvalidResponse),
        (index_answer(b" " * (MAX_MANIFEST_SIZE + 1)), InvalidResponse),
        (index_answer(b"[" * 100_000), InvalidResponse),
        (
            Answer(200, {"Content-Type": OCI_MANIFEST}, json.dumps({"schemaVersion": 2, "layers": []}).encode()),
            InvalidResponse,
        ),
        (index_answer(listing(ENTRY), Link='<https://elsewhere.example/v2/x>; rel="next"'), InvalidResponse),
        (index_answer(listing(ENTRY), Link='<?page=1>; rel="next"'), InvalidResponse),
    ],
)
def test_nonsense_is_no_list(
    hasty: RegistryClient,
    repository: Repository,
    image: ImageIndex,
    proxy: FaultProxy,
    answer: Answer,
    error: type[OciError],
) -> None:
    proxy.inject(Fault(path="/referrers/", times=0, answer=answer))
    with pytest.raises(error) as caught:
        list_referrers(hasty, repository, image.digest)
    assert image.digest in caught.value.what
    assert len(proxy.requests()) <= 4


def test_pages_without_an_end_are_not_read_for_ever(
    hasty: RegistryClient, repository: Repository, image: ImageIndex, proxy: FaultProxy
) -> None:
    number = 0

    def another(answer: Answer) -> Answer:
        nonlocal number
        number += 1
        return index_answer(listing(ENTRY), Link=f'<?page={number}>; rel="next"')

    proxy.inject(Fault(path="/referrers/", times=0, change=another))
    with pytest.raises(InvalidResponse, match="no end"):
        list_referrers(hasty, repository, image.digest)
    assert number == 100


def test_a_registry_that_refuses_the_artifact_is_left_without_a_list(
    hasty: RegistryClient, repository: Repository, image: ImageIndex, proxy: FaultProxy, client: RegistryClient
) -> None:
    proxy.inject(Fault(method="PUT", path="/manifests/sha256:", answer=error_answer(405, "UNSUPPORTED")))
    with pytest.raises(Refused, match="405"):
        add(hasty, repository, artifact(image))
    assert hasty.list_tags(repository) == ()
