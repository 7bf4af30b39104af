"""What `inspect` says of images in registries, what it costs to ask, and with which status it ends."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from release import inspect_cli
from release.app import App
from release.config import Config
from release.destination import Destination
from release.errors import Exit
from release.holdings import Stock, take_stock
from release.holdings_report import exit_status, holdings_document, holdings_lines
from release.request import Question
from release.version import Version
from tests.release.house import BOTH, COMMIT, House
from tests.support.fault_proxy import Fault, FaultProxy, error_answer
from tests.support.registry import LocalRegistry
from tools.oci.client import RegistryClient
from tools.oci.inspection import Verdict
from tools.oci.manifest import ImageIndex
from tools.oci.publication import push_index
from tools.oci.reference import Repository

NOBODY = "127.0.0.1:9"
CART, CHECKOUT = (App(name, "shop", f"//{name}:image", BOTH, f"//{name}:metadata") for name in ("cart", "checkout"))
OPTIONAL = Destination("${MIRROR}", required=False)


@dataclass(frozen=True, slots=True)
class Look:
    """Questions about apps, in repositories below the test's own owner."""

    house: House
    second_registry: LocalRegistry
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(
        self,
        *further: Destination,
        apps: Sequence[App] = (CART,),
        commit: str | None = COMMIT,
        version: str | None = None,
        versions: int = 10,
    ) -> Stock:
        house = self.house
        config = Config(
            registry=house.repository.registry,
            owner=house.repository.path,
            further=tuple(replace(each, owner=house.repository.path) for each in further),
            retry_seconds=house.retry_seconds,
        )
        question = Question("", Version.parse(version) if version else None, commit)
        wanted = [(replace(question, app=app.name), app) for app in apps]
        return take_stock(wanted, config, replace(house.outside(), environment=self.environment), versions)

    def put(self, image: ImageIndex, *tags: str, app: App = CART, second: bool = False) -> None:
        """Publish an image in the first or second registry."""
        with RegistryClient(self.second_registry.address if second else self.house.client.registry) as client:
            repository = Repository(client.registry, f"{self.house.repository.path}/{app.full_name}")
            push_index(client, repository, image.descriptor, self.house.maker.blobs)
            for tag in tags:
                client.put_manifest(repository.tag(tag), image.content, image.media_type)

    def image(self, content: str = "first") -> ImageIndex:
        return self.house.maker.index(content)


@pytest.fixture
def look(house: House, second_registry: LocalRegistry) -> Look:
    return Look(house, second_registry)


def verdicts(stock: Stock) -> list[str]:
    return [finding.verdict.value for app in stock.apps for each in app.holdings for finding in each.findings]


def status(stock: Stock) -> Exit:
    """The exit status, which the document has too."""
    found = exit_status(stock.apps)
    assert json.loads(holdings_document(stock))["exit_status"] == found
    return found


def test_an_image_that_is_in_every_registry_is_told_with_all_of_its_tags(look: Look, second: FaultProxy) -> None:
    image = look.image()
    look.put(image, COMMIT, "v1.0.0", "latest", "unrelated")
    look.put(image, COMMIT, "v1.0.0", "latest", second=True)
    stock = look(Destination(second.address))
    assert verdicts(stock) == ["present", "present"]
    assert status(stock) is Exit.DONE
    lines = list(holdings_lines(stock))
    assert lines[0] == "shop-cart"
    assert lines[3] == f"  {image.digest}"
    assert [line.split()[1:] for line in lines[4:6]] == [["complete", f"{COMMIT},", "latest,", "v1.0.0"]] * 2
    assert lines[6:] == ["present in every required registry, as one image"]


def test_where_registries_differ_is_pointed_out(look: Look, second: FaultProxy) -> None:
    old, new = look.image("old"), look.image("new")
    look.put(old, "v1.0.0")
    look.put(new, COMMIT, "v1.1.0", "latest")
    look.put(old, "v1.0.0", "latest", second=True)
    look.put(new, COMMIT, second=True)
    stock = look(Destination(second.address))
    assert status(stock) is Exit.DONE  # The commit's image is there.
    first, other = (str(holding.place) for holding in stock.apps[0].holdings)
    document = json.loads(holdings_document(stock))["apps"][0]
    assert document["differences"] == [
        {
            "tag": "latest",
            "names": [
                {"digest": new.digest, "repositories": [first]},
                {"digest": old.digest, "repositories": [other]},
            ],
        },
        {
            "tag": "v1.1.0",
            "names": [{"digest": new.digest, "repositories": [first]}, {"digest": None, "repositories": [other]}],
        },
    ]
    assert [
        (image["digest"], [(each["repository"], each["verdict"], each["tags"]) for each in image["registries"]])
        for image in document["images"]
    ] == [
        (new.digest, [(first, "present", [COMMIT, "latest", "v1.1.0"]), (other, "present", [COMMIT])]),
        (old.digest, [(first, "present", ["v1.0.0"]), (other, "present", ["latest", "v1.0.0"])]),
    ]
    text = "\n".join(holdings_lines(stock))
    assert f"latest differs: {new.digest[:19]} in {first}; {old.digest[:19]} in {other}\n" in text
    assert f"v1.1.0 differs: {new.digest[:19]} in {first}; not there in {other}\n" in text


