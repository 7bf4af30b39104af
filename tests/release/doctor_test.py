"""What the doctor says of registries that differ, and that it leaves them as they were."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from release import doctor_cli
from release.doctor import PROBE_TAG
from release.known_registries import known_of
from tests.release.house import House
from tests.support.fault_proxy import Answer, Fault, FaultProxy, error_answer
from tests.support.registry import PASSWORD, USER, LocalRegistry
from tools.oci.client import RegistryClient
from tools.oci.manifest import OCI_INDEX
from tools.oci.reference import Repository

PROGRAM = [sys.executable, str(Path(doctor_cli.__file__).resolve())]
SECRET = "hidden-in-plain-sight"
NEEDS_WRITE = ["push", "blob upload", "blob mount", "immutable tags", "tag deletion", "manifest deletion"]


@dataclass(frozen=True, slots=True)
class Told:
    """What a call of the doctor said."""

    status: int
    log: str
    report: dict[str, Any]

    def answers(self) -> dict[str, str]:
        """The answers of what was tried."""
        return {each["capability"]: each["answer"] for each in self.report["findings"] if each["tried"]}

    def words(self, capability: str) -> str:
        """What was found, and what it means."""
        (finding,) = (each for each in self.report["findings"] if each["capability"] == capability)
        return f"{finding['found']} -> {finding['means']}"


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}


def doctor(*arguments: str | Repository) -> Told:
    """Call the program. All that it says is searched for secrets."""
    outcome = subprocess.run(
        [*PROGRAM, *map(str, arguments), "--json", "-"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in outcome.stderr, outcome.stderr
    for secret in (SECRET, PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()):
        assert secret not in outcome.stderr + outcome.stdout
    return Told(outcome.returncode, outcome.stderr, json.loads(outcome.stdout) if outcome.stdout else {})


def log_in(registry: str, user: str = USER, password: str = PASSWORD) -> Path:
    """Write Docker's configuration."""
    file = Path(os.environ["DOCKER_CONFIG"]) / "config.json"
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    file.write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    return file


def test_by_itself_it_only_reads(house: House, registry: LocalRegistry) -> None:
    house.publish(house.shelf.image, "v1.0.0", "latest")
    registry.forget_requests()
    told = doctor(house.repository)
    assert told.status == 0, told.log
    assert told.answers() == {
        "connection": "yes",
        "login": "yes",
        "pull": "yes",
        "digests by HEAD": "yes",
        "referrers": "no",
        "rate limits": "no",
    }
    assert told.words("pull").startswith("2 tags")
    assert "HEAD of latest" in told.words("digests by HEAD")
    assert f"Not tried, since it takes a write: {', '.join(NEEDS_WRITE)}. --write tries it." in told.log
    requests = registry.requests()
    assert len(requests) == told.report["requests"] <= 4
    assert not [request for request in requests if request.is_write]


def test_a_probe_finds_out_the_rest_and_leaves_nothing(house: House, registry: LocalRegistry) -> None:
    house.publish(house.shelf.image, "v1.0.0", "latest")
    before = house.tags()
    registry.forget_requests()
    told = doctor(house.repository, "--write")
    assert told.status == 0, told.log
    assert told.answers() == {
        "connection": "yes",
        "login": "yes",
        "pull": "yes",
        "push": "yes",
        "blob upload": "yes",
        "blob mount": "unknown",
        "digests by HEAD": "yes",
        "referrers": "no",
        "immutable tags": "no",
        "tag deletion": "no",
        "manifest deletion": "yes",
        "rate limits": "no",
    }
    assert told.log.splitlines()[-1] == "A release can go there"
    assert house.tags() == before
    assert told.report["left"] == []
    written = [request for request in registry.requests() if request.is_write]
    assert written
    for request in written:
        kept = any(digest in request.path for digest in (house.shelf.image.digest, *house.shelf.maker.paths))
        assert not kept, request
        assert not any(f"/manifests/{tag}" in request.path for tag in before), request


