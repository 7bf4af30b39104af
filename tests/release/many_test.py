"""Several apps at once: side by side, with one build, and none stopped by another's failure."""

from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from release.config import Config
from release.errors import Refused
from release.flow import release_apps
from release.plan import Way
from release.record import Outcome
from release.request import EngineName, Request
from release.version import Version
from tests.release.house import COMMIT, NAMES, House, Shelves
from tests.release.record_schema import check_outcomes
from tests.support.fault_proxy import Fault, FaultProxy, error_answer
from tools.oci.errors import TagConflict
from tools.oci.publication import push_index
from tools.oci.reference import Repository


@dataclass(frozen=True, slots=True)
class Shop:
    """Three apps of a domain, and releases of them to the test's own owner."""

    house: House
    shelves: Shelves

    def release(self, version: str, *names: str) -> dict[str, Outcome]:
        house = self.house
        house.log.seek(0)
        house.log.truncate()
        owner = house.repository.path
        config = Config(registry=house.repository.registry, owner=owner, retry_seconds=house.retry_seconds)
        outside = house.outside(self.shelves)
        wanted = [
            (Request(app.name, Version.parse(version), COMMIT, engine=EngineName.REGISTRY), app)
            for app in self.shelves.apps(config)
            if app.name in (names or NAMES)
        ]
        outcomes = release_apps(wanted, config, outside)
        check_outcomes(outcomes)
        return {outcome.request.app: outcome for outcome in outcomes}

    def repository(self, name: str) -> Repository:
        """The repository of an app, not through the proxy."""
        return Repository(self.house.client.registry, f"{self.house.repository.path}/shop-{name}")

    def tags(self, name: str) -> dict[str, str]:
        """What the tags of an app's repository name."""
        client, repository = self.house.client, self.repository(name)
        found = {tag: client.head_manifest(repository.tag(tag)) for tag in client.list_tags(repository)}
        return {
            tag: descriptor.digest
            for tag, descriptor in found.items()
            if descriptor is not None and not tag.startswith("sha256-")
        }


@pytest.fixture
def shop(house: House) -> Shop:
    return Shop(house, Shelves(house.maker, {f"//{name}:image": house.maker.index(name) for name in NAMES}))


def digest(shop: Shop, name: str) -> str:
    return shop.shelves.images[f"//{name}:image"].digest


def test_what_has_to_be_built_is_built_by_one_call_and_the_rest_is_tagged(shop: Shop, proxy: FaultProxy) -> None:
    shop.release("v1.0.0", "cart")
    proxy.forget_requests()
    outcomes = shop.release("v1.1.0")
    assert [outcome.error for outcome in outcomes.values()] == [None] * 3
    assert shop.shelves.calls == [["//cart:image"], ["//checkout:image", "//stock:image"]]
    records = {name: outcome.record for name, outcome in outcomes.items()}
    assert {name: record.way for name, record in records.items() if record} == {
        "cart": Way.RETAG,
        "checkout": Way.BUILD,
        "stock": Way.BUILD,
    }
    for name in NAMES:
        tags = {COMMIT, "v1.1.0", "latest"} | ({"v1.0.0"} if name == "cart" else set())
        assert shop.tags(name) == dict.fromkeys(tags, digest(shop, name))
    # Each request counts for the app that it was made for, although they share a client.
    assert sum(record.traffic.total for record in records.values() if record) == len(proxy.requests())
    assert records["cart"] is not None
    assert records["cart"].traffic.writes == 1  # `latest` names it already


def test_a_layer_that_apps_share_travels_once(shop: Shop, proxy: FaultProxy) -> None:
    outcomes = shop.release("v1.0.0")
    sent = [urlsplit(each.path).query for each in proxy.requests() if each.method == "PUT" and "/blobs/" in each.path]
    assert len(sent) == len(set(sent))
    pushes = [outcome.record.push for outcome in outcomes.values() if outcome.record and outcome.record.push]
    # The makers' images have one layer in common, and provenance an empty config.
    assert sum(push.blobs_mounted for push in pushes) == 2


def test_every_line_says_which_app_it_is_about(shop: Shop) -> None:
    shop.release("v1.0.0")
    assert {line.partition(": ")[0] for line in shop.house.lines} == {f"shop-{name}" for name in NAMES}


def test_a_guard_that_says_no_to_one_app_stops_no_other(shop: Shop) -> None:
    shop.release("v1.0.0", "cart")
    other = shop.house.maker.index("another cart")
    client, repository = shop.house.client, shop.repository("cart")
    push_index(client, repository, other.descriptor, shop.house.maker.blobs)
    client.put_manifest(repository.tag("v1.1.0"), other.content, other.media_type)
    outcomes = shop.release("v1.1.0")
    assert isinstance(outcomes["cart"].error, TagConflict)
    assert shop.tags("cart") == {
        **dict.fromkeys((COMMIT, "v1.0.0", "latest"), digest(shop, "cart")),
        "v1.1.0": other.digest,
    }
    assert [name for name, outcome in outcomes.items() if outcome.record] == ["checkout", "stock"]


def test_a_build_that_fails_is_the_failure_of_its_app_alone(shop: Shop) -> None:
    shop.shelves.failing = frozenset({"//checkout:image"})
    outcomes = shop.release("v1.0.0")
    assert [name for name, outcome in outcomes.items() if outcome.error] == ["checkout"]
    assert shop.tags("checkout") == {}
    assert len(shop.shelves.calls) == 1

    shop.shelves.failing = frozenset()
    again = shop.release("v1.0.0")
    assert [outcome.error for outcome in again.values()] == [None] * 3
    assert shop.shelves.calls[1:] == [["//checkout:image"]]
    assert [outcome.record.traffic.writes for outcome in again.values() if outcome.record][::2] == [0, 0]


def test_where_nothing_may_be_built_the_rest_is_tagged(shop: Shop) -> None:
    shop.release("v1.0.0", "cart")
    shop.shelves.refusal = Refused("Refused to build", "another commit", "Check it out.")
    outcomes = shop.release("v1.1.0")
    assert [name for name, outcome in outcomes.items() if isinstance(outcome.error, Refused)] == ["checkout", "stock"]
    assert shop.tags("cart")["v1.1.0"] == digest(shop, "cart")


def test_a_registry_that_fails_for_one_app_is_no_matter_to_the_others(shop: Shop, proxy: FaultProxy) -> None:
    shop.release("v1.0.0")
    proxy.inject(Fault(path=".*/shop-stock/.*", answer=error_answer(403, "DENIED"), times=0))
    outcomes = shop.release("v1.1.0")
    assert [name for name, outcome in outcomes.items() if outcome.error] == ["stock"]
    assert {name: "v1.1.0" in shop.tags(name) for name in NAMES} == {"cart": True, "checkout": True, "stock": False}
