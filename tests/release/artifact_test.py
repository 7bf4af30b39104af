"""An artifact: what was built once is published from a file, by the rules of a release. Nothing in it is believed."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from release import publish_cli, publish_command
from release.artifact import RECORD, Artifact, open_artifact
from release.build_command import build
from release.config import Config
from release.destination import Destination
from release.errors import Refused, SomeFailed
from release.flow import release_apps
from release.record import Outcome
from release.request import Request, VersionWish
from release.version import Version
from tests.release.house import COMMIT, NAMES, House, Shelves
from tests.release.record_schema import check_outcomes
from tests.support.fault_proxy import Fault, FaultProxy, error_answer
from tests.support.registry import LocalRegistry
from tests.support.tools import tool
from tools.oci.client import RegistryClient
from tools.oci.digest import digest_of
from tools.oci.errors import BlobMismatch, OciError, TagConflict
from tools.oci.layout import blob_name
from tools.oci.publication import push_index
from tools.oci.reference import Repository
from tools.oci.stored_layout import InvalidLayout

WHOLE = COMMIT.ljust(40, "0")


@dataclass(frozen=True, slots=True)
class Shop:
    """Three apps of a domain, built into artifacts, which go to the test's own owner."""

    house: House
    shelves: Shelves
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.house.repository.path

    def build(self, name: str, *apps: str) -> Path:
        """Build apps, as `build` does after it has chosen them."""
        out = self.folder / name
        chosen = [app for app in self.shelves.apps(Config()) if app.name in (apps or NAMES)]
        build(chosen, COMMIT, False, out, self.house.outside(self.shelves))
        return out

    def publish(self, path: Path, version: str | None = "v1.0.0", *more: str, **wishes: Any) -> dict[str, Outcome]:
        """Publish an artifact to the first registry and others."""
        house = self.house
        house.log.seek(0)
        house.log.truncate()
        artifact = open_artifact(path)
        first = Config(registry=house.repository.registry, owner=self.owner, retry_seconds=house.retry_seconds)
        config = replace(first, further=tuple(Destination(registry, self.owner) for registry in more))
        wish = VersionWish(Version.parse(version) if version else None)
        request = Request("all", wish.version, artifact.record.commit, **wishes)
        # Where a build would come from, there is nothing.
        outside = publish_command.of_artifact(artifact, house.outside(None))
        wanted = publish_command.wanted(artifact, request, wish, config, outside)
        outcomes = release_apps(wanted, config, outside)
        check_outcomes(outcomes)
        return {outcome.request.app: outcome for outcome in outcomes}

    def repository(self, name: str, registry: str | None = None) -> Repository:
        """Of an app, not through the proxy."""
        return Repository(registry or self.house.client.registry, f"{self.owner}/shop-{name}")

    def tags(self, name: str, registry: str | None = None) -> dict[str, str]:
        """What the tags of an app's repository name, but for lists of referrers."""
        repository = self.repository(name, registry)
        with RegistryClient(repository.registry, retry_for=0.5) as client:
            return {
                tag: client.get_manifest(repository.tag(tag)).digest
                for tag in client.list_tags(repository)
                if not tag.startswith("sha256-")
            }

    def digest(self, name: str) -> str:
        return self.shelves.images[f"//{name}:image"].digest

    def names(self, name: str, *tags: str) -> dict[str, str]:
        return dict.fromkeys([COMMIT, *tags], self.digest(name))


@pytest.fixture
def shop(house: House, tmp_path: Path) -> Shop:
    images = {f"//{name}:image": house.maker.index(name, attested=True) for name in NAMES}
    return Shop(house, Shelves(house.maker, images), tmp_path)


@pytest.fixture(scope="session")
def second_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    with LocalRegistry(tmp_path_factory.mktemp("second-registry")) as registry:
        yield registry


# What is written