def test_a_repository_that_is_not_there_yet_is_no_obstacle(repository: Repository) -> None:
    told = doctor(repository)
    assert told.status == 0
    assert "not there yet" in told.words("pull")
    assert "a push has to be able to create it" in told.words("pull")
    assert doctor(repository, "--write").status == 0


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[LocalRegistry]:
    """A registry with basic authentication."""
    with LocalRegistry(tmp_path / "locked", login=True) as registry:
        yield registry


def test_a_login_is_named_by_where_it_was_found(locked: LocalRegistry) -> None:
    repository = locked.repository("demo/app")
    nobody = doctor(repository, "--write")
    assert nobody.status == 1
    assert nobody.answers()["login"] == "no"
    assert "docker login" in nobody.words("login")
    assert nobody.log.splitlines()[-1] == "A release cannot go there: login"
    assert nobody.report["wrote"] is False

    file = log_in(locked.address, password=SECRET)
    wrong = doctor(repository)
    assert (wrong.status, wrong.answers()["login"]) == (1, "no")
    assert f"with the login in auths of {file}" in wrong.words("login")

    log_in(locked.address)
    told = doctor(repository, "--write")
    assert told.status == 0, told.log
    assert told.words("login").startswith(f"basic, by the login in auths of {file}")


def test_a_credential_helper_is_named(locked: LocalRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "bin" / "docker-credential-vault"
    helper.parent.mkdir()
    helper.write_text(f"#!/bin/sh\necho '{json.dumps({'Username': USER, 'Secret': PASSWORD})}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(helper.parent), prepend=os.pathsep)
    (Path(os.environ["DOCKER_CONFIG"]) / "config.json").write_text('{"credsStore": "vault"}')
    assert "docker-credential-vault" in doctor(locked.repository("demo/app")).words("login")


def test_a_token_that_says_what_it_allows_answers_without_a_write(proxy: FaultProxy, repository: Repository) -> None:
    proxy.require_token({"reader": SECRET, USER: PASSWORD}, readers=frozenset({"reader"}), opaque=False)
    log_in(proxy.address)
    may = doctor(repository)
    assert (may.status, may.answers()["push"]) == (0, "yes")
    assert "bearer, by the login in" in may.words("login")
    assert "the token grants pull" in may.words("login")

    log_in(proxy.address, "reader", SECRET)
    proxy.forget_requests()
    may_not = doctor(repository, "--write")
    assert (may_not.status, may_not.answers()["push"]) == (1, "no")
    assert "gives one for: pull" in may_not.words("push")
    assert {seen.method for seen in proxy.requests()} <= {"GET", "HEAD"}
    assert may_not.log.splitlines()[-1] == "A release cannot go there: push"


def test_with_an_opaque_token_only_a_write_tells(proxy: FaultProxy, repository: Repository) -> None:
    proxy.require_token({"reader": SECRET}, readers=frozenset({"reader"}))
    log_in(proxy.address, "reader", SECRET)
    told = doctor(repository)
    assert told.status == 0
    assert "push" not in told.answers()
    assert "whether one may push is not known" in told.log
    assert doctor(repository, "--write").words("push").count("401") == 1
    assert doctor(repository, "--write").status == 1


def test_who_may_write_by_token_may_probe(proxy: FaultProxy, house: House) -> None:
    proxy.require_token({USER: PASSWORD})
    log_in(proxy.address)
    told = doctor(house.repository, "--write")
    assert told.status == 0, told.log
    assert told.answers()["manifest deletion"] == "yes"
    assert house.tags() == {}


def test_a_registry_that_is_read_only_takes_no_release(tmp_path: Path, house: House) -> None:
    with LocalRegistry(tmp_path / "read-only", read_only=True) as registry:
        told = doctor(registry.repository("demo/app"), "--write")
    assert told.status == 1
    assert "405" in told.words("push")
    assert told.report["left"] == []


def test_immutable_tags_mean_that_latest_cannot_move(proxy: FaultProxy, house: House) -> None:
    proxy.make_tags_immutable()
    told = doctor(house.repository, "--write")
    assert (told.status, told.answers()["immutable tags"]) == (0, "yes")
    assert "the same digest again is refused, too" in told.words("immutable tags")
    assert told.words("immutable tags").endswith(
        "latest cannot move: the registry makes tags immutable; leave latest out with --latest never"
    )
    assert house.tags() == {}


def test_what_cannot_be_deleted_is_said_and_does_not_grow(proxy: FaultProxy, house: House) -> None:
    proxy.make_tags_immutable()
    proxy.inject(Fault(method="DELETE", times=0, answer=error_answer(405, "UNSUPPORTED", "not here")))
    first = doctor(house.repository, "--write")
    assert first.status == 0
    assert (first.answers()["tag deletion"], first.answers()["manifest deletion"]) == ("no", "no")
    kinds = [left.split()[0] for left in first.report["left"]]
    assert sorted(kinds) == ["blob", "manifest", "manifest", "tag"]
    assert all(f"Left behind: {left}" in first.log for left in first.report["left"])
    kept = house.tags()
    assert set(kept) == {PROBE_TAG}

    second = doctor(house.repository, "--write")
    assert second.answers()["immutable tags"] == "yes"
    assert house.tags() == kept

    proxy.heal()
    third = doctor(house.repository, "--write")
    assert third.report["left"] == []
    assert house.tags() == {}


def test_a_tag_of_that_name_that_is_somebody_elses_is_left_alone(house: House, registry: LocalRegistry) -> None:
    house.publish(house.shelf.image, PROBE_TAG)
    registry.forget_requests()
    told = doctor(house.repository, "--write")
    assert told.status == 3
    assert "is not what a probe has left" in told.log
    assert not [request for request in registry.requests() if request.is_write]


def test_a_tag_that_cannot_be_read_is_left_alone(proxy: FaultProxy, house: House, registry: LocalRegistry) -> None:
    proxy.inject(Fault(path=PROBE_TAG, times=0, answer=Answer(200, {"Content-Type": "text/html"}, b"<html>")))
    told = doctor(house.repository, "--write")
    assert (told.status, told.answers()["push"]) == (0, "unknown")
    assert not [request for request in registry.requests() if request.is_write]


def test_a_registry_that_deletes_the_image_with_its_tag_is_told_apart(
    proxy: FaultProxy, repository: Repository, registry: LocalRegistry
) -> None:
    def with_its_manifest(_: Answer) -> Answer:
        with RegistryClient(registry.address) as client:
            behind = registry.repository(repository.path)
            client.delete_manifest(behind.digest(client.get_manifest(behind.tag(PROBE_TAG)).digest))
        return Answer(202)

    proxy.inject(Fault(method="DELETE", path=PROBE_TAG, change=with_its_manifest))
    told = doctor(repository, "--write")
    assert told.answers()["tag deletion"] == "yes"
    assert "who deletes a tag deletes the image with all its other tags" in told.words("tag deletion")
    assert told.report["left"] == []


def test_a_deletion_that_does_nothing_is_seen(proxy: FaultProxy, repository: Repository) -> None:
    proxy.inject(Fault(method="DELETE", path=PROBE_TAG, answer=Answer(202)))
    assert doctor(repository, "--write").answers()["tag deletion"] == "no"


def test_a_registry_that_lists_referrers_is_seen_to_do_it(proxy: FaultProxy, repository: Repository) -> None:
    proxy.list_referrers()
    told = doctor(repository, "--write")
    assert told.answers()["referrers"] == "yes"
    assert "what was written was listed at once" in told.words("referrers")


def test_a_list_that_stays_empty_is_no_list(proxy: FaultProxy, repository: Repository) -> None:
    empty = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    proxy.inject(Fault(path="/referrers/", times=0, answer=Answer(200, {"Content-Type": OCI_INDEX}, empty)))
    assert doctor(repository).answers()["referrers"] == "yes"
    told = doctor(repository, "--write")
    assert told.answers()["referrers"] == "no"
    assert "sha256-HEX" in told.words("referrers")


def test_a_manifest_with_a_subject_may_be_refused(proxy: FaultProxy, repository: Repository) -> None:
    proxy.inject(
        Fault(method="PUT", path="/manifests/sha256:", times=0, answer=error_answer(405, "UNSUPPORTED", "no subjects"))
    )
    assert "--no-provenance" in doctor(repository, "--write").words("referrers")


def test_a_blob_is_mounted_from_where_one_is_told(house: House, repository: Repository) -> None:
    house.publish(house.shelf.image, "v1.0.0")
    into = Repository(repository.registry, f"{repository.path}-other")
    told = doctor(into, "--write", "--mount-from", repository)
    assert told.answers()["blob mount"] == "yes"
    (left,) = told.report["left"]
    assert left.startswith("blob sha256:")
    digest = left.split()[1]
    assert house.client.blob_exists(house.direct, digest)
    assert house.client.blob_exists(Repository(house.client.registry, into.path), digest)


def test_a_registry_that_does_not_mount_is_told_apart(house: House, proxy: FaultProxy, repository: Repository) -> None:
    house.publish(house.shelf.image, "v1.0.0")
    proxy.inject(Fault(method="POST", path="mount=", times=0, answer=error_answer(405, "UNSUPPORTED")))
    into = Repository(repository.registry, f"{repository.path}-other")
    told = doctor(into, "--write", "--mount-from", repository)
    assert (told.status, told.answers()["blob mount"]) == (0, "no")
    assert told.report["left"] == []


def test_a_head_without_a_digest_costs_a_get(proxy: FaultProxy, house: House) -> None:
    house.publish(house.shelf.image, "v1.0.0")

    def without(answer: Answer) -> Answer:
        kept = {name: value for name, value in answer.headers.items() if name.lower() != "docker-content-digest"}
        return Answer(answer.status, kept, answer.body)

    proxy.inject(Fault(method="HEAD", times=0, change=without))
    told = doctor(house.repository)
    assert told.answers()["digests by HEAD"] == "no"
    assert "lacks Docker-Content-Digest" in told.words("digests by HEAD")


def test_limits_that_the_registry_tells_are_passed_on(proxy: FaultProxy, house: House) -> None:
    house.publish(house.shelf.image, "v1.0.0")
    limits = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}
    proxy.inject(
        Fault(method="HEAD", times=0, change=lambda answer: Answer(answer.status, {**answer.headers, **limits}))
    )
    told = doctor(house.repository)
    assert told.words("rate limits").startswith("RateLimit-Limit: 100;w=21600, RateLimit-Remaining: 76;w=21600 ->")


def test_a_transient_refusal_is_not_taken_for_immutable_tags(proxy: FaultProxy, repository: Repository) -> None:
    busy = error_answer(503, "UNAVAILABLE", "busy", Retry_After="3600")
    proxy.inject(Fault(method="PUT", path=PROBE_TAG, skip=2, times=0, answer=busy))
    told = doctor(repository, "--write")
    assert told.answers()["immutable tags"] == "unknown"
    assert "busy" in told.words("immutable tags")


def test_a_registry_that_nobody_answers_at_ends_with_its_own_status() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        told = doctor(f"127.0.0.1:{probe.getsockname()[1]}/demo/app", "--write")
    assert told.status == 4
    assert told.answers() == {"connection": "no"}
    assert told.log.splitlines()[-1] == "A release cannot go there: connection"


def test_plain_http_elsewhere_is_no_connection(registry: LocalRegistry) -> None:
    # 0.0.0.0 reaches this machine, and is no address of it: to the client it is any host in the network.
    with FaultProxy(registry.address, host="0.0.0.0") as proxy:
        assert doctor(proxy.repository("demo/app")).status == 4
        told = doctor(proxy.repository("demo/app"), "--insecure")
    assert told.status == 0
    assert "whoever is on the way can read passwords" in told.words("connection")


def test_what_is_no_registry_is_told(proxy: FaultProxy, repository: Repository) -> None:
    proxy.inject(Fault(times=0, answer=Answer(404, {"Content-Type": "text/html"}, b"<html>")))
    told = doctor(repository)
    assert told.answers()["connection"] == "unknown"
    assert told.status == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument"),
        (["app"], "it has no path after the registry"),
        (["https://ghcr.io/acme/app"], "a registry is HOST or HOST:PORT"),
        (["127.0.0.1:1/a", "--mount-from", "127.0.0.1:2/b"], "another repository of 127.0.0.1:1"),
        (["127.0.0.1:1/a", "--mount-from", "127.0.0.1:1/a"], "another repository of 127.0.0.1:1"),
    ],
)
def test_a_wrong_call_is_told_from_a_failure(arguments: Sequence[str], words: str) -> None:
    told = doctor(*arguments)
    assert (told.status, told.report) == (2, {})
    assert words in told.log


