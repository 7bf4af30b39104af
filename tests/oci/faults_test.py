"""Registries on a bad day: what is retried, what is not, and that nonsense is never taken for an answer."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from http.client import HTTPMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fault_registry.faults import HTML
from tests.support.fault_proxy import Answer, Fault, FaultProxy, error_answer
from tests.support.images import ImageMaker
from tests.support.registry import LocalRegistry
from tests.support.tools import tool
from tools.oci.client import RegistryClient, UploadOutcome
from tools.oci.errors import Forbidden, InvalidResponse, OciError, Refused, Throttled, Unavailable
from tools.oci.manifest import MAX_MANIFEST_SIZE, OCI_INDEX, Descriptor, ImageIndex
from tools.oci.parallel import run_all
from tools.oci.publication import push_index
from tools.oci.reference import Reference, Repository
from tools.oci.retrying import backoff, is_transient, join_url, server_words, shown, wait_hint
from tools.oci.tags import write_tag
from tools.oci.transport import Response, is_loopback

NOWHERE = "sha256:" + "0" * 64


@pytest.fixture
def index(client: RegistryClient, registry: LocalRegistry, maker: ImageMaker, path: str) -> ImageIndex:
    """An index that is in the registry under the tag v1."""
    index = maker.index()
    push_index(client, registry.repository(path), index.descriptor, maker.blobs)
    write_tag(client, registry.repository(path).tag("v1"), index)
    return index


@pytest.fixture
def reference(proxy: FaultProxy, path: str, index: ImageIndex) -> Reference:
    """That tag, through the proxy."""
    proxy.forget_requests()
    return proxy.repository(path).tag("v1")


def statuses(proxy: FaultProxy) -> list[int]:
    return [request.status for request in proxy.requests()]


# What is retried


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 520])
def test_a_passing_failure_is_retried(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, index: ImageIndex, status: int
) -> None:
    proxy.inject(Fault(times=2, answer=Answer(status)))
    assert patient.get_manifest(reference) == index
    assert statuses(proxy) == [status, status, 200]
    assert patient.traffic.retries == 2
    assert patient.traffic.total == 3


@pytest.mark.parametrize(
    "fault",
    [
        Fault(reset_after=0),
        Fault(keep=10),
        Fault(keep=0),
        Fault(lose_answer=True),
    ],
)
def test_a_broken_connection_is_retried(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, index: ImageIndex, fault: Fault
) -> None:
    proxy.inject(fault)
    assert patient.get_manifest(reference) == index
    assert patient.traffic.retries == 1


@pytest.mark.parametrize(
    ("status", "error"), [(429, Throttled), (500, Unavailable), (503, Unavailable), (0, Unavailable)]
)
def test_a_failure_that_does_not_pass_ends_with_its_own_words(
    proxy: FaultProxy, reference: Reference, status: int, error: type[OciError]
) -> None:
    fault = Fault(times=0, reset_after=0) if status == 0 else Fault(times=0, answer=error_answer(status, "BAD", "day"))
    proxy.inject(fault)
    with RegistryClient(proxy.address, retry_for=1) as client, pytest.raises(error) as caught:
        client.get_manifest(reference)
    assert str(reference) in caught.value.what
    assert proxy.address in caught.value.why
    assert "times)" in caught.value.why
    assert status == 0 or "BAD: day" in caught.value.why
    assert len(proxy.requests()) > 1


@pytest.mark.parametrize(
    ("status", "error"), [(400, Refused), (403, Forbidden), (405, Refused), (501, InvalidResponse)]
)
def test_a_refusal_is_not_repeated(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, status: int, error: type[OciError]
) -> None:
    proxy.inject(Fault(times=0, answer=error_answer(status, "DENIED", "not you")))
    with pytest.raises(error, match="DENIED: not you"):
        patient.get_manifest(reference)
    assert statuses(proxy) == [status]


def test_a_secondary_rate_limit_is_not_repeated_but_said(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference
) -> None:
    proxy.inject(Fault(answer=error_answer(403, "DENIED", "You have exceeded a secondary rate limit")))
    with pytest.raises(Forbidden) as caught:
        patient.get_manifest(reference)
    assert "Wait some minutes" in caught.value.remedy


def test_nobody_listening_is_unavailable_and_says_what_to_do(hasty: RegistryClient) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with RegistryClient(address, retry_for=0) as client, pytest.raises(Unavailable, match="refused") as caught:
            client.find_manifest(Reference.parse(f"{address}/app:v1"))
    assert "reachable" in caught.value.remedy


def test_connections_ahead_of_requests_are_used_by_them_and_where_they_fail_the_request_says_so(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, index: ImageIndex
) -> None:
    proxy.connection_latency = 0.3
    patient.connect_ahead(3)
    time.sleep(0.4)
    started = time.monotonic()
    assert run_all([partial(patient.get_manifest, reference)] * 3) == [index] * 3
    assert time.monotonic() - started < 0.3
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with RegistryClient(address, retry_for=0) as client:
            client.connect_ahead(3)
            with pytest.raises(Unavailable, match="no answer"):
                client.list_tags(Repository(address, "app"))


def test_a_wait_is_told_to_whoever_listens(proxy: FaultProxy, reference: Reference) -> None:
    told: list[str] = []
    proxy.inject(Fault(answer=error_answer(429, "TOOMANYREQUESTS", "slow down", Retry_After="1")))
    with RegistryClient(proxy.address, on_wait=told.append) as client:
        client.get_manifest(reference)
        assert client.traffic.seconds_waited == 1
    assert len(told) == 1
    assert "TOOMANYREQUESTS: slow down; trying again in 1.0 s as it asks" in told[0]


def test_requests_that_wait_for_the_same_are_told_of_by_one_line_and_all_counted(
    proxy: FaultProxy, reference: Reference, index: ImageIndex
) -> None:
    told: list[str] = []
    proxy.inject(
        *(Fault(answer=error_answer(503, "UNAVAILABLE", f"busy with {number}", Retry_After="1")) for number in range(4))
    )
    with RegistryClient(proxy.address, on_wait=told.append) as client:
        assert run_all([partial(client.get_manifest, reference)] * 4) == [index] * 4
        assert client.traffic.seconds_waited == client.traffic.retries == 4
    assert len(told) == 1
    assert "503 Service Unavailable: UNAVAILABLE: busy with" in told[0]
    assert statuses(proxy).count(503) == 4


def test_another_reason_to_wait_is_told_at_once(proxy: FaultProxy, reference: Reference) -> None:
    told: list[str] = []
    for status, words in ((503, "restarting"), (503, "still restarting"), (429, "slow down")):
        proxy.inject(Fault(answer=error_answer(status, "BUSY", words, Retry_After="1")))
    with RegistryClient(proxy.address, on_wait=told.append) as client:
        client.get_manifest(reference)
        assert client.traffic.retries == 3
    assert [line.partition("BUSY: ")[2].partition(";")[0] for line in told] == ["restarting", "slow down"]


def test_a_wait_that_goes_on_is_told_again(proxy: FaultProxy, reference: Reference) -> None:
    told: list[str] = []
    proxy.inject(*(Fault(answer=error_answer(503, "BUSY", Retry_After=seconds)) for seconds in ("5", "5", "1")))
    with RegistryClient(proxy.address, on_wait=told.append) as client:
        client.get_manifest(reference)
        assert client.traffic.retries == 3
    assert len(told) == 2, "told at 0 s, not at 5 s, and at 10 s again"


def test_a_hint_beyond_the_limit_ends_the_retries_at_once(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference
) -> None:
    proxy.inject(Fault(times=0, answer=error_answer(429, "TOOMANYREQUESTS", Retry_After="3600")))
    with pytest.raises(Throttled, match="asks to wait 3600 s"):
        patient.get_manifest(reference)
    assert statuses(proxy) == [429]


def test_one_429_slows_every_request_to_that_host(proxy: FaultProxy, reference: Reference, index: ImageIndex) -> None:
    proxy.inject(Fault(answer=error_answer(429, "TOOMANYREQUESTS", Retry_After="1")))
    with RegistryClient(proxy.address, max_connections=1) as client:
        found = run_all([lambda: client.head_manifest(reference)] * 4)
    assert found == [index.descriptor] * 4
    refused, *others = proxy.requests()
    assert refused.status == 429
    # Whichever got the refusal: none of the four began before the second was over.
    assert all(request.started - refused.ended > 0.9 for request in others)
    assert len(others) == 4


def response(body: bytes = b"", status: int = 429, **headers: str) -> Response:
    message = HTTPMessage()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return Response("http://localhost/", status, "Reason", message, body)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (response(), None),
        (response(Retry_After="7"), 7.0),
        (response(Retry_After="0"), 0.0),
        (response(Retry_After=formatdate(1_000_060, usegmt=True)), 60.0),
        (response(Retry_After=formatdate(999_000, usegmt=True)), 0.0),
        (response(Retry_After="soon"), None),
        (response(Retry_After="-5"), None),
        (response(b"retry-after: 10.305464ms, allowed: 2000/minute"), 0.010305464),
        (response(b'{"errors":[{"message":"retry-after: 1m2.5s, allowed: 44000/minute"}]}'), 62.5),
        (response("retry-after: 889.377\u00b5s".encode()), 0.000889377),
        (response(b"retry-after: 1h"), 3600.0),
        (response(b"retry-after: later"), None),
        (response(b"retry-after: 9s", Retry_After="2"), 2.0),
    ],
)
def test_the_time_to_wait_is_read_from_header_or_body(answer: Response, seconds: float | None) -> None:
    found = wait_hint(answer, now=1_000_000)
    assert found == (None if seconds is None else pytest.approx(seconds))


@given(st.integers(0, 1000))
def test_a_wait_without_a_hint_is_bounded(failures: int) -> None:
    assert 0 <= backoff(failures) <= 8


def test_what_is_transient() -> None:
    assert [status for status in range(100, 600) if is_transient(status) and status < 506] == [
        408,
        429,
        500,
        502,
        503,
        504,
    ]


# Nonsense


def html(answer: Answer) -> Answer:
    return Answer(200, {"Content-Type": "text/html"}, b"<html>Please sign in</html>")


def cut_json(answer: Answer) -> Answer:
    return Answer(answer.status, {**answer.headers, "Docker-Content-Digest": ""}, answer.body[:-10])


def wrong_digest(answer: Answer) -> Answer:
    return Answer(answer.status, {**answer.headers, "Docker-Content-Digest": NOWHERE}, answer.body)


def wrong_type(answer: Answer) -> Answer:
    return Answer(answer.status, {**answer.headers, "Content-Type": "application/json"}, answer.body)


def other_content(answer: Answer) -> Answer:
    return Answer(answer.status, {"Content-Type": answer.headers["Content-Type"]}, answer.body + b" ")


def oversize(answer: Answer) -> Answer:
    return Answer(answer.status, answer.headers, answer.body + b" " * MAX_MANIFEST_SIZE)


@pytest.mark.parametrize("change", [html, cut_json, wrong_digest, wrong_type, oversize])
def test_nonsense_is_no_manifest(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, change: Callable[[Answer], Answer]
) -> None:
    proxy.inject(Fault(times=0, change=change))
    with pytest.raises(InvalidResponse, match="does not answer like a registry"):
        patient.get_manifest(reference)
    assert len(proxy.requests()) == 1


def test_content_with_another_digest_than_asked_for_is_no_manifest(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, index: ImageIndex
) -> None:
    proxy.inject(Fault(times=0, change=other_content))
    with pytest.raises(InvalidResponse, match="the reference says"):
        patient.get_manifest(reference.repository.digest(index.digest))


@pytest.mark.parametrize("change", [html, wrong_digest])
def test_a_head_that_is_nonsense_is_no_answer(
    proxy: FaultProxy,
    patient: RegistryClient,
    reference: Reference,
    index: ImageIndex,
    change: Callable[[Answer], Answer],
) -> None:
    proxy.inject(Fault(times=0, change=change))
    with pytest.raises(InvalidResponse):
        patient.head_manifest(reference.repository.digest(index.digest))
    with pytest.raises(InvalidResponse):
        patient.manifest_exists(reference.repository.digest(index.digest))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, {"Content-Type": "text/html"}, b"<html>no such page</html>"),
        Answer(404, {"Content-Type": "text/plain"}, b"404 page not found"),
        Answer(404, {"Content-Type": "application/json"}, b'{"message": "no Route matched"}'),
        error_answer(404, "DENIED"),
        Answer(302, {}, b""),
        Answer(204, {}, b""),
    ],
)
def test_a_404_of_something_that_is_no_registry_is_no_absence(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, answer: Answer
) -> None:
    proxy.inject(Fault(times=0, answer=answer))
    with pytest.raises(InvalidResponse):
        patient.find_manifest(reference)
    with pytest.raises(InvalidResponse):
        patient.head_manifest(reference)
    with pytest.raises(InvalidResponse):
        patient.list_tags(reference.repository)


def test_a_404_with_the_code_of_harbor_or_without_a_body_is_definite(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference
) -> None:
    proxy.inject(Fault(answer=error_answer(404, "NOT_FOUND")), Fault(answer=Answer(404)))
    assert patient.find_manifest(reference) is None
    assert patient.find_manifest(reference) is None


@pytest.mark.parametrize("answer", [Answer(404), Answer(405), Answer(200)])
def test_a_registry_that_cannot_head_is_asked_by_get(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, index: ImageIndex, answer: Answer
) -> None:
    proxy.inject(Fault(method="HEAD", times=0, answer=answer))
    assert patient.head_manifest(reference) == index.descriptor
    assert [request.method for request in proxy.requests()] == ["HEAD", "GET"]


def test_every_question_names_all_four_media_types(
    registry: LocalRegistry, patient: RegistryClient, reference: Reference, index: ImageIndex
) -> None:
    # docker-registry answers 404 to a question that does not name the type of what is there.
    assert patient.head_manifest(reference) == index.descriptor
    assert [request.status for request in registry.requests()][-1] == 200


def test_a_write_that_the_registry_confirms_with_another_digest_is_not_believed(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, index: ImageIndex
) -> None:
    proxy.inject(Fault(method="PUT", change=wrong_digest))
    with pytest.raises(InvalidResponse, match="where sha256:"):
        patient.put_manifest(reference.repository.tag("v2"), index.content, OCI_INDEX)


@pytest.mark.parametrize(
    ("method", "what"), [("HEAD", "/blobs/sha256:"), ("PUT", "/blobs/uploads/"), ("PUT", "/manifests/sha256:")]
)
def test_a_login_page_with_status_200_is_no_sign_that_something_is_there(
    proxy: FaultProxy, patient: RegistryClient, maker: ImageMaker, path: str, method: str, what: str
) -> None:
    fault = Fault(method=method, path=what, answer=HTML)
    proxy.inject(fault)
    image, repository = maker.index("fresh"), proxy.repository(path)
    with pytest.raises(InvalidResponse, match="does not answer like a registry"):
        push_index(patient, repository, image.descriptor, maker.blobs)
    assert proxy.injections(fault) == 1


# Redirects


def test_a_redirect_is_followed(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, index: ImageIndex
) -> None:
    location = {"Location": f"/v2/{reference.repository.path}/manifests/{index.digest}"}
    proxy.inject(*(Fault(answer=Answer(status, location)) for status in (301, 302, 303, 307, 308)))
    assert patient.get_manifest(reference) == index
    assert statuses(proxy) == [301, 302, 303, 307, 308, 200]


def test_redirects_in_a_circle_come_to_an_end(proxy: FaultProxy, patient: RegistryClient, reference: Reference) -> None:
    proxy.inject(Fault(times=0, answer=Answer(307, {"Location": "?again"})))
    with pytest.raises(InvalidResponse, match="more than 5 redirects"):
        patient.get_manifest(reference)
    assert len(proxy.requests()) == 6


@pytest.mark.parametrize("location", ["ftp://localhost/", "http://[", "file:///etc/passwd", "http://x:99999/"])
def test_a_redirect_to_no_address_of_http_is_not_followed(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, location: str
) -> None:
    proxy.inject(Fault(answer=Answer(307, {"Location": location})))
    with pytest.raises(InvalidResponse, match="no address of HTTP"):
        patient.get_manifest(reference)


def test_nothing_leads_out_of_tls() -> None:
    with pytest.raises(InvalidResponse, match="would leave TLS"):
        join_url("https://registry.example/v2/", "http://registry.example/v2/app?signature=hidden", "cannot read")
    assert shown("https://user:secret@host:1/path?signature=hidden") == "https://host:1/path"


# Uploads


def upload(client: RegistryClient, proxy: FaultProxy, maker: ImageMaker, path: str) -> UploadOutcome:
    blob = maker.blob(f"a blob of {path}".encode() * 100_000)
    proxy.forget_requests()
    return client.upload_blob(proxy.repository(path), blob, lambda: maker.blobs.open(blob.digest), known_missing=True)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="POST", answer=Answer(503)),
        Fault(method="POST", answer=error_answer(429, "TOOMANYREQUESTS", Retry_After="0")),
        Fault(method="POST", reset_after=0),
        Fault(method="PUT", answer=Answer(500)),
        Fault(method="PUT", reset_after=1_000_000),
        Fault(method="PUT", reset_after=0),
    ],
)
def test_an_upload_that_breaks_is_begun_again_after_a_look(
    proxy: FaultProxy, patient: RegistryClient, maker: ImageMaker, path: str, fault: Fault
) -> None:
    proxy.inject(fault)
    assert upload(patient, proxy, maker, path) is UploadOutcome.UPLOADED
    assert [request.method for request in proxy.requests()][-3:] == ["HEAD", "POST", "PUT"]
    assert patient.traffic.retries == 1


def test_an_upload_whose_answer_was_lost_is_not_sent_again(
    proxy: FaultProxy, patient: RegistryClient, maker: ImageMaker, path: str
) -> None:
    proxy.inject(Fault(method="PUT", lose_answer=True))
    assert upload(patient, proxy, maker, path) is UploadOutcome.EXISTS
    methods = [request.method for request in proxy.requests()]
    assert methods[0] == "POST"
    assert methods[-1] == "HEAD"


def test_a_refusal_in_the_middle_of_an_upload_is_heard(
    proxy: FaultProxy, patient: RegistryClient, maker: ImageMaker, path: str
) -> None:
    proxy.inject(Fault(method="PUT", times=0, answer=error_answer(413, "SIZE_INVALID", "too large for you")))
    with pytest.raises(Refused, match="too large for you"):
        upload(patient, proxy, maker, path)


@pytest.mark.parametrize("location", ["", "http://[", "ftp://localhost/x"])
def test_an_upload_that_leads_nowhere_is_nonsense(
    proxy: FaultProxy, patient: RegistryClient, maker: ImageMaker, path: str, location: str
) -> None:
    proxy.inject(Fault(method="POST", answer=Answer(202, {"Location": location})))
    with pytest.raises(InvalidResponse):
        upload(patient, proxy, maker, path)


def test_an_upload_to_a_relative_address_works(
    proxy: FaultProxy, patient: RegistryClient, maker: ImageMaker, path: str
) -> None:
    def relative(answer: Answer) -> Answer:
        location = "/" + answer.headers["Location"].partition("://")[2].partition("/")[2]
        return Answer(answer.status, {**answer.headers, "Location": location}, answer.body)

    proxy.inject(Fault(method="POST", change=relative))
    assert upload(patient, proxy, maker, path) is UploadOutcome.UPLOADED


def test_a_push_through_a_bad_line_arrives_whole(
    proxy: FaultProxy, patient: RegistryClient, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    index = maker.index("bad line", attested=True)
    proxy.inject(
        Fault(times=1, skip=2, answer=Answer(503)),
        Fault(method="POST", times=2, skip=1, reset_after=0),
        Fault(method="PUT", path="uploads", times=2, skip=1, lose_answer=True),
        Fault(method="PUT", path="manifests", times=1, skip=1, answer=Answer(502)),
        Fault(method="PUT", path="manifests", times=1, skip=2, lose_answer=True),
    )
    push_index(patient, proxy.repository(path), index.descriptor, maker.blobs)
    write_tag(patient, proxy.repository(path).tag("v1"), index)
    assert patient.get_manifest(proxy.repository(path).tag("v1")) == index


# Manifests whose parts a registry denies to have

DENIED = error_answer(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")


def manifest_writes(proxy: FaultProxy) -> list[int]:
    return [seen.status for seen in proxy.requests() if seen.method == "PUT" and "/manifests/" in seen.path]


@pytest.mark.parametrize("skip", [0, 4, 5], ids=["of an image", "of the index", "of a tag"])
def test_a_manifest_whose_parts_were_seen_is_sent_again_when_the_registry_denies_them(
    proxy: FaultProxy, patient: RegistryClient, maker: ImageMaker, path: str, skip: int
) -> None:
    index = maker.index("denied", attested=True)
    proxy.inject(Fault(method="PUT", path="/manifests/", skip=skip, times=2, answer=DENIED))
    push_index(patient, proxy.repository(path), index.descriptor, maker.blobs)
    write_tag(patient, proxy.repository(path).tag("v1"), index)
    assert sorted(manifest_writes(proxy)) == [201] * 6 + [400] * 2
    assert patient.traffic.retries == 2
    assert patient.get_manifest(proxy.repository(path).tag("v1")) == index


def test_a_re_tag_whose_index_was_looked_at_is_sent_again_when_the_registry_denies_its_images(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, index: ImageIndex
) -> None:
    assert all(patient.head_manifest(reference.repository.digest(child.digest)) for child in index.manifests)
    proxy.inject(Fault(method="PUT", answer=DENIED))
    patient.put_manifest(reference.repository.tag("v2"), index.content, index.media_type)
    assert manifest_writes(proxy) == [400, 201]


def test_a_denial_that_stays_ends_with_the_registry_s_words_and_leaves_nothing(
    proxy: FaultProxy, patient: RegistryClient, maker: ImageMaker, path: str
) -> None:
    index = maker.index("denied")
    proxy.inject(Fault(method="PUT", path="/manifests/", skip=2, times=0, answer=DENIED))
    with pytest.raises(Refused) as caught:
        push_index(patient, proxy.repository(path), index.descriptor, maker.blobs)
    assert index.digest in caught.value.what
    assert "400 Bad Request: MANIFEST_BLOB_UNKNOWN: blob unknown to registry (5 times)" in caught.value.why
    assert manifest_writes(proxy) == [201] * 2 + [400] * 5
    assert patient.find_manifest(proxy.repository(path).digest(index.digest)) is None


def test_parts_that_are_missing_are_said_to_be_at_once(
    proxy: FaultProxy, patient: RegistryClient, maker: ImageMaker, path: str
) -> None:
    index = maker.index("without blobs")
    image = maker.blobs.read(index.manifests[0].digest)
    repository = proxy.repository(path)
    with pytest.raises(Refused) as caught:
        patient.put_manifest(repository.tag("v1"), image, index.manifests[0].media_type)
    assert str(repository) in caught.value.what
    assert caught.value.why.endswith("MANIFEST_BLOB_UNKNOWN: blob unknown to registry")
    with pytest.raises(Refused, match="MANIFEST_BLOB_UNKNOWN"):
        patient.put_manifest(repository.tag("v1"), index.content, index.media_type)
    assert manifest_writes(proxy) == [400, 400]
    assert patient.traffic.seconds_waited == 0


# Downloads


@pytest.fixture
def blob(
    client: RegistryClient, registry: LocalRegistry, proxy: FaultProxy, maker: ImageMaker, path: str
) -> Descriptor:
    """A blob of several blocks that is in the registry."""
    blob = maker.blob(f"a blob of {path}".encode() * 100_000)
    client.upload_blob(registry.repository(path), blob, lambda: maker.blobs.open(blob.digest))
    proxy.forget_requests()
    return blob


@pytest.mark.parametrize(
    "fault", [Fault(answer=Answer(503)), Fault(reset_after=0), Fault(keep=2_000_000), Fault(lose_answer=True)]
)
def test_a_download_that_breaks_is_begun_again(
    proxy: FaultProxy, patient: RegistryClient, maker: ImageMaker, path: str, blob: Descriptor, fault: Fault
) -> None:
    proxy.inject(fault)
    assert patient.read_blob(proxy.repository(path), blob) == maker.blobs.read(blob.digest)
    assert patient.traffic.retries == 1


def test_a_download_that_breaks_off_each_time_says_so(
    proxy: FaultProxy, hasty: RegistryClient, path: str, blob: Descriptor
) -> None:
    proxy.inject(Fault(times=0, keep=2_000_000))
    with pytest.raises(Unavailable, match="the answer broke off"):
        hasty.read_blob(proxy.repository(path), blob)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda body: body[:-1] + b"!", "its content is sha256:"),
        (lambda body: body[:-1], "bytes, {size} were announced"),
        (lambda body: body + b"!", "more than {size} bytes"),
    ],
)
def test_a_download_of_something_else_is_refused_at_once(
    proxy: FaultProxy,
    patient: RegistryClient,
    path: str,
    blob: Descriptor,
    change: Callable[[bytes], bytes],
    why: str,
) -> None:
    proxy.inject(Fault(change=lambda answer: replace(answer, body=change(answer.body))))
    with pytest.raises(InvalidResponse, match=why.format(size=blob.size)) as caught:
        patient.read_blob(proxy.repository(path), blob)
    assert f"{proxy.repository(path)}@{blob.digest}" in caught.value.what
    assert len(proxy.requests()) == 1


def test_a_download_is_followed_to_where_the_registry_keeps_it(
    proxy: FaultProxy, patient: RegistryClient, maker: ImageMaker, path: str, blob: Descriptor
) -> None:
    elsewhere = {"Location": f"/v2/{path}/blobs/{blob.digest}?signature=hidden"}
    proxy.inject(Fault(answer=Answer(307, elsewhere, b"<a>Temporary Redirect</a>")))
    assert patient.read_blob(proxy.repository(path), blob) == maker.blobs.read(blob.digest)
    assert statuses(proxy) == [307, 200]


# Tags


def test_all_pages_of_tags_are_read(proxy: FaultProxy, patient: RegistryClient, reference: Reference) -> None:
    def page(*tags: str, link: str = "") -> Answer:
        body = json.dumps({"name": "x", "tags": tags}).encode()
        return Answer(200, {"Link": link} if link else {}, body)

    name = reference.repository.path
    proxy.inject(
        Fault(answer=page("v1", "v2", link=f'</v2/{name}/tags/list?n=2&last=v2>; rel="next"')),
        Fault(answer=page("v2", "v3", link=f"<{proxy.url}/v2/{name}/tags/list?n=2&last=v3>;rel=next")),
        Fault(answer=page("v4")),
    )
    assert patient.list_tags(reference.repository) == ("v1", "v2", "v3", "v4")
    assert [request.path.partition("last=")[2] for request in proxy.requests()] == ["", "v2", "v3"]


def test_tags_of_an_empty_repository_may_be_null(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference
) -> None:
    proxy.inject(Fault(answer=Answer(200, {}, b'{"name": "x", "tags": null}')))
    assert patient.list_tags(reference.repository) == ()


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"Link": '<?n=1000>; rel="next"'}, b'{"tags": ["v1"]}'),  # the same page again
        Answer(200, {"Link": '<http://elsewhere.example/tags>; rel="next"'}, b'{"tags": ["v1"]}'),
        Answer(200, {"Link": '<http://[>; rel="next"'}, b'{"tags": ["v1"]}'),
        Answer(200, {}, b'{"tags": ["v1"'),
        Answer(200, {}, b'{"tags": "v1"}'),
        Answer(200, {}, b'{"tags": ["not a tag"]}'),
        Answer(200, {}, b'{"tags": [5]}'),
        Answer(200, {"Content-Type": "text/html"}, b"<html></html>"),
        Answer(200, {}, b'["v1"]'),
        Answer(200, {}, b"{}"),
    ],
)
def test_a_list_of_tags_that_is_nonsense_is_no_list(
    proxy: FaultProxy, patient: RegistryClient, reference: Reference, answer: Answer
) -> None:
    proxy.inject(Fault(times=0, answer=answer))
    with pytest.raises(InvalidResponse):
        patient.list_tags(reference.repository)
    assert len(proxy.requests()) <= 2


# Plain HTTP and TLS


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.255.0.3", True),
        ("::1", True),
        ("[::1]", True),
        ("128.0.0.1", False),
        ("127.0.0.1.example", False),
        ("127.evil.0.1", False),
        ("localhost.example", False),
        ("0.0.0.0", False),
        ("::2", False),
    ],
)
def test_this_machine_is_known(host: str, local: bool) -> None:
    assert is_loopback(host) is local


# 0.0.0.0 reaches this machine, and is no address of it: to the client it is any host in the network.
ELSEWHERE = "0.0.0.0"


def test_plain_http_is_for_this_machine_only(registry: LocalRegistry) -> None:
    with FaultProxy(registry.address, host=ELSEWHERE) as proxy, RegistryClient(proxy.address) as client:
        with pytest.raises(Unavailable, match="no answer"):
            client.find_manifest(proxy.repository("app").tag("v1"))
        assert client.traffic.retries == 0  # a server without TLS has none a second later either
        assert proxy.requests() == []


def test_insecure_allows_plain_http(registry: LocalRegistry, maker: ImageMaker, path: str) -> None:
    index = maker.index()
    with (
        FaultProxy(registry.address, host=ELSEWHERE) as proxy,
        RegistryClient(proxy.address, insecure=True) as client,
    ):
        push_index(client, proxy.repository(path), index.descriptor, maker.blobs)
        assert client.manifest_exists(proxy.repository(path).digest(index.digest))


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS for ELSEWHERE, and the certificate that one must trust for it."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *(*tool("openssl"), "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=test"),
            *("-addext", f"subjectAltName=IP:{ELSEWHERE},DNS:registry.example"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context, certificate


@pytest.mark.parametrize("insecure", [False, True])
def test_a_registry_with_tls_is_talked_to_when_its_certificate_is_trusted(
    registry: LocalRegistry,
    maker: ImageMaker,
    path: str,
    tls: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
    insecure: bool,
) -> None:
    context, certificate = tls
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    # A registry behind TLS that does not know its outer address would send uploads out of TLS.
    def outer(answer: Answer) -> Answer:
        location = answer.headers["Location"].replace("http://", "https://")
        return Answer(answer.status, {**answer.headers, "Location": location}, answer.body)

    index = maker.index()
    with (
        FaultProxy(registry.address, host=ELSEWHERE, tls=context) as proxy,
        RegistryClient(proxy.address, insecure=insecure) as client,
    ):
        proxy.inject(Fault(method="POST", times=0, change=outer))
        push_index(client, proxy.repository(path), index.descriptor, maker.blobs)
        assert client.get_manifest(proxy.repository(path).digest(index.digest)) == index
        assert all(request.path != "/v2/" for request in proxy.requests()) is not insecure


@pytest.mark.parametrize("insecure", [False, True])
def test_a_certificate_that_is_not_trusted_is_refused_insecure_or_not(
    registry: LocalRegistry, tls: tuple[ssl.SSLContext, Path], insecure: bool
) -> None:
    with (
        FaultProxy(registry.address, host=ELSEWHERE, tls=tls[0]) as proxy,
        RegistryClient(proxy.address, insecure=insecure) as client,
    ):
        with pytest.raises(Unavailable, match=r"(?i)certificate"):
            client.find_manifest(proxy.repository("app").tag("v1"))
        assert client.traffic.retries == 0
        assert proxy.requests() == []


class Tunnel(socketserver.ThreadingTCPServer):
    """A proxy that knows CONNECT alone, and knows one host, whatever name it is asked for."""

    daemon_threads = True

    def __init__(self, target: str) -> None:
        self.asked: list[bytes] = []
        self.target = target.split(":")
        tunnel = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                head = b"".join(iter(self.rfile.readline, b"\r\n"))
                tunnel.asked.append(head)
                with socket.create_connection((tunnel.target[0], int(tunnel.target[1]))) as server:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                    back = threading.Thread(target=pump, args=(server, self.connection), daemon=True)
                    back.start()
                    pump(self.connection, server)
                    back.join()

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


def pump(source: socket.socket, target: socket.socket) -> None:
    """Copy until the source has no more."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_a_registry_beyond_a_proxy_is_reached_through_it(
    registry: LocalRegistry,
    client: RegistryClient,
    maker: ImageMaker,
    path: str,
    tls: tuple[ssl.SSLContext, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = maker.index()
    push_index(client, registry.repository(path), index.descriptor, maker.blobs)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))
    with FaultProxy(registry.address, tls=tls[0]) as server, Tunnel(server.address) as tunnel:
        threading.Thread(target=tunnel.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://alice:wonderland@{tunnel.address}")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # this machine is asked without one
        with RegistryClient("registry.example") as outside:
            assert outside.get_manifest(Reference.parse(f"registry.example/{path}@{index.digest}")) == index
        assert client.manifest_exists(registry.repository(path).digest(index.digest))
        monkeypatch.setenv("NO_PROXY", "registry.example")
        with RegistryClient("registry.example", retry_for=0) as outside, pytest.raises(Unavailable):
            outside.get_manifest(Reference.parse(f"registry.example/{path}@{index.digest}"))
        assert len(tunnel.asked) == 1
        assert tunnel.asked[0].startswith(b"CONNECT registry.example:443 ")
        assert b"Proxy-Authorization: Basic YWxpY2U6d29uZGVybGFuZA==" in tunnel.asked[0]
        tunnel.shutdown()


# Words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (response(status=404), "404 Reason"),
        (response(b'{"errors": [{"code": "A", "message": "b"}, {"code": "C"}]}', 400), "400 Reason: A: b; C:"),
        (response(b"<html>\n  down\n</html>", 502), "502 Reason: <html> down </html>"),
        (response(b"\x1b[31mred\x00", 500), "500 Reason: [31mred"),
        (response(b'{"errors": [5]}', 500), '500 Reason: {"errors": [5]}'),
        (response(b"Authorization: Basic aGlkZGVuOmhpZGRlbg==", 400), "400 Reason: Authorization: Basic ***"),
    ],
)
def test_a_server_s_words_fit_on_a_line_of_a_terminal(answer: Response, words: str) -> None:
    assert server_words(answer) == words


def test_a_client_waits_for_nothing_after_it_is_closed(proxy: FaultProxy, reference: Reference) -> None:
    client = RegistryClient(proxy.address)
    client.get_manifest(reference)
    started = time.monotonic()
    client.close()
    client.close()
    assert time.monotonic() - started < 5
    assert client.get_manifest(reference).digest  # a closed client opens new connections
