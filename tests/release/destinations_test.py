"""Further registries get the digest of the first one, whatever way it came there. Only required ones have to."""

from dataclasses import dataclass, field, replace

import pytest

from release.app import App
from release.config import Config
from release.destination import Destination
from release.errors import Refused, ReleaseError
from release.flow import release_apps
from release.plan import Way
from release.record import Outcome
from release.request import EngineName, Request
from release.version import Version
from tests.release.house import BOTH, COMMIT, House
from tests.release.record_schema import check_outcomes
from tests.support.fault_proxy import Fault, FaultProxy, error_answer
from tests.support.registry import LocalRegistry
from tools.oci.client import RegistryClient
from tools.oci.errors import OciError, TagConflict
from tools.oci.publication import push_index, rehearse_push
from tools.oci.reference import Repository

PATH = "demo-hello_python"
NOBODY = "127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Release:
    """Releases of hello_python to a first registry and to others, below the test's own owner."""

    house: House
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.house.repository.path

    def __call__(self, version: str, *further: Destination, dry_run: bool = False) -> Outcome:
        house = self.house
        house.log.seek(0)
        house.log.truncate()
        config = Config(
            registry=house.repository.registry,
            owner=self.owner,
            further=tuple(replace(each, owner=each.owner or self.owner) for each in further),
            retry_seconds=house.retry_seconds,
        )
        app = App("hello_python", "demo", "//a:image", BOTH, "//a:metadata")
        request = Request("hello_python", Version.parse(version), COMMIT, engine=EngineName.REGISTRY, dry_run=dry_run)
        outside = replace(house.outside(), environment=self.environment)
        (outcome,) = release_apps([(request, app)], config, outside)
        check_outcomes([outcome])
        return outcome

    def tags(self, registry: str) -> dict[str, str]:
        """What each tag names there."""
        with RegistryClient(registry, retry_for=0.5) as client:
            repository = self.repository(registry)
            return {
                tag: client.get_manifest(repository.tag(tag)).digest
                for tag in client.list_tags(repository)
                if not tag.startswith("sha256-")
            }

    def repository(self, registry: str) -> Repository:
        return Repository(registry, f"{self.owner}/{PATH}")

    @property
    def first(self) -> str:
        return self.house.client.registry


@pytest.fixture
def release(house: House) -> Release:
    return Release(house)


def names(release: Release, *versions: str) -> dict[str, str]:
    return dict.fromkeys([COMMIT, *versions, "latest"], release.house.shelf.image.digest)


def test_what_is_built_goes_to_every_registry_by_one_build(release: Release, second: FaultProxy) -> None:
    outcome = release("v1.0.0", Destination(second.address))
    assert outcome.error is None
    assert release.house.shelf.builds == 1
    assert release.tags(release.first) == release.tags(second.address) == names(release, "v1.0.0")
    assert outcome.record is not None
    (row,) = outcome.to_json()["copies"]
    assert (row["registry"], row["required"], row["error"]) == (second.address, True, None)
    assert row["digest"] == outcome.digest == release.house.shelf.image.digest
    assert [tag["tag"] for tag in row["tags"]] == [COMMIT, "v1.0.0", "latest"]


def test_what_is_there_already_is_copied_from_the_first_registry_without_a_build(
    release: Release, second: FaultProxy
) -> None:
    release("v1.0.0")
    outcome = release("v1.1.0", Destination(second.address))
    assert outcome.error is None
    assert release.house.shelf.builds == 1
    assert release.tags(release.first) == names(release, "v1.0.0", "v1.1.0")
    assert release.tags(second.address) == names(release, "v1.1.0")
    assert outcome.record is not None
    assert [copy.record.way for copy in outcome.record.copies if copy.record] == [Way.COPY]
    # Its provenance is there too, about the repository that it is in.
    with RegistryClient(second.address) as client:
        assert any(tag.startswith("sha256-") for tag in client.list_tags(release.repository(second.address)))

    second.forget_requests()
    again = release("v1.1.0", Destination(second.address))
    assert again.error is None
    assert [each.method for each in second.requests() if each.method not in ("GET", "HEAD")] == []


def test_an_optional_registry_that_fails_is_a_warning_and_a_row(release: Release) -> None:
    outcome = release("v1.0.0", Destination(NOBODY, required=False))
    assert outcome.error is None
    assert release.tags(release.first) == names(release, "v1.0.0")
    (row,) = outcome.to_json()["copies"]
    assert (row["registry"], row["required"], row["digest"]) == (NOBODY, False, None)
    assert "no answer from 127.0.0.1:9" in row["error"]["why"]
    assert any(f"Warning: not published to the optional registry {NOBODY}" in line for line in release.house.lines)


def test_a_registry_whose_variable_is_not_set_is_not_configured(release: Release, second: FaultProxy) -> None:
    optional = Destination("${MIRROR}", required=False)
    outcome = release("v1.0.0", optional)
    assert outcome.error is None
    (row,) = outcome.to_json()["copies"]
    assert (row["registry"], row["error"]["what"]) == ("${MIRROR}", "The registry ${MIRROR} is not configured")

    required = release("v1.1.0", replace(optional, required=True))
    assert isinstance(required.error, ReleaseError)
    assert release.tags(release.first) == names(release, "v1.0.0")

    release.environment["MIRROR"] = second.address
    assert release("v1.1.0", optional).error is None
    assert release.tags(second.address) == names(release, "v1.1.0")