def test_a_report_goes_to_a_file_and_the_table_to_people(repository: Repository, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    outcome = subprocess.run(
        [*PROGRAM, str(repository), "--json", str(file)], env=environment(), capture_output=True, text=True, check=False
    )
    assert (outcome.returncode, outcome.stdout) == (0, "")
    assert outcome.stderr.startswith(f"{repository}\n  connection         yes      http://")
    assert json.loads(file.read_text())["ready"] is True


def test_an_interrupted_probe_deletes_what_it_wrote(proxy: FaultProxy, house: House) -> None:
    proxy.latency = 0.3
    victim = subprocess.Popen(
        [*PROGRAM, str(house.repository), "--write"], env=environment(), stderr=subprocess.PIPE, text=True
    )
    while not any(seen.method == "PUT" and PROBE_TAG in seen.path for seen in proxy.requests()):
        assert victim.poll() is None
        time.sleep(0.01)
    assert set(house.tags()) == {PROBE_TAG}
    victim.send_signal(signal.SIGTERM)
    said = victim.communicate(timeout=30)[1]
    assert victim.returncode == 143
    assert said.splitlines()[-1].startswith("Error: interrupted; ")
    assert house.tags() == {}


@pytest.mark.parametrize(
    ("registry", "words"),
    [
        ("ghcr.io", "makes it private"),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "12 hours"),
        ("public.ecr.aws", "creates no repository"),
        ("docker.io", "counts a GET of a manifest as a pull"),
        ("europe-west3-docker.pkg.dev", "PROJECT/REPOSITORY/IMAGE"),
        ("acme.azurecr.io", "locks single tags"),
        ("quay.io", "mounts a blob only"),
    ],
)
def test_what_is_known_of_a_registry_is_told_by_its_name(registry: str, words: str) -> None:
    assert any(words in note for note in known_of(registry, ""))


def test_what_merely_looks_like_a_known_registry_is_not_one() -> None:
    assert known_of("ghcr.io.evil.example", "") == known_of("registry.example", "") == ()


def test_harbor_is_known_by_its_token_service(proxy: FaultProxy, repository: Repository) -> None:
    challenge = 'Bearer realm="https://harbor.example/service/token",service="harbor-registry"'
    proxy.inject(Fault(path="^/v2/$", answer=error_answer(401, "UNAUTHORIZED", "no", WWW_Authenticate=challenge)))
    told = doctor(repository)
    assert any("robot accounts expire" in note for note in told.report["known"])
    assert "Known: Harbor" in told.log
