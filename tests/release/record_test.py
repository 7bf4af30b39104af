"""The schema of the record: what it takes and what it does not.

Records of all kinds of releases are held against it by the tests of those: House.release, Shop.release and Release.
"""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from release.app import App
from release.config import Config
from release.destination import Destination
from release.errors import ReleaseError
from release.flow import release_apps
from release.record import records_document
from release.request import EngineName, Request
from release.version import Version
from tests.release.house import BOTH, COMMIT, House, install
from tests.release.record_schema import SCHEMA, check_record
from tests.support.fault_proxy import Fault, FaultProxy, error_answer
from tests.support.registry import LocalRegistry

README = Path(__file__).parents[2] / "release" / "README.md"
NOBODY = "127.0.0.1:9"


def entry(house: House, *further: Destination, version: str | None = "v1.0.0", **wishes: Any) -> dict[str, Any]:
    """The record of a release, as it would be written."""
    of = Version.parse(version) if version else None
    owner = house.repository.path
    config = Config(registry=house.repository.registry, owner=owner, further=further, retry_seconds=0.2)
    app = App("hello_python", "demo", "//a:image", BOTH, "//a:metadata")
    request = Request("hello_python", of, COMMIT, **{"engine": EngineName.REGISTRY, **wishes})
    document = json.loads(records_document(release_apps([(request, app)], config, house.outside())))
    check_record(document)
    (only,) = document["releases"]
    assert isinstance(only, dict)
    return only


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))


def test_a_built_image_in_one_registry_and_missing_in_another(house: House) -> None:
    there = entry(house, Destination(NOBODY, owner="acme", required=False))
    assert (there["path"], there["engine"], there["error"]) == ("build", None, None)
    assert there["registries"] == [house.repository.registry]
    assert there["bytes"] > 0
    assert there["requests"] > there["writes"] > 0
    assert set(there["platforms"]) == {"linux/amd64", "linux/arm64"}
    (row,) = there["copies"]
    assert (row["bytes"], row["error"] is None) == (None, False)


def test_a_retagged_image(house: House) -> None:
    entry(house, version=None)
    there = entry(house)
    digest = house.shelf.image.digest
    assert (there["path"], there["engine"], there["writes"]) == ("retag", "registry", 2)
    assert [(tag["tag"], tag["before"], tag["after"]) for tag in there["tags"]] == [
        (COMMIT, digest, digest),
        ("v1.0.0", None, digest),
        ("latest", None, digest),
    ]


def test_an_image_that_was_built_again_since_imagetools_failed(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry(house, version=None)
    install(tmp_path / "bin", monkeypatch, "docker", "echo 'ERROR: out of order' >&2; exit 1\n")
    there = entry(house, engine=EngineName.IMAGETOOLS)
    assert there["path"] == "fallback"


def test_a_dry_run(house: House) -> None:
    there = entry(house, dry_run=True)
    assert (there["dry_run"], there["digest"], there["registries"]) == (True, None, [])
    assert [tag["after"] for tag in there["tags"]] == [None, None, None]


def test_a_failure(house: House) -> None:
    house.shelf.failure = ReleaseError("bazel build failed", "it said why above", "Correct that.")
    there = entry(house)
    assert there["error"]["exit_status"] == 1
    assert (there["registries"], there["dry_run"], there["writes"]) == ([], False, 0)
    assert there["requests"] > 0
    assert "digest" not in there


def test_a_required_registry_that_broke(house: House, registry: LocalRegistry) -> None:
    with FaultProxy(registry.address) as second:
        second.inject(Fault(method="PUT", path=".*/manifests/v1.0.0", answer=error_answer(403, "DENIED"), times=0))
        there = entry(house, Destination(second.address, owner="second"))
        second.check_injected()
    assert there["registries"] == [house.repository.registry]
    assert there["error"]["what"] == there["copies"][0]["error"]["what"]


def test_a_copy(house: House, registry: LocalRegistry) -> None:
    with FaultProxy(registry.address) as second:
        there = entry(house, Destination(second.address, owner="copied"))
        (row,) = there["copies"]
        assert there["registries"] == [house.repository.registry, second.address]
    assert (row["digest"], row["error"]) == (there["digest"], None)
    assert row["bytes"] > 0


def change(path: str, value: Any) -> Callable[[Any], None]:
    """Puts something else at a place of a document."""
    *folders, last = path.split(".")

    def put(document: Any) -> None:
        for folder in folders:
            document = document[int(folder) if folder.isdigit() else folder]
        document[last] = value

    return put


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", 1),
        ("releases.0.app", ""),
        ("releases.0.version", "1.0.0"),
        ("releases.0.commit", "main"),
        ("releases.0.digest", "sha256:00"),
        ("releases.0.path", "copy"),
        ("releases.0.engine", "skopeo"),
        ("releases.0.requests", -1),
        ("releases.0.bytes", "many"),
        ("releases.0.error", {"what": "a", "why": "b"}),
        ("releases.0.tags.0.after", "latest"),
        ("releases.0.tags.0.more", 1),
        ("releases.0.more", 1),
        ("releases.0.platforms", {"linux": "sha256:" + "0" * 64}),
        ("releases.0.copies", [{"registry": "a"}]),
    ],
)
def test_what_is_no_record_is_not_taken(house: House, path: str, value: Any) -> None:
    document = {"schema": 2, "releases": [entry(house)]}
    wrong = copy.deepcopy(document)
    change(path, value)(wrong)
    with pytest.raises(ValidationError):
        check_record(wrong)


def test_every_key_is_in_the_documentation() -> None:
    schema = json.loads(SCHEMA.read_text())
    text = README.read_text()
    section = text[text.index("## The record") : text.index("## Doctor")]
    told = set(re.findall(r"`([a-z_]+)`", section))
    kinds = ("release", "failure", "copy", "missing_copy")
    keys = {key for kind in kinds for key in schema["$defs"][kind]["properties"]}
    assert keys - told == set()