@pytest.mark.parametrize("there", [False, True], ids=["built", "there already"])
def test_a_required_registry_that_does_not_answer_ends_a_release_before_anything_is_written(
    release: Release, there: bool
) -> None:
    if there:
        release("v1.0.0")
    before = release.tags(release.first) if there else {}
    outcome = release("v1.1.0", Destination(NOBODY))
    assert isinstance(outcome.error, OciError)
    assert outcome.record is None
    assert (release.tags(release.first) if there else {}) == before


def test_a_version_that_a_required_registry_has_of_another_image_is_written_nowhere(
    release: Release, second: FaultProxy, second_registry: LocalRegistry
) -> None:
    release("v1.0.0")
    other = release.house.maker.index("another")
    with RegistryClient(second_registry.address) as client:
        repository = release.repository(second_registry.address)
        push_index(client, repository, other.descriptor, release.house.maker.blobs)
        client.put_manifest(repository.tag("v1.1.0"), other.content, other.media_type)
    outcome = release("v1.1.0", Destination(second.address))
    assert isinstance(outcome.error, TagConflict | Refused)
    assert release.tags(release.first) == names(release, "v1.0.0")
    assert release.tags(second.address) == {"v1.1.0": other.digest}


def test_a_required_registry_that_breaks_fails_the_run_which_the_same_command_finishes(
    release: Release, second: FaultProxy
) -> None:
    second.inject(Fault(method="PUT", path=".*/manifests/v1.0.0", answer=error_answer(403, "DENIED"), times=0))
    outcome = release("v1.0.0", Destination(second.address))
    assert isinstance(outcome.error, OciError)
    assert outcome.record is not None
    assert release.tags(release.first) == names(release, "v1.0.0")
    assert release.tags(second.address) == {COMMIT: release.house.shelf.image.digest}
    entry = outcome.to_json()
    assert entry["error"]["what"] == entry["copies"][0]["error"]["what"]

    second.heal()
    assert release("v1.0.0", Destination(second.address)).error is None
    assert release.tags(second.address) == names(release, "v1.0.0")
    assert release.house.shelf.builds == 1


def test_what_a_push_would_send_is_known_beforehand(release: Release, second: FaultProxy) -> None:
    maker, repository = release.house.maker, release.repository(second.address)
    with RegistryClient(second.address) as client:
        # The client knows of the second one where the layer is that all images share.
        for name, mounted in (("first", 0), ("second", 1)):
            image, place = maker.index(name), Repository(second.address, f"{repository.path}/{name}")
            second.forget_requests()
            plan = rehearse_push(client, place, image.descriptor, maker.blobs)
            assert {each.method for each in second.requests()} <= {"GET", "HEAD"}
            assert (plan.blobs_mounted, plan.blobs_uploaded) == (mounted, 5 - mounted)
            second.forget_requests()
            assert push_index(client, place, image.descriptor, maker.blobs) == plan
            assert len(second.requests()) == plan.requests
            there = rehearse_push(client, place, image.descriptor, maker.blobs)
            assert (there.requests, there.bytes_uploaded) == (3, 0)


def test_a_dry_run_says_what_would_be_sent_to_a_further_registry(release: Release, second: FaultProxy) -> None:
    release("v1.0.0")
    second.forget_requests()
    rehearsal = release("v1.1.0", Destination(second.address), dry_run=True)
    check_outcomes([rehearsal])
    assert rehearsal.error is None
    assert {each.method for each in second.requests()} <= {"GET", "HEAD"}
    (line,) = (line for line in release.house.lines if " sent (" in line)
    (planned,) = rehearsal.to_json()["copies"]
    assert f"sent ({planned['bytes']} bytes)" in line
    (done,) = release("v1.1.0", Destination(second.address)).to_json()["copies"]
    assert planned == done
    assert done["blobs"] == {"uploaded": 5, "mounted": 0, "present": 0}


def test_what_a_build_would_send_is_not_guessed_by_a_dry_run(release: Release, second: FaultProxy) -> None:
    outcome = release("v1.0.0", Destination(second.address), dry_run=True)
    check_outcomes([outcome])
    entry = outcome.to_json()
    assert "What would be sent is not known before the build" in release.house.lines
    (row,) = entry["copies"]
    assert (entry["blobs"], entry["bytes"], row["digest"], row["blobs"], row["bytes"]) == (None,) * 5
    assert [tag["step"] for tag in row["tags"]] == ["write"] * 3


@pytest.mark.parametrize("required", [True, False])
def test_a_dry_run_fails_as_the_release_would_only_for_required_registries(release: Release, required: bool) -> None:
    release("v1.0.0")
    outcome = release("v1.1.0", Destination(NOBODY, required=required), dry_run=True)
    assert isinstance(outcome.error, OciError) is required
    assert outcome.to_json()["copies"][0]["error"]["why"]
    assert any("Warning: not published to the" in line for line in release.house.lines)