def test_the_commit_is_not_there_where_the_repository_is_not(look: Look) -> None:
    stock = look()
    assert verdicts(stock) == ["absent"]
    assert status(stock) is Exit.REFUSED


def test_an_image_without_a_platform_is_incomplete_under_each_of_its_tags(look: Look) -> None:
    half = look.house.maker.index("half", ["linux/amd64"])
    look.put(half, "v1.0.0", "latest")
    look.put(look.image(), COMMIT)
    stock = look()
    assert status(stock) is Exit.DONE
    images = json.loads(holdings_document(stock))["apps"][0]["images"]
    assert [(each["digest"], each["registries"][0]["verdict"]) for each in images] == [
        (look.image().digest, "present"),
        (half.digest, "incomplete"),
    ]
    assert "expected is linux/amd64, linux/arm64" in images[1]["registries"][0]["reason"]

    latest = look(commit=None)
    assert verdicts(latest) == ["incomplete"]
    assert status(latest) is Exit.REFUSED


def test_a_registry_that_does_not_answer_is_unknown_and_the_others_are_told(look: Look) -> None:
    look.put(look.image(), COMMIT, "latest")
    stock = look(Destination(NOBODY))
    assert verdicts(stock) == ["present", "unknown"]
    assert status(stock) is Exit.UNASKED
    assert stock.apps[0].differences == ()
    text = "\n".join(holdings_lines(stock))
    assert "no answer from 127.0.0.1:9" in text
    assert text.endswith("\nunknown: shop-cart")


def test_without_a_list_of_tags_the_version_that_is_named_and_latest_are_told(look: Look, proxy: FaultProxy) -> None:
    image = look.image()
    look.put(image, COMMIT, "v1.0.0", "v0.9.0", "latest")
    proxy.inject(Fault(path=".*/tags/list.*", answer=error_answer(403, "DENIED"), times=0))
    stock = look(version="v1.0.0")
    assert status(stock) is Exit.DONE
    assert stock.apps[0].holdings[0].tags == dict.fromkeys((COMMIT, "v1.0.0", "latest"), image.digest)


@pytest.mark.parametrize(("required", "expected"), [(True, Exit.REFUSED), (False, Exit.DONE)])
def test_only_required_registries_decide(look: Look, second: FaultProxy, required: bool, expected: Exit) -> None:
    look.put(look.image(), COMMIT)
    stock = look(Destination(second.address, required=required))
    assert verdicts(stock) == ["present", "absent"]
    assert status(stock) is expected


@pytest.mark.parametrize(("required", "expected"), [(True, Exit.UNASKED), (False, Exit.DONE)])
def test_a_registry_that_is_not_configured_is_unknown(look: Look, required: bool, expected: Exit) -> None:
    look.put(look.image(), COMMIT)
    stock = look(replace(OPTIONAL, required=required))
    assert verdicts(stock) == ["present", "unknown"]
    assert status(stock) is expected
    assert "${MIRROR} is not configured" in "\n".join(holdings_lines(stock))


def test_a_registry_is_found_by_its_variable(look: Look, second: FaultProxy) -> None:
    look.put(look.image(), COMMIT, second=True)
    look.environment["MIRROR"] = second.address
    assert verdicts(look(OPTIONAL)) == ["absent", "present"]


def test_a_version_that_is_another_image_than_the_commit_is_no_success(look: Look) -> None:
    look.put(look.image("old"), "v1.0.0")
    look.put(look.image("new"), COMMIT)
    stock = look(version="v1.0.0")
    assert verdicts(stock) == ["present", "present"]
    assert status(stock) is Exit.REFUSED
    assert any(f"{COMMIT} and v1.0.0 are different images" in line for line in holdings_lines(stock))


def test_a_commit_that_is_another_image_in_another_registry_is_no_success(look: Look, second: FaultProxy) -> None:
    look.put(look.image("one"), COMMIT)
    look.put(look.image("another"), COMMIT, second=True)
    stock = look(Destination(second.address))
    assert status(stock) is Exit.REFUSED
    assert list(holdings_lines(stock))[-1] == "not one image: shop-cart"