@pytest.mark.parametrize("name", ["images.tar", "images"])
def test_an_artifact_has_every_app_and_says_what_it_is(shop: Shop, name: str) -> None:
    path = shop.build(name)
    assert shop.shelves.calls == [[f"//{app}:image" for app in NAMES]]
    artifact = open_artifact(path)
    assert artifact.record.commit == COMMIT
    assert artifact.record.source.commit == WHOLE
    assert artifact.apps(Config()) == shop.shelves.apps(Config())
    assert {each.app.name: each.digest for each in artifact.record.images} == {app: shop.digest(app) for app in NAMES}
    assert sorted(each.name for each in shop.folder.iterdir() if each.name.startswith(".")) == []


def test_the_same_images_are_the_same_bytes(shop: Shop) -> None:
    assert shop.build("one.tar").read_bytes() == shop.build("two.tar").read_bytes()
    assert files(shop.build("one")) == files(shop.build("two"))


def test_a_tar_holds_what_the_folder_holds(shop: Shop) -> None:
    with tarfile.open(shop.build("images.tar")) as archive:
        archive.extractall(shop.folder / "unpacked", filter="data")
    assert files(shop.folder / "unpacked") == files(shop.build("images"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_other_tools_read_it_as_an_image_layout(shop: Shop) -> None:
    for transport, name in (("oci", "images"), ("oci-archive", "images.tar")):
        path = shop.build(name)
        command = [*tool("skopeo"), "inspect", "--raw", f"{transport}:{path}:shop-cart"]
        found = subprocess.run(command, capture_output=True, check=False)
        assert found.returncode == 0, found.stderr
        assert digest_of(found.stdout) == shop.digest("cart")


def test_if_one_app_cannot_be_built_there_is_no_artifact(shop: Shop) -> None:
    shop.shelves.failing = frozenset({"//checkout:image"})
    with pytest.raises(SomeFailed, match=r"1 of 3 apps cannot be built, so there is no artifact: shop-checkout"):
        shop.build("images.tar")
    assert not (shop.folder / "images.tar").exists()


def test_a_tree_that_is_not_the_commit_builds_no_artifact(shop: Shop) -> None:
    shop.shelves.refusal = Refused("Refused to build", "another commit", "Check it out.")
    with pytest.raises(Refused):
        shop.build("images.tar")
    assert shop.shelves.calls == []
    assert not (shop.folder / "images.tar").exists()


# What is published


@pytest.mark.parametrize("name", ["images.tar", "images"])
def test_what_was_built_is_published_to_every_registry_by_its_digest_and_without_a_build(
    shop: Shop, name: str, second_registry: LocalRegistry
) -> None:
    path = shop.build(name)
    shop.shelves.calls.clear()
    outcomes = shop.publish(path, "v1.0.0", second_registry.address)
    assert [outcome.error for outcome in outcomes.values()] == [None] * 3
    assert shop.shelves.calls == []
    for app in NAMES:
        assert shop.tags(app) == shop.names(app, "v1.0.0", "latest")
        assert shop.tags(app, second_registry.address) == shop.names(app, "v1.0.0", "latest")
        entry = outcomes[app].to_json()
        assert entry["path"] == "publish"
        assert {entry["artifact_digest"], entry["digest"], entry["copies"][0]["digest"]} == {shop.digest(app)}


def test_its_provenance_names_the_commit_that_was_built(shop: Shop) -> None:
    shop.publish(shop.build("images.tar", "cart"))
    house = House(shop.repository("cart"), shop.house.client, shop.house.maker)
    ((notes, statement),) = house.provenance(shop.shelves.images["//cart:image"])
    assert notes["org.opencontainers.image.revision"] == WHOLE
    parameters = statement["predicate"]["buildDefinition"]["externalParameters"]
    source = {"uri": "git+https://git.example/acme/apps", "digest": {"gitCommit": WHOLE}}
    assert parameters == {"source": source, "target": "//cart:image"}


def test_the_same_again_writes_nothing_and_a_new_version_only_tags(shop: Shop, proxy: FaultProxy) -> None:
    path = shop.build("images.tar", "cart")
    shop.publish(path)
    proxy.forget_requests()
    assert shop.publish(path)["cart"].error is None
    assert [each for each in proxy.requests() if each.method not in ("GET", "HEAD")] == []
    assert shop.publish(path, "v1.1.0")["cart"].error is None
    written = [each.path for each in proxy.requests() if each.method not in ("GET", "HEAD")]
    assert [path.rpartition("/")[2] for path in written] == ["v1.1.0"]
    assert shop.tags("cart") == shop.names("cart", "v1.0.0", "v1.1.0", "latest")


def test_without_a_version_only_the_commit_is_tagged(shop: Shop) -> None:
    shop.publish(shop.build("images.tar", "cart"), None)
    assert shop.tags("cart") == shop.names("cart")


def test_a_push_that_breaks_is_finished_by_the_same_command(shop: Shop, proxy: FaultProxy) -> None:
    path = shop.build("images.tar")
    proxy.inject(Fault(method="PUT", path=".*/shop-cart/manifests/v1.0.0", answer=error_answer(403, "DENIED"), times=0))
    outcomes = shop.publish(path)
    assert [name for name, outcome in outcomes.items() if outcome.error] == ["cart"]
    assert shop.tags("cart") == shop.names("cart")
    proxy.heal()
    assert [outcome.error for outcome in shop.publish(path).values()] == [None] * 3
    assert shop.tags("cart") == shop.names("cart", "v1.0.0", "latest")


@pytest.mark.parametrize("tag", [COMMIT, "v1.0.0"])
def test_a_tag_of_another_image_is_not_moved_and_nothing_is_written(
    shop: Shop, registry: LocalRegistry, tag: str
) -> None:
    path = shop.build("images.tar", "cart")
    other = shop.house.maker.index("another")
    push_index(shop.house.client, shop.repository("cart"), other.descriptor, shop.house.maker.blobs)
    shop.house.client.put_manifest(shop.repository("cart").tag(tag), other.content, other.media_type)
    error = shop.publish(path)["cart"].error
    assert isinstance(error, Refused | TagConflict)
    assert shop.tags("cart") == {tag: other.digest}

    assert shop.publish(path, allow_overwrite=True)["cart"].error is None
    assert shop.tags("cart") == shop.names("cart", "v1.0.0", "latest")


def test_latest_stays_where_a_newer_version_is(shop: Shop) -> None:
    path = shop.build("images.tar", "cart")
    shop.publish(path, "v2.0.0")
    shop.publish(path, "v1.0.0")
    assert "latest stays at v2.0.0" in shop.house.lines


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(shop: Shop) -> None:
    path = shop.build("images.tar", "cart")
    entry = shop.publish(path, dry_run=True)["cart"].to_json()
    assert (entry["path"], entry["dry_run"], entry["error"]) == ("publish", True, None)
    assert {tag["after"] for tag in entry["tags"]} == {shop.digest("cart")}
    assert "Would push cart v1.0.0 out of the artifact and write these tags" in shop.house.lines
    assert shop.tags("cart") == {}


# What is refused before a registry is asked


def flip(path: Path, digest: str) -> None:
    """Change one byte of a blob."""
    blob = path / blob_name(digest)
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.write_bytes(content)


def layer(artifact: Artifact) -> str:
    """A blob that is no manifest."""
    child = next(iter(artifact.indexes.values())).manifests[0]
    return str(json.loads(artifact.layout.read(child.digest))["layers"][0]["digest"])


def child(artifact: Artifact) -> str:
    return next(iter(artifact.indexes.values())).manifests[0].digest


def edit(path: Path, name: str, change: Callable[[Any], Any]) -> None:
    document = json.loads((path / name).read_bytes())
    (path / name).write_text(json.dumps(change(document) or document))


def link(path: Path, name: str) -> None:
    """A link to a file of the same content, somewhere else."""
    aside = path.parent / "aside"
    (path / name).rename(aside)
    (path / name).symlink_to(aside)


def instead(path: Path, make: Callable[[Path], None]) -> None:
    """Something else in place of a file."""
    path.unlink()
    make(path)


FOLDERS: dict[str, tuple[Callable[[Path, Artifact], Any], type[OciError], str]] = {
    "no marker": (lambda path, _: (path / "oci-layout").unlink(), InvalidLayout, "it has no oci-layout"),
    "another version": (
        lambda path, _: (path / "oci-layout").write_text('{"imageLayoutVersion": "9"}'),
        InvalidLayout,
        "names no version",
    ),
    "no index": (lambda path, _: (path / "index.json").unlink(), InvalidLayout, "it has no index.json"),
    "an index that is no JSON": (
        lambda path, _: (path / "index.json").write_text("{"),
        InvalidLayout,
        "index.json is no JSON",
    ),
    "an index without a list": (
        lambda path, _: (path / "index.json").write_text("{}"),
        InvalidLayout,
        "no list of manifests",
    ),
    "a digest that is a path": (
        lambda path, _: edit(path, "index.json", lambda d: d["manifests"][0].update(digest="sha256:../../passwd")),
        InvalidLayout,
        "is not a digest",
    ),
    "no record": (lambda path, _: (path / RECORD).unlink(), InvalidLayout, f"it has no {RECORD}"),
    "a record that is no JSON": (
        lambda path, _: (path / RECORD).write_bytes(b"\xff"),
        InvalidLayout,
        f"{RECORD} is no JSON",
    ),
    "a record that is a list": (lambda path, _: (path / RECORD).write_text("[]"), InvalidLayout, "cannot be used"),
    "another schema": (
        lambda path, _: edit(path, RECORD, lambda d: d.update(schema=2)),
        InvalidLayout,
        "its schema is 2, and known is 1",
    ),
    "a record without apps": (
        lambda path, _: edit(path, RECORD, lambda d: d.update(apps=[])),
        InvalidLayout,
        "names no app",
    ),
    "an app twice": (
        lambda path, _: edit(path, RECORD, lambda d: d["apps"].append(d["apps"][0])),
        InvalidLayout,
        "names an app twice",
    ),
    "an app whose name is a path": (
        lambda path, _: edit(path, RECORD, lambda d: d["apps"][0].update(app="../../x")),
        InvalidLayout,
        "'../../x' is not what it should be",
    ),
    "an app whose name moves the cursor": (
        lambda path, _: edit(path, RECORD, lambda d: d["apps"][0].update(image="//a\x1b[2J")),
        InvalidLayout,
        "is not what it should be",
    ),
    "an app that the index lacks": (
        lambda path, _: edit(path, RECORD, lambda d: d["apps"][0].update(app="other")),
        InvalidLayout,
        "do not name the same images",
    ),
    "an image that the record lacks": (
        lambda path, _: edit(path, RECORD, lambda d: d.update(apps=d["apps"][1:])),
        InvalidLayout,
        "do not name the same images",
    ),
    "other platforms": (
        lambda path, _: edit(path, RECORD, lambda d: d["apps"][0].update(platforms=["linux/s390x"])),
        InvalidLayout,
        "the platforms of shop-cart are not those",
    ),
    "a commit that is none": (
        lambda path, _: edit(path, RECORD, lambda d: d.update(commit="main")),
        InvalidLayout,
        "'main' is not what",
    ),
    "two commits": (
        lambda path, _: edit(path, RECORD, lambda d: d.update(commit="fff0000")),
        InvalidLayout,
        "its commits are not the same",
    ),
    "a layer that is gone": (
        lambda path, artifact: (path / blob_name(layer(artifact))).unlink(),
        BlobMismatch,
        "it is not there",
    ),
    "a manifest that is gone": (
        lambda path, artifact: (path / blob_name(child(artifact))).unlink(),
        BlobMismatch,
        "it is not there",
    ),
    "a layer with another digest": (
        lambda path, artifact: flip(path, layer(artifact)),
        BlobMismatch,
        "its content is sha256:",
    ),
    "a manifest with another digest": (
        lambda path, artifact: flip(path, child(artifact)),
        BlobMismatch,
        "its content has another digest",
    ),
    "a layer that is too short": (
        lambda path, artifact: os.truncate(path / blob_name(layer(artifact)), 5),
        BlobMismatch,
        "it has 5 bytes, and should have",
    ),
    "a layer that is a link": (
        lambda path, artifact: link(path, blob_name(layer(artifact))),
        InvalidLayout,
        "is a link, or no plain file",
    ),
    "a folder of blobs that is a link": (lambda path, _: link(path, "blobs"), InvalidLayout, "blobs is a link"),
    "a record that is a link": (lambda path, _: link(path, RECORD), InvalidLayout, f"{RECORD} is a link"),
    "a marker that is a folder": (
        lambda path, _: instead(path / "oci-layout", Path.mkdir),
        InvalidLayout,
        "oci-layout is a link, or no plain file",
    ),
    "a layer that is a pipe": (
        lambda path, artifact: instead(path / blob_name(layer(artifact)), os.mkfifo),
        InvalidLayout,
        "is a link, or no plain file",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_is_not_what_it_says_is_refused_before_a_registry_is_asked(
    shop: Shop, proxy: FaultProxy, case: str
) -> None:
    change, kind, why = FOLDERS[case]
    path = shop.build("images")
    change(path, open_artifact(path))
    with pytest.raises(kind) as refused:
        shop.publish(path)
    assert why in refused.value.why
    assert str(path) in refused.value.what
    assert refused.value.remedy
    assert proxy.requests() == []


Members = list[tuple[tarfile.TarInfo, bytes]]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "") -> Any:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content)
    return info, content


def write(path: Path, members: Members) -> None:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))


ARCHIVES: dict[str, tuple[Callable[[Members], Any], str]] = {
    "a path that leads out": (lambda members: members.append(member("blobs/../../evil")), "leads out of it"),
    "an absolute path": (lambda members: members.append(member("/etc/evil")), "leads out of it"),
    "a symbolic link": (
        lambda members: members.append(member("blobs/x", kind=tarfile.SYMTYPE, target="/etc/passwd")),
        "is a link",
    ),
    "a hard link": (
        lambda members: members.append(member("x", kind=tarfile.LNKTYPE, target="oci-layout")),
        "is a link",
    ),
    "a device": (lambda members: members.append(member("x", kind=tarfile.CHRTYPE)), "no plain file"),
    "a pipe": (lambda members: members.append(member("x", kind=tarfile.FIFOTYPE)), "no plain file"),
    "a file twice": (lambda members: members.append(members[0]), "is in it twice"),
    "a file twice by another name": (
        lambda members: members.append(member("./oci-layout", b"{}")),
        "is in it twice",
    ),
    "nothing": (lambda members: members.clear(), "it has no oci-layout"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_a_tar_that_holds_what_no_layout_holds_is_refused_before_a_registry_is_asked(
    shop: Shop, proxy: FaultProxy, case: str
) -> None:
    change, why = ARCHIVES[case]
    path = shop.build("images.tar", "cart")
    with tarfile.open(path) as archive:
        members: Members = [(each, archive.extractfile(each).read()) for each in archive]  # type: ignore[union-attr]
    write(path, members)
    open_artifact(path)  # It is only what is changed now that is wrong with it.
    change(members)
    write(path, members)
    with pytest.raises(InvalidLayout) as refused:
        shop.publish(path)
    assert why in refused.value.why
    assert proxy.requests() == []


def test_a_tar_that_breaks_off_is_refused_wherever_it_does(shop: Shop, proxy: FaultProxy) -> None:
    path = shop.build("images.tar", "cart")
    whole = path.read_bytes()
    end = max(number for number, byte in enumerate(whole) if byte) + 1
    cuts = [*range(0, end, 512), *range(100, end, 1009)]
    for cut in cuts:
        path.write_bytes(whole[:cut])
        with pytest.raises(OciError):
            open_artifact(path)
    assert len(cuts) > 30
    assert proxy.requests() == []


def test_a_tar_with_a_changed_byte_is_refused_or_as_good_as_before(shop: Shop) -> None:
    path = shop.build("images.tar", "cart")
    whole = path.read_bytes()
    good = open_artifact(path)
    refused = 0
    for place in range(0, len(whole), 37):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            found = open_artifact(path)
        except OciError:
            refused += 1
            continue
        # In padding, a header's owner or time, a label or an address of the record: never in an image.
        assert [each.digest for each in found.record.images] == [each.digest for each in good.record.images]
        assert {name: index.content for name, index in found.indexes.items()} == {
            name: index.content for name, index in good.indexes.items()
        }
    assert refused > 100


@pytest.mark.parametrize("content", [b"", b"hello", b"\x1f\x8b" + bytes(600), bytes(1024), b"PK\x03\x04" + bytes(600)])
def test_a_file_that_is_no_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "images.tar"
    path.write_bytes(content)
    with pytest.raises(InvalidLayout, match=r"(?s)images\.tar.*Name a folder or a plain tar"):
        open_artifact(path)


# The command line


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BUILD_", "GITHUB_"))}
    environment = {**kept, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1", "PWD": str(folder)}
    command = [sys.executable, str(Path(publish_cli.__file__).resolve()), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_program_publishes_to_the_registries_it_is_told(
    shop: Shop, registry: LocalRegistry, second_registry: LocalRegistry
) -> None:
    shop.build("images.tar")
    (shop.folder / "versions.yaml").write_text("shop-cart: v1.0.0\nshop-checkout: v2.0.0\nstock: v3.0.0\n")
    places = [f"--to={each.address}/{shop.owner}" for each in (registry, second_registry)]
    outcome = call(shop.folder, "images.tar", "--versions", "versions.yaml", *places, "--json", "-")
    assert outcome.returncode == 0, outcome.stderr
    records = json.loads(outcome.stdout)["releases"]
    assert [(each["app"], each["version"]) for each in records] == [
        ("shop-cart", "v1.0.0"),
        ("shop-checkout", "v2.0.0"),
        ("shop-stock", "v3.0.0"),
    ]
    for each in (registry, second_registry):
        assert shop.tags("checkout", each.address) == shop.names("checkout", "v2.0.0", "latest")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["missing.tar", "v1.0.0"], 2, "Cannot publish 'missing.tar': there is no "),
        (["images.tar", "1.0"], 2, "1.0"),
        (["images.tar", "v1.0.0", "--versions", "x"], 2, "VERSION and --versions: they contradict each other"),
        (["images.tar", "v1.0.0", "--to", "https://ghcr.io"], 2, "'https:' is not a registry"),
        (["images.tar", "v1.0.0", "--to", "a.b/c", "--to", "a.b/C"], 2, "a registry is named twice"),
        (["images.tar", "v1.0.0", "--json", "no/record.json"], 2, "there is no folder"),
        (["broken.tar", "v1.0.0"], 1, "as an OCI image layout: it is no plain tar archive"),
        (["images.tar", "--versions", "versions.yaml"], 2, "nothing"),
    ],
)
def test_a_wrong_call_is_told_in_three_parts(shop: Shop, arguments: list[str], status: int, words: str) -> None:
    shop.build("images.tar", "cart")
    (shop.folder / "broken.tar").write_text("broken")
    (shop.folder / "versions.yaml").write_text("nothing: v1.0.0\n")
    outcome = call(shop.folder, *arguments)
    assert (outcome.returncode, outcome.stdout) == (status, ""), outcome.stderr
    assert words in outcome.stderr
    assert len(outcome.stderr.splitlines()) >= 2
    assert "Traceback" not in outcome.stderr
