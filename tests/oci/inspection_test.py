"""The four verdicts, and what a re-tag with all of its guards costs."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from tests.support.fault_proxy import Answer, Fault, FaultProxy, error_answer, round_trips
from tests.support.images import ImageMaker
from tests.support.registry import LocalRegistry
from tests.support.tools import tool
from tools.oci.client import Access, RegistryClient
from tools.oci.errors import Forbidden, InvalidResponse, Throttled, Unauthorized, Unavailable
from tools.oci.inspection import Inspection, Verdict, inspect_index
from tools.oci.manifest import ImageIndex, Platform
from tools.oci.parallel import run_all
from tools.oci.publication import push_index
from tools.oci.reference import Reference
from tools.oci.referrers import Referrers
from tools.oci.tags import TagPolicy, TagState, read_tag, verify_tag, write_tag

BOTH = (Platform("linux", "amd64"), Platform("linux", "arm64"))


def publish(
    client: RegistryClient, registry: LocalRegistry, maker: ImageMaker, path: str, index: ImageIndex
) -> Reference:
    repository = registry.repository(path)
    push_index(client, repository, index.descriptor, maker.blobs)
    write_tag(client, repository.tag("v1"), index)
    registry.forget_requests()
    return repository.tag("v1")


@pytest.mark.parametrize("attested", [False, True])
def test_an_index_of_the_expected_platforms_is_present_with_its_bytes(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str, attested: bool
) -> None:
    index = maker.index(attested=attested)
    reference = publish(client, registry, maker, path, index)
    inspection = inspect_index(client, reference, BOTH)
    assert inspection.verdict is Verdict.PRESENT
    assert inspection.reason == ""
    assert inspection.manifest == index
    assert inspection.digest == index.digest
    requests = registry.requests()
    assert [request.method for request in requests] == ["GET"] + ["HEAD"] * len(index.manifests)


def test_what_refers_to_an_index_is_asked_beside_its_children(
    proxy: FaultProxy,
    client: RegistryClient,
    registry: LocalRegistry,
    hasty: RegistryClient,
    maker: ImageMaker,
    path: str,
) -> None:
    publish(client, registry, maker, path, maker.index(attested=True))
    proxy.latency = 0.05
    inspection = inspect_index(hasty, proxy.repository(path).tag("v1"), BOTH, referrers=True)
    assert inspection.referrers == Referrers((), listed=False)
    assert len(proxy.requests()) == 1 + 4 + 2
    assert round_trips(proxy.requests()) == 2


def test_not_to_know_what_refers_to_an_index_changes_no_verdict(
    proxy: FaultProxy,
    client: RegistryClient,
    registry: LocalRegistry,
    hasty: RegistryClient,
    maker: ImageMaker,
    path: str,
) -> None:
    publish(client, registry, maker, path, maker.index())
    proxy.inject(Fault(path="/referrers/", times=0, answer=error_answer(403, "DENIED")))
    inspection = inspect_index(hasty, proxy.repository(path).tag("v1"), BOTH, referrers=True)
    assert inspection.verdict is Verdict.PRESENT
    assert isinstance(inspection.referrers, Forbidden)


def test_a_definite_404_is_absent(registry: LocalRegistry, client: RegistryClient, path: str) -> None:
    inspection = inspect_index(client, registry.repository(path).tag("v1"), BOTH)
    assert inspection.verdict is Verdict.ABSENT
    assert "does not exist" in inspection.reason
    assert len(registry.requests()) == 1


@pytest.mark.parametrize(
    ("platforms", "reason"),
    [
        (["linux/amd64"], "it has linux/amd64, expected is linux/amd64, linux/arm64"),
        (["linux/amd64", "linux/arm64", "linux/s390x"], "it has linux/amd64, linux/arm64, linux/s390x"),
        (["linux/amd64", "linux/arm/v7"], "it has linux/amd64, linux/arm/v7"),
        ([], "it has no platform"),
    ],
)
def test_other_platforms_than_expected_are_incomplete(
    registry: LocalRegistry,
    client: RegistryClient,
    maker: ImageMaker,
    path: str,
    platforms: list[str],
    reason: str,
) -> None:
    reference = publish(client, registry, maker, path, maker.index(platforms=platforms))
    inspection = inspect_index(client, reference, BOTH)
    assert inspection.verdict is Verdict.INCOMPLETE
    assert reason in inspection.reason
    assert inspection.digest


def test_a_platform_that_is_there_twice_is_incomplete(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    reference = publish(client, registry, maker, path, maker.index(platforms=["linux/amd64", "linux/arm64"] * 2))
    assert inspect_index(client, reference, BOTH).verdict is Verdict.INCOMPLETE


def test_a_single_image_is_incomplete(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    image = maker.image(BOTH[0], ["only"])
    report = push_index(client, registry.repository(path), image, maker.blobs)
    write_tag(client, registry.repository(path).tag("v1"), report.manifest)
    inspection = inspect_index(client, registry.repository(path).tag("v1"), BOTH[:1])
    assert inspection.verdict is Verdict.INCOMPLETE
    assert "a single image" in inspection.reason


def test_an_index_that_outlived_its_children_is_incomplete(
    registry: LocalRegistry, client: RegistryClient, maker: ImageMaker, path: str
) -> None:
    index = maker.index()
    reference = publish(client, registry, maker, path, index)
    gone = index.manifests[1].digest
    subprocess.run([*tool("crane"), "delete", str(reference.repository.digest(gone))], check=True, capture_output=True)
    inspection = inspect_index(client, reference, BOTH)
    assert inspection.verdict is Verdict.INCOMPLETE
    assert f"{gone} is gone" in inspection.reason


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (error_answer(401, "UNAUTHORIZED"), Unauthorized),
        (error_answer(403, "DENIED"), Forbidden),
        (error_answer(429, "TOOMANYREQUESTS"), Throttled),
        (Answer(500), Unavailable),
        (Answer(503), Unavailable),
        (Answer(404, {"Content-Type": "text/html"}, b"<html></html>"), InvalidResponse),
        (Answer(200, {"Content-Type": "text/html"}, b"<html></html>"), InvalidResponse),
    ],
)
@pytest.mark.parametrize("asked", ["index", "child"])
def test_what_could_not_be_asked_is_unknown_and_never_absent(
    proxy: FaultProxy,
    hasty: RegistryClient,
    client: RegistryClient,
    registry: LocalRegistry,
    maker: ImageMaker,
    path: str,
    answer: Answer,
    error: type[Exception],
    asked: str,
) -> None:
    publish(client, registry, maker, path, maker.index())
    proxy.inject(Fault(path="/v1" if asked == "index" else "sha256", times=0, answer=answer))
    inspection = inspect_index(hasty, proxy.repository(path).tag("v1"), BOTH)
    assert inspection.verdict is Verdict.UNKNOWN
    assert isinstance(inspection.error, error)
    assert inspection.error.why in inspection.reason


def test_a_registry_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    with LocalRegistry(tmp_path / "registry") as registry:
        reference = registry.repository("app").tag("v1")
    with RegistryClient(registry.address, retry_for=0.5) as client:
        inspection = inspect_index(client, reference, BOTH)
        assert inspection.verdict is Verdict.UNKNOWN
        assert client.traffic.retries >= 1


def retag(client: RegistryClient, source: Reference, version: str) -> None:
    """A re-tag with all the guards of a release: what can be asked at once is asked at once."""
    repository = source.repository
    answers: list[object] = run_all(
        [
            partial(inspect_index, client, source, BOTH, access=Access.PUSH),
            partial(read_tag, client, repository.tag(version)),
            partial(read_tag, client, repository.tag("latest")),
            partial(client.list_tags, repository, access=Access.PUSH),
        ]
    )
    inspection, before, latest, _ = answers
    assert isinstance(inspection, Inspection)
    assert isinstance(before, TagState)
    assert isinstance(latest, TagState)
    assert inspection.verdict is Verdict.PRESENT
    assert inspection.manifest is not None
    write_tag(client, before.reference, inspection.manifest, state=before)
    moved = partial(write_tag, client, latest.reference, inspection.manifest, policy=TagPolicy.OVERWRITE, state=latest)
    moved(verify=False)
    # Has it moved, and has a newer version appeared in the meantime?
    checks: list[object] = run_all(
        [
            partial(verify_tag, client, latest.reference, inspection.manifest.digest),
            partial(client.list_tags, repository, access=Access.PUSH),
        ]
    )
    assert version in cast("tuple[str, ...]", checks[1])


@pytest.mark.parametrize("released_before", [False, True])
def test_a_retag_of_two_tags_takes_eleven_requests_in_six_round_trips(
    proxy: FaultProxy,
    client: RegistryClient,
    registry: LocalRegistry,
    maker: ImageMaker,
    path: str,
    released_before: bool,
) -> None:
    index = maker.index()
    publish(client, registry, maker, path, index)
    if released_before:
        other = maker.index("other")
        push_index(client, registry.repository(path), other.descriptor, maker.blobs)
        write_tag(client, registry.repository(path).tag("latest"), other)
    proxy.latency = 0.05
    with RegistryClient(proxy.address) as measured:
        retag(measured, proxy.repository(path).tag("v1"), "v2")
        assert measured.traffic.total == 11
        assert measured.traffic.requests == {"GET": 5, "HEAD": 4, "PUT": 2}
    assert len(proxy.requests()) == 11
    assert round_trips(proxy.requests()) <= 6
    assert client.get_manifest(registry.repository(path).tag("latest")) == index
    assert client.get_manifest(registry.repository(path).tag("v2")) == index


def test_a_threads_failure_is_raised_and_nothing_further_begun() -> None:
    begun: list[int] = []

    def task(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise ValueError("one")
        return number

    with pytest.raises(ValueError, match="one"):
        run_all([lambda number=number: task(number) for number in range(50)], at_once=1)  # type: ignore[misc]
    assert begun == [0, 1]
    assert run_all([lambda number=number: task(number) for number in (4, 3, 2)]) == [4, 3, 2]  # type: ignore[misc]
    assert run_all([]) == []


def test_the_vocabulary_is_imported_without_the_client() -> None:
    script = "import sys, tools.oci.reference, tools.oci.manifest; print('http.client' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "False"
