"""Releases from the request to the record, against a real registry with faults before it."""

import http.client
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from release.errors import Exit, Refused, ReleaseError, exit_status
from release.plan import Way
from release.request import EngineName, LatestPolicy
from tests.release.house import COMMIT, House, install, real_docker
from tests.support.fault_proxy import Answer, Fault, FaultProxy, error_answer, round_trips
from tools.oci.errors import Forbidden, OciError, TagConflict
from tools.oci.manifest import Platform
from tools.oci.reference import Repository

IMAGETOOLS = EngineName.IMAGETOOLS
DENIED = error_answer(403, "DENIED", "requested access to the resource is denied")
BROKEN = error_answer(500, "UNKNOWN", "out of order")


@pytest.fixture
def published(house: House) -> House:
    """The image of the commit is there, and has no other name yet."""
    house.publish(house.shelf.image, COMMIT)
    return house


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a `docker` of a shell script, in which $REAL is the real one."""

    def make(script: str) -> None:
        install(tmp_path / "bin", monkeypatch, "docker", f"REAL='{real}'\n{script}\n")

    real = real_docker()
    return make


def writes(proxy: FaultProxy) -> list[str]:
    """What was written since the proxy forgot, by the last part of its path."""
    return [
        request.path.rpartition("/")[2]
        for request in proxy.requests()
        if request.method not in ("GET", "HEAD") and "/blobs/" not in request.path
    ]


def refused(house: House, proxy: FaultProxy, status: Exit, **wishes: Any) -> str:
    """Asserts that a release ends with `status` and writes nothing; returns what it said."""
    before = house.tags()
    proxy.forget_requests()
    with pytest.raises((ReleaseError, OciError)) as caught:
        house.release(**wishes)
    assert isinstance(caught.value, (ReleaseError, OciError))
    assert exit_status(caught.value) == status, str(caught.value)
    assert [request for request in proxy.requests() if request.method not in ("GET", "HEAD")] == []
    assert house.tags() == before
    what, _, remedy = str(caught.value).partition("\n")
    assert what
    assert remedy
    return str(caught.value)


# Cost


@pytest.mark.parametrize(("attested", "requests"), [(False, 13), (True, 15)])
def test_a_retag_with_all_its_guards_takes_6_round_trips_and_one_to_connect(
    house: House, proxy: FaultProxy, attested: bool, requests: int
) -> None:
    """Two requests ask for provenance, and one for each SBOM, beside those for the image's platforms.

    None of them waits for a connection, which would look like one more round trip.
    """
    house.shelf.image = house.maker.index("released", attested=attested)
    house.publish(house.shelf.image, COMMIT)
    house.release(None)
    house.publish(house.maker.index("older"), "v0.9.0", "latest")
    proxy.latency = proxy.connection_latency = 0.1
    proxy.forget_requests()
    record = house.release("v1.0.0")
    assert len(proxy.requests()) == record.traffic.total == requests
    assert round_trips(proxy.requests()) == 6
    assert writes(proxy) == ["v1.0.0", "latest"]
    assert house.shelf.builds == house.shelf.queries == 0


def test_a_release_that_is_done_already_asks_and_writes_nothing(published: House, proxy: FaultProxy) -> None:
    published.release("v1.0.0")
    proxy.forget_requests()
    record = published.release("v1.0.0")
    assert published.lines[-3:] == [
        "✅ Tagged with v1.0.0 (already)",
        "✅ Tagged with latest",
        "Successfully tagged hello_python v1.0.0 from existing commit image",
    ]
    assert (record.traffic.writes, len(proxy.requests())) == (0, 8)


def test_a_second_version_of_the_same_image_writes_one_tag(published: House, proxy: FaultProxy) -> None:
    published.release("v1.0.0")
    proxy.forget_requests()
    published.release("v1.0.1")
    assert writes(proxy) == ["v1.0.1"]
    assert published.tags() == dict.fromkeys(("abc123def", "v1.0.0", "v1.0.1", "latest"), published.shelf.image.digest)


def test_one_token_serves_all_questions_and_writes(published: House, proxy: FaultProxy) -> None:
    proxy.require_token()
    published.release("v1.0.0")
    assert len([request for request in proxy.requests() if request.path.startswith("/token")]) == 1


# Building


def test_without_a_commit_the_registry_is_not_asked_for_one_and_two_tags_are_written(
    house: House, proxy: FaultProxy
) -> None:
    record = house.release("v1.0.0", commit=None)
    assert house.lines == [
        "Building OCI image index with platform transitions...",
        "✅ Built OCI image index containing 2 platform variants",
        "Pushing OCI image index with 2 tags...",
        "Uploaded 5 blobs, 0.0 MB; 0 were there already",
        "Successfully pushed hello_python v1.0.0",
    ]
    assert set(house.tags()) == {"v1.0.0", "latest"}
    assert COMMIT not in "".join(request.path for request in proxy.requests())
    assert record.verdict is None


def test_without_a_version_only_the_commit_tag_is_written_and_the_second_time_nothing(
    house: House, proxy: FaultProxy
) -> None:
    house.release(None)
    assert [line for line in house.lines if "Uploaded" not in line][-3:] == [
        "Pushing OCI image index with 1 tag...",
        "✅ Added provenance of commit abc123d",
        "Successfully pushed hello_python at commit abc123d",
    ]
    assert set(house.tags()) == {COMMIT}
    proxy.forget_requests()
    record = house.release(None)
    assert house.shelf.builds == 1
    assert (record.way, record.traffic.writes) == (Way.RETAG, 0)
    assert house.lines[-1] == "Nothing to do: without a version, the commit's tag is the only one"


def test_the_tags_are_written_after_the_image_and_its_provenance_and_latest_last(
    house: House, proxy: FaultProxy
) -> None:
    record = house.release("v1.0.0")
    image, order = house.shelf.image, writes(proxy)
    assert record.provenance is not None
    provenance = [record.provenance.digest, image.digest.replace(":", "-")]
    assert order[-6:] == [image.digest, *provenance, COMMIT, "v1.0.0", "latest"]
    assert set(order[:-6]) == {child.digest for child in image.manifests}


@pytest.mark.parametrize("way", ["other platforms", "children gone", "no index"])
def test_an_incomplete_image_of_the_commit_is_built_again_and_replaced(house: House, way: str) -> None:
    image = house.shelf.image
    if way == "other platforms":
        house.publish(house.maker.index(platforms=["linux/amd64"]), COMMIT)
    elif way == "children gone":
        house.publish(image, COMMIT)
        delete(house.direct, image.manifests[0].digest)
    else:
        house.publish(image)
        single = house.client.get_manifest(house.direct.digest(image.manifests[0].digest))
        house.client.put_manifest(house.direct.tag(COMMIT), single.content, single.media_type)
    record = house.release("v1.0.0")
    assert (record.verdict, house.shelf.builds) == ("incomplete", 1)
    assert house.lines[0].startswith("Warning: The image of commit abc123d is incomplete: ")
    assert house.tags() == dict.fromkeys((COMMIT, "v1.0.0", "latest"), image.digest)
    assert house.release("v1.0.0").verdict == "present"


def delete(repository: Repository, digest: str) -> None:
    connection = http.client.HTTPConnection(repository.registry)
    connection.request("DELETE", f"/v2/{repository.path}/manifests/{digest}")
    assert connection.getresponse().status == 202
    connection.close()


def test_the_apps_own_platforms_count_before_anything_is_built(house: House) -> None:
    """Given only the repository, the configured platforms are a guess."""
    house.shelf.platforms = (Platform("linux", "amd64"),)
    house.publish(house.maker.index(platforms=["linux/amd64"]), COMMIT)
    assert house.release("v1.0.0").verdict == "present"
    assert (house.shelf.builds, house.shelf.queries) == (0, 1)


def test_a_build_of_other_platforms_than_the_apps_is_not_published(house: House, proxy: FaultProxy) -> None:
    house.shelf.image = house.maker.index(platforms=["linux/amd64"])
    said = refused(house, proxy, Exit.FAILED)
    assert "built for linux/amd64, and is to have linux/amd64, linux/arm64" in said


def test_a_rebuild_that_is_the_same_image_is_a_success(published: House) -> None:
    record = published.release("v1.0.0", rebuild=True)
    assert (record.way, published.shelf.builds) == (Way.BUILD, 1)
    assert published.tags() == dict.fromkeys((COMMIT, "v1.0.0", "latest"), published.shelf.image.digest)


def test_a_rebuild_that_differs_is_refused_with_both_digests(published: House, proxy: FaultProxy) -> None:
    first = published.shelf.image
    published.shelf.image = published.maker.index("second")
    said = refused(published, proxy, Exit.REFUSED, rebuild=True)
    assert first.digest in said
    assert published.shelf.image.digest in said
    published.release("v1.0.0", rebuild=True, allow_overwrite=True)
    assert set(published.tags().values()) == {published.shelf.image.digest}


@pytest.mark.parametrize("commit", [COMMIT, None])
def test_a_version_that_was_built_as_another_image_is_refused_before_anything_is_pushed(
    house: House, proxy: FaultProxy, commit: str | None
) -> None:
    other = house.maker.index("other")
    house.publish(other, "v1.0.0")
    said = refused(house, proxy, Exit.REFUSED, commit=commit)
    assert other.digest in said
    assert house.shelf.image.digest in said


# What is not known


def test_an_image_that_cannot_be_asked_for_is_built_and_published_once_the_registry_answers(
    house: House, proxy: FaultProxy
) -> None:
    proxy.inject(Fault(method="GET", path=f".*/manifests/{COMMIT}", times=1, answer=DENIED))
    record = house.release("v1.0.0")
    assert (record.way, record.verdict) == (Way.BUILD, "unknown")
    assert house.lines[0].startswith("Warning: The image of commit abc123d cannot be asked for: ")
    assert house.lines[0].endswith("; will build")
    assert set(house.tags()) == {COMMIT, "v1.0.0", "latest"}


@pytest.mark.parametrize("answer", [DENIED, BROKEN, Answer(200, {"Content-Type": "text/html"}, b"<html>")])
@pytest.mark.parametrize("what", ["abc123def", "v1.0.0", "latest"])
def test_what_is_still_unknown_after_the_build_ends_the_release_with_nothing_written(
    house: House, proxy: FaultProxy, answer: Answer, what: str
) -> None:
    proxy.inject(Fault(path=f".*/manifests/{what}", times=0, answer=answer))
    refused(house, proxy, Exit.UNASKED)
    assert house.shelf.builds == 1


@pytest.mark.parametrize("answer", [DENIED, BROKEN])
def test_tags_that_cannot_be_listed_leave_latest_unwritten(published: House, proxy: FaultProxy, answer: Answer) -> None:
    proxy.inject(Fault(path=".*/tags/list.*", times=0, answer=answer))
    refused(published, proxy, Exit.UNASKED)
    assert published.release("v1.0.0", latest=LatestPolicy.ALWAYS).way is Way.RETAG


def test_a_version_that_cannot_be_read_is_not_taken_for_free(published: House, proxy: FaultProxy) -> None:
    proxy.inject(Fault(path=".*/manifests/v1.0.0", times=0, answer=DENIED))
    refused(published, proxy, Exit.UNASKED)
    assert published.shelf.builds == 0


@pytest.mark.parametrize(
    ("fault", "status"),
    [(None, Exit.REFUSED), (Fault(path=".*/manifests/abc123def", times=0, answer=DENIED), Exit.UNASKED)],
)
def test_where_nothing_may_be_built_a_missing_image_is_refused_and_an_unknown_one_is_not_asked(
    house: House, proxy: FaultProxy, fault: Fault | None, status: Exit
) -> None:
    if fault is not None:
        proxy.inject(fault)
    refused(house, proxy, status, no_build=True)
    assert house.shelf.builds == house.shelf.queries == 0


def test_a_tree_that_may_not_build_the_commit_ends_the_release(house: House, proxy: FaultProxy) -> None:
    house.shelf.refusal = Refused("Refused to build", "the tree has changes", "Commit first.")
    refused(house, proxy, Exit.REFUSED)
    assert house.shelf.builds == 0
    assert house.release("v1.0.0", commit=None).way is Way.BUILD


# Guards of tags


def test_a_version_that_names_another_image_does_not_move(published: House, proxy: FaultProxy) -> None:
    other = published.maker.index("other")
    published.publish(other, "v1.0.0", "latest")
    said = refused(published, proxy, Exit.REFUSED)
    assert other.digest in said
    assert published.shelf.image.digest in said
    published.release("v1.0.0", allow_overwrite=True)
    assert set(published.tags().values()) == {published.shelf.image.digest}


def test_an_older_version_does_not_take_latest_back(published: House) -> None:
    newer = published.maker.index("newer")
    published.publish(newer, "v2.0.0", "latest")
    record = published.release("v1.0.0")
    assert "latest stays at v2.0.0" in published.lines
    assert published.tags()["latest"] == newer.digest
    assert [(tag.tag, tag.after) for tag in record.tags][-1] == ("latest", newer.digest)


def test_a_newer_version_that_appears_meanwhile_gets_latest_after_all(published: House, proxy: FaultProxy) -> None:
    """Another release writes v2.0.0 and latest, just before this one writes latest."""
    newer = published.maker.index("newer")
    published.publish(newer)
    ours = published.shelf.image.digest

    def meanwhile(answer: Answer) -> Answer:
        if "v2.0.0" not in published.client.list_tags(published.direct):
            published.publish(newer, "v2.0.0")
        return answer

    proxy.inject(Fault(method="PUT", path=".*/manifests/latest", times=1, change=meanwhile))
    record = published.release("v1.0.0")
    assert published.lines[-3:] == [
        "latest moved on to v2.0.0, which has appeared meanwhile",
        "✅ Tagged with latest",
        "Successfully tagged hello_python v1.0.0 from existing commit image",
    ]
    assert published.tags() == {COMMIT: ours, "v1.0.0": ours, "v2.0.0": newer.digest, "latest": newer.digest}
    assert record.tags[-1].after == newer.digest


# imagetools


def test_imagetools_is_called_once_a_tag_with_the_digest_that_was_inspected(
    published: House, docker: Callable[[str], None], tmp_path: Path
) -> None:
    docker(f'echo "$@" >> {tmp_path}/calls; exec $REAL "$@"')
    published.release("v1.0.0", engine=IMAGETOOLS)
    source = f"{published.repository}@{published.shelf.image.digest}"
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"buildx imagetools create --tag {published.repository}:{tag} {source}" for tag in ("v1.0.0", "latest")
    ]


def test_imagetools_that_fails_after_the_first_tag_leaves_one_digest_everywhere(
    published: House, docker: Callable[[str], None]
) -> None:
    docker('case "$5" in *:latest) echo "ERROR: reset" >&2; exit 1;; esac; exec $REAL "$@"')
    record = published.release("v1.0.0", engine=IMAGETOOLS)
    assert (record.way, published.shelf.builds) == (Way.FALLBACK, 1)
    assert "✅ Tagged with v1.0.0" in published.lines
    assert published.tags() == dict.fromkeys((COMMIT, "v1.0.0", "latest"), published.shelf.image.digest)


def test_imagetools_that_only_claims_success_is_found_out(published: House, docker: Callable[[str], None]) -> None:
    docker("exit 0")
    record = published.release("v1.0.0", engine=IMAGETOOLS)
    assert record.way is Way.FALLBACK
    assert any("falling back to rebuild: the registry has no such tag" in line for line in published.lines)
    assert published.tags() == dict.fromkeys((COMMIT, "v1.0.0", "latest"), published.shelf.image.digest)


def test_imagetools_that_tags_another_image_is_found_out_and_latest_is_not_written(
    published: House, docker: Callable[[str], None]
) -> None:
    other = published.maker.index("other")
    published.publish(other)
    docker(f'exec $REAL buildx imagetools create --tag "$5" {published.repository}@{other.digest}')
    with pytest.raises(TagConflict) as caught:
        published.release("v1.0.0", engine=IMAGETOOLS)
    assert (caught.value.present, caught.value.wanted) == (other.digest, published.shelf.image.digest)
    assert "latest" not in published.tags()


def test_a_fallback_whose_build_fails_shows_both_errors(published: House, docker: Callable[[str], None]) -> None:
    docker("echo 'ERROR: unexpected status: 500' >&2; exit 1")
    published.shelf.failure = ReleaseError("bazel build failed", "it does not compile", "Correct that.")
    with pytest.raises(ReleaseError, match="it does not compile"):
        published.release("v1.0.0", engine=IMAGETOOLS)
    assert any("unexpected status: 500" in line for line in published.lines)
    assert set(published.tags()) == {COMMIT}


def test_a_fallback_that_builds_another_image_is_refused(published: House, docker: Callable[[str], None]) -> None:
    docker("exit 1")
    first, published.shelf.image = published.shelf.image, published.maker.index("second")
    with pytest.raises(Refused, match=f"(?s){published.shelf.image.digest}.*{first.digest}"):
        published.release("v1.0.0", engine=IMAGETOOLS)
    assert published.tags() == {COMMIT: first.digest}


@pytest.mark.parametrize("why", ["the tree", "--no-build"])
def test_where_nothing_may_be_built_the_registry_itself_is_asked_instead(
    published: House, docker: Callable[[str], None], why: str
) -> None:
    docker("echo 'ERROR: unexpected status: 500' >&2; exit 1")
    published.shelf.refusal = Refused("Refused to build", "the tree has changes", "Commit first.")
    record = published.release("v1.0.0", engine=IMAGETOOLS, no_build=why == "--no-build")
    assert (record.way, record.engine, published.shelf.builds) == (Way.RETAG, EngineName.REGISTRY, 0)
    assert "Failed to tag existing image: unexpected status: 500 (exit status 1)" in published.lines
    assert published.tags() == dict.fromkeys((COMMIT, "v1.0.0", "latest"), published.shelf.image.digest)


def test_where_that_fails_too_both_errors_are_shown(
    published: House, proxy: FaultProxy, docker: Callable[[str], None]
) -> None:
    docker("echo 'ERROR: unexpected status: 500' >&2; exit 1")
    proxy.inject(Fault(method="PUT", times=0, answer=BROKEN))
    with pytest.raises(ReleaseError, match=r"unexpected status: 500.*out of order") as caught:
        published.release("v1.0.0", engine=IMAGETOOLS, no_build=True)
    assert exit_status(caught.value) == Exit.FAILED


def test_the_registry_engine_failing_is_not_answered_by_a_build(published: House, proxy: FaultProxy) -> None:
    """A build would be pushed through the very same client."""
    proxy.inject(Fault(method="PUT", times=0, answer=DENIED))
    with pytest.raises(Forbidden):
        published.release("v1.0.0")
    assert published.shelf.builds == 0


def test_a_docker_without_buildx_is_replaced_for_all_tags_by_one_try(
    published: House, docker: Callable[[str], None], tmp_path: Path
) -> None:
    docker(f"echo x >> {tmp_path}/calls; echo 'unknown flag: --tag' >&2; exit 125")
    record = published.release("v1.0.0", engine=IMAGETOOLS)
    assert (record.way, record.engine) == (Way.RETAG, EngineName.REGISTRY)
    assert (tmp_path / "calls").read_text() == "x\n"
    assert published.tags() == dict.fromkeys((COMMIT, "v1.0.0", "latest"), published.shelf.image.digest)


# Rehearsals


@pytest.mark.parametrize(
    ("version", "commit"),
    [("v1.0.0", COMMIT), ("v1.0.0", "def456abc"), ("v1.0.0", None), (None, COMMIT), (None, "def456abc")],
)
def test_a_dry_run_builds_nothing_and_writes_nothing(
    published: House, proxy: FaultProxy, version: str | None, commit: str | None
) -> None:
    before = published.tags()
    proxy.forget_requests()
    record = published.release(version, commit, dry_run=True)
    assert published.lines[0] == "Dry run: nothing is built and nothing is written"
    assert {request.method for request in proxy.requests()} <= {"GET", "HEAD"}
    assert published.shelf.builds == 0
    assert published.tags() == before
    assert record.way is (Way.RETAG if commit == COMMIT else Way.BUILD)


def test_a_dry_run_says_what_every_tag_names_and_what_would_become_of_it(published: House) -> None:
    older = published.maker.index("older")
    published.publish(older, "v0.9.0", "latest")
    record = published.release("v1.0.0", dry_run=True)
    digest, repository = published.shelf.image.digest, published.repository
    assert published.lines == [
        "Dry run: nothing is built and nothing is written",
        f"Image of commit abc123d: present ({digest})",
        f"  {repository}:abc123def: {digest}; stays, since it is the image to release",
        f"  {repository}:v1.0.0: not there; would be written as {digest}",
        f"  {repository}:latest: {older.digest}; would be written as {digest}",
        "  provenance of commit abc123d: not there; would be written",
        "Would re-tag hello_python v1.0.0 through registry",
    ]
    assert [(tag.tag, tag.before, tag.after) for tag in record.tags] == [
        ("abc123def", digest, digest),
        ("v1.0.0", None, digest),
        ("latest", older.digest, digest),
    ]


def test_a_dry_run_ends_as_the_release_would_where_a_guard_says_no(published: House, proxy: FaultProxy) -> None:
    published.publish(published.maker.index("other"), "v1.0.0")
    refused(published, proxy, Exit.REFUSED, dry_run=True)
    published.shelf.refusal = Refused("Refused to build", "the tree has changes", "Commit first.")
    refused(published, proxy, Exit.REFUSED, dry_run=True, commit="def456abc", version="v1.0.1")


# The record


def test_the_record_says_what_was_done(house: House) -> None:
    image = house.shelf.image
    house.publish(house.maker.index("older"), "latest")
    built = house.release("v1.0.0").to_json()
    assert list(built) == [
        *("app", "version", "commit", "repository", "registries", "digest", "artifact_digest", "platforms", "tags"),
        "copies",
        *("provenance", "verdict", "path", "engine", "dry_run", "requests", "writes", "blobs", "bytes", "seconds"),
        "error",
    ]
    assert (built["app"], built["version"], built["commit"]) == ("hello_python", "v1.0.0", COMMIT)
    assert (built["repository"], built["digest"]) == (str(house.repository), image.digest)
    assert built["platforms"] == {str(child.platform): child.digest for child in image.manifests}
    assert (built["verdict"], built["path"], built["engine"], built["dry_run"]) == ("absent", "build", None, False)
    assert built["tags"][1] == {
        "tag": "v1.0.0",
        "kind": "version",
        "before": None,
        "after": image.digest,
        "step": "write",
    }
    assert built["tags"][2]["before"] != image.digest == built["tags"][2]["after"]
    # The layer that all images share was there; each platform's own one and its config were not.
    assert built["blobs"]["uploaded"] + built["blobs"]["present"] == 5
    assert built["bytes"] > 0
    assert built["seconds"] > 0

    retagged = house.release("v1.0.1").to_json()
    assert (retagged["verdict"], retagged["path"], retagged["engine"]) == ("present", "retag", "registry")
    assert retagged["blobs"] == {"uploaded": 0, "mounted": 0, "present": 0}
    assert retagged["platforms"] == built["platforms"]