def test_of_several_apps_the_worst_decides(look: Look, proxy: FaultProxy) -> None:
    look.put(look.image(), COMMIT)
    stock = look(apps=(CART, CHECKOUT))
    assert [app.verdict for app in stock.apps] == [Verdict.PRESENT, Verdict.ABSENT]
    assert status(stock) is Exit.REFUSED
    proxy.inject(Fault(path=".*/shop-cart/.*", answer=error_answer(403, "DENIED"), times=0))
    stock = look(apps=(CART, CHECKOUT))
    assert [app.verdict for app in stock.apps] == [Verdict.UNKNOWN, Verdict.ABSENT]
    assert status(stock) is Exit.UNASKED


def test_the_newest_versions_are_looked_at_and_the_same_ones_everywhere(look: Look, second: FaultProxy) -> None:
    image = look.image()
    look.put(image, COMMIT, "v1.9.0", "v1.10.0", "v2.0.0", "v2.0.0-rc.1")
    look.put(image, COMMIT, "v1.9.0", "v1.10.0", second=True)
    (app,) = look(Destination(second.address), versions=2).apps
    assert app.tags == (COMMIT, "latest", "v2.0.0", "v2.0.0-rc.1")
    assert app.older == 2
    assert [difference.tag for difference in app.differences] == ["v2.0.0", "v2.0.0-rc.1"]


def test_the_number_of_requests_is_bounded_by_versions_and_not_by_tags(
    look: Look, proxy: FaultProxy, second: FaultProxy
) -> None:
    image, old = look.image(), look.image("old")
    for app in (CART, CHECKOUT):
        for behind in (False, True):
            look.put(image, COMMIT, "latest", "v9.0.0", app=app, second=behind)
            look.put(old, *(f"v1.{minor}.0" for minor in range(30)), app=app, second=behind)
    stock = look(Destination(second.address), apps=(CART, CHECKOUT), versions=3)
    assert status(stock) is Exit.DONE
    assert [app.older for app in stock.apps] == [28, 28]
    for asked in (proxy.requests(), second.requests()):
        assert {each.method for each in asked} <= {"GET", "HEAD"}
        paths = Counter(urlsplit(each.path).path.removeprefix("/v2/").partition("shop-")[2] for each in asked)
        for name in (CART.name, CHECKOUT.name):
            assert paths[f"{name}/tags/list"] == 1
            # The commit's index with two children; latest and three versions; the old index with two children.
            assert sum(count for path, count in paths.items() if path.startswith(f"{name}/manifests/")) == 3 + 4 + 3
    assert stock.requests == len(proxy.requests()) + len(second.requests()) == 2 * 2 * (1 + 10)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder that is in no workspace."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The program, as it is started."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BUILD_", "GITHUB_"))}
    environment = {**kept, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1", "PWD": str(folder)}
    program = [sys.executable, str(Path(inspect_cli.__file__).resolve())]
    return subprocess.run(
        [*program, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_table_is_for_people_and_standard_output_for_machines(house: House, elsewhere: Path) -> None:
    house.publish(house.shelf.image, COMMIT, "latest")
    arguments = ["hello_python", "--commit", COMMIT, "--repository", str(house.repository)]
    outcome = call(elsewhere, *arguments)
    assert (outcome.returncode, outcome.stdout) == (0, ""), outcome.stderr
    assert house.shelf.image.digest in outcome.stderr
    outcome = call(elsewhere, "hello_python", "v1.0.0", *arguments[1:], "--json", "-")
    assert outcome.returncode == 3, outcome.stderr
    (app,) = json.loads(outcome.stdout)["apps"]
    assert [(each["tag"], each["verdict"]) for each in app["registries"][0]["asked"]] == [
        (COMMIT, "present"),
        ("v1.0.0", "absent"),
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["app", "1.0.0"], 2, "does not follow semantic versioning format"),
        (["app", "--commit", "main"], 2, "is not hexadecimal"),
        (["app", "--tags", "1001"], 2, "1001 is not in the range"),
        (["app", "more", "--repository", "ghcr.io/a/b"], 2, "a repository is one app's"),
        (["app", "--json", "nowhere/report.json"], 2, "there is no folder"),
        (["app", "--repository", f"{NOBODY}/app", "--config", "quick.yaml"], 4, "unknown: app"),
        (["app"], 2, "is not in a Bazel workspace"),
    ],
)
def test_a_wrong_call_is_told_from_a_registry_that_does_not_answer(
    elsewhere: Path, arguments: list[str], status: int, words: str
) -> None:
    (elsewhere / "quick.yaml").write_text("retry_seconds: 0.2\n")
    outcome = call(elsewhere, *arguments)
    assert (outcome.returncode, outcome.stdout) == (status, "")
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr
