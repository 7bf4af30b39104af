"""Where an image comes from: what is said of it, where that is kept, and who has signed it."""

import base64
import json
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from release.config import ProvenanceSettings
from release.errors import Exit, Refused, ReleaseError, exit_status
from release.plan import Step, Way
from release.provenance import Package, Source, find_provenance, make_statement, read_packages
from release.source_tree import source_of, source_uri
from tests.release.house import COMMIT, House, install
from tests.support.fault_proxy import Answer, Fault, FaultProxy, error_answer
from tests.support.images import ImageMaker
from tests.support.tools import tool
from tools.oci.errors import Forbidden, InvalidManifest, OciError
from tools.oci.manifest import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor, ImageIndex, Platform, parse_manifest
from tools.oci.reference import Repository
from tools.oci.referrers import Referrers, fallback_tag

FULL = COMMIT.ljust(40, "0")
SLSA = "https://slsa.dev/provenance/v1"
IN_TOTO = "application/vnd.in-toto+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PASSWORD = "correct-horse-battery"
DENIED = error_answer(403, "DENIED", "requested access to the resource is denied")
SHA = "a" * 64


# What is said


def image() -> ImageIndex:
    return ImageIndex(b"{}", OCI_INDEX, f"sha256:{SHA}", ())


def test_a_statement_names_the_image_the_commit_the_target_the_builder_and_the_packages() -> None:
    source = Source(FULL, "git+https://git.example/acme/apps")
    packages = (Package("pkg:deb/debian/libc6@2.41?arch=amd64", "b" * 64), Package("pkg:pypi/click@8.1", "c" * 64))
    statement = make_statement(
        image(), Repository("ghcr.io", "acme/demo-app"), source, "//apps:image", "urn:us", packages
    )
    origin = {"uri": "git+https://git.example/acme/apps", "digest": {"gitCommit": FULL}}
    assert json.loads(statement) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "ghcr.io/acme/demo-app", "digest": {"sha256": SHA}}],
        "predicateType": SLSA,
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:slipway:image-index:v1",
                "externalParameters": {"source": origin, "target": "//apps:image"},
                "resolvedDependencies": [
                    origin,
                    {"uri": "pkg:deb/debian/libc6@2.41?arch=amd64", "digest": {"sha256": "b" * 64}},
                    {"uri": "pkg:pypi/click@8.1", "digest": {"sha256": "c" * 64}},
                ],
            },
            "runDetails": {"builder": {"id": "urn:us"}},
        },
    }


def test_what_is_not_known_is_left_out() -> None:
    statement = make_statement(image(), Repository("ghcr.io", "app"), Source(FULL, None), None, "urn:us", ())
    definition = json.loads(statement)["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"source": {"digest": {"gitCommit": FULL}}}
    assert definition["resolvedDependencies"] == [{"digest": {"gitCommit": FULL}}]


@pytest.mark.parametrize(
    ("remote", "uri"),
    [
        ("https://git.example/acme/apps.git", "git+https://git.example/acme/apps.git"),
        ("https://bot:hidden@git.example/acme/apps", "git+https://git.example/acme/apps"),
        ("https://hidden@git.example:8443/acme/apps?token=hidden#hidden", "git+https://git.example:8443/acme/apps"),
        ("git@git.example:acme/apps.git", "git+ssh://git.example/acme/apps.git"),
        ("git.example:/srv/apps", "git+ssh://git.example/srv/apps"),
        ("ssh://git:hidden@git.example:2222/acme/apps", "git+ssh://git.example:2222/acme/apps"),
        ("git+ssh://git.example/acme/apps", "git+ssh://git.example/acme/apps"),
        ("git://git.example/acme/our apps", "git+git://git.example/acme/our%20apps"),
        ("https://[2001:db8::1]:8443/apps", "git+https://[2001:db8::1]:8443/apps"),
        ("https://bot:hid@den@git.example/apps", "git+https://git.example/apps"),
        ("/home/alice/apps", None),
        ("../apps", None),
        ("file:///home/alice/apps", None),
        ("https:///apps", None),
        ("https://git.example:port/apps", None),
        ("ext::sh -c hidden", None),
        ("", None),
    ],
)
def test_an_address_loses_its_login_and_a_folder_of_this_machine_is_none(remote: str, uri: str | None) -> None:
    assert source_uri(remote) == uri
    assert "hid" not in (source_uri(remote) or "")


def git(folder: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{key}": "x@example.com" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **who}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_git_tells_the_whole_name_and_where_the_commit_is_from(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert source_of(head[:9].upper(), tmp_path) == Source(head, None)
    git(tmp_path, "remote", "add", "origin", "https://bot:hidden@git.example/acme/apps")
    assert source_of(head[:9], tmp_path) == Source(head, "git+https://git.example/acme/apps")
    # Of another repository, whose address is not known.
    assert source_of("F" * 40, tmp_path) == Source("f" * 40, None)
    with pytest.raises(Refused):
        source_of("ffffffff", tmp_path)


def test_without_a_git_tree_a_whole_name_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert source_of(FULL, tmp_path) == Source(FULL, None)
    with pytest.raises(Refused):
        source_of(COMMIT, tmp_path)


# The packages of an SBOM


def spdx(*packages: Mapping[str, Any]) -> dict[str, Any]:
    """An SPDX document in an in-toto statement."""
    return {"predicateType": "https://spdx.dev/Document", "predicate": {"packages": list(packages)}}


def package(purl: str, value: str) -> dict[str, Any]:
    return {
        "externalRefs": [{"referenceType": "purl", "referenceLocator": purl}],
        "checksums": [{"algorithm": "SHA256", "checksumValue": value}, {"algorithm": "SHA1", "checksumValue": "1"}],
    }


def attested(maker: ImageMaker, *statements: Any, plain: ImageIndex | None = None) -> ImageIndex:
    """An index with one attestation manifest for each statement, as BuildKit writes them."""
    index = plain or maker.index()
    children = list(index.manifests)
    for statement in statements:
        content = statement if isinstance(statement, bytes) else json.dumps(statement).encode()
        kind = {"in-toto.io/predicate-type": "https://spdx.dev/Document"}
        other = {"in-toto.io/predicate-type": "https://cyclonedx.org/bom"}
        layers = [
            replace(maker.blob(content, IN_TOTO), annotations=kind),
            replace(maker.blob(b"not read", IN_TOTO), annotations=other),
        ]
        carrier = maker.document(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": maker.blob(b"{}", OCI_CONFIG).to_json(),
                "layers": [layer.to_json() for layer in layers],
            }
        )
        children.append(replace(carrier, platform=Platform("unknown", "unknown")))
    top = maker.document(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child.to_json() for child in children]}
    )
    parsed = parse_manifest(maker.paths[top.digest].read_bytes())
    assert isinstance(parsed, ImageIndex)
    return parsed


def packages_of(maker: ImageMaker, index: ImageIndex) -> tuple[Package, ...]:
    return read_packages(index, lambda part: maker.blobs.read(part.digest))


def test_the_packages_of_all_platforms_are_told_once_and_in_order(maker: ImageMaker) -> None:
    amd64 = spdx(package("pkg:pypi/click@8", "2" * 64), package("pkg:deb/debian/libc6@2?arch=amd64", "1" * 64))
    arm64 = spdx(package("pkg:pypi/click@8", "2" * 64), {"name": "the image itself"}, package("pkg:pypi/a@1", "3" * 64))
    assert packages_of(maker, attested(maker, amd64, arm64)) == (
        Package("pkg:deb/debian/libc6@2?arch=amd64", "1" * 64),
        Package("pkg:pypi/a@1", "3" * 64),
        Package("pkg:pypi/click@8", "2" * 64),
    )


def test_an_image_without_an_sbom_has_no_packages_that_are_known(maker: ImageMaker) -> None:
    assert packages_of(maker, maker.index()) == ()
    assert packages_of(maker, maker.index(attested=True)) == ()


@pytest.mark.parametrize(
    "statement",
    [
        b"<html>",
        b"[" * 100_000,
        [],
        {"predicate": {}},
        {"predicateType": "https://spdx.dev/Document"},
        spdx({"externalRefs": ["purl"]}),
        spdx(package("not a purl", "1" * 64)),
        spdx(package("pkg:pypi/a@1\n", "1" * 64)),
        spdx(package("pkg:pypi/a@1", "1")),
    ],
)
def test_an_sbom_that_is_none_is_told_from_one_without_packages(maker: ImageMaker, statement: Any) -> None:
    with pytest.raises(InvalidManifest, match="cannot read the SBOM sha256:"):
        packages_of(maker, attested(maker, statement))


# What is found


def entry(**notes: str) -> Descriptor:
    names = {"kind": "in-toto.io/predicate-type", "commit": "org.opencontainers.image.revision"}
    bundle = {"bundle": "dev.sigstore.bundle.content", "bundle_kind": "dev.sigstore.bundle.predicateType"}
    annotations = {{**names, **bundle}[name]: value for name, value in notes.items()}
    return Descriptor(OCI_MANIFEST, f"sha256:{SHA}", 2, annotations=annotations)


@pytest.mark.parametrize(
    ("referrer", "unsigned", "signed"),
    [
        (entry(kind=SLSA, commit=FULL), True, False),
        (entry(kind=SLSA, commit=FULL.upper()), True, False),
        (entry(bundle="dsse-envelope", bundle_kind=SLSA, commit=FULL), True, True),
        (entry(kind="https://spdx.dev/Document", commit=FULL), False, False),
        (entry(kind=SLSA, commit="f" * 40), False, False),
        (entry(kind=SLSA), False, False),
        (entry(), False, False),
    ],
)
def test_provenance_is_found_by_its_commit_and_where_it_has_to_be_signed_by_that(
    referrer: Descriptor, unsigned: bool, signed: bool
) -> None:
    for commit in (FULL, COMMIT):
        for wanted, found in ((False, unsigned), (True, signed)):
            there = find_provenance(Referrers((entry(), referrer), False), commit, signed=wanted)
            assert (there is not None) is found


# In a release


@pytest.fixture
def maker(tmp_path: Path) -> ImageMaker:
    return ImageMaker(tmp_path / "blobs")


@pytest.fixture
def published(house: House) -> House:
    """The image of the commit is there, with an SBOM and without provenance."""
    house.shelf.image = attested(house.maker, spdx(package("pkg:pypi/click@8", "2" * 64)))
    house.publish(house.shelf.image, COMMIT)
    return house


def writes(proxy: FaultProxy) -> list[str]:
    return [request.path for request in proxy.requests() if request.method not in ("GET", "HEAD")]


def test_a_release_leaves_one_statement_with_what_the_image_was_built_from(house: House) -> None:
    house.shelf.image = attested(house.maker, spdx(package("pkg:pypi/click@8", "2" * 64)))
    record = house.release("v1.0.0")
    ((notes, statement),) = house.provenance()
    assert notes == {"in-toto.io/predicate-type": SLSA, "org.opencontainers.image.revision": FULL}
    assert statement["subject"] == [
        {"name": str(house.repository), "digest": {"sha256": house.shelf.image.digest.removeprefix("sha256:")}}
    ]
    definition = statement["predicate"]["buildDefinition"]
    source = {"uri": "git+https://git.example/acme/apps", "digest": {"gitCommit": FULL}}
    assert definition["externalParameters"] == {"source": source, "target": "//apps/hello_python:hello_python_image"}
    assert definition["resolvedDependencies"] == [
        source,
        {"uri": "pkg:pypi/click@8", "digest": {"sha256": "2" * 64}},
    ]
    assert statement["predicate"]["runDetails"] == {"builder": {"id": "urn:slipway:release"}}
    assert record.provenance is not None
    assert record.to_json()["provenance"] == {
        "digest": record.provenance.digest,
        "step": "write",
        "signed": False,
    }
    found = house.client.get_manifest(house.direct.digest(str(record.provenance.digest)))
    manifest = json.loads(found.content)
    assert manifest["artifactType"] == IN_TOTO
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert manifest["subject"]["digest"] == house.shelf.image.digest
    assert [layer["mediaType"] for layer in manifest["layers"]] == [IN_TOTO]


def test_another_machine_says_the_same_of_the_same_commit(house: House, tmp_path: Path) -> None:
    first = house.release("v1.0.0").provenance
    assert first is not None
    tag = house.client.get_manifest(house.direct.tag(fallback_tag(house.shelf.image.digest)))
    nothing = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
    house.client.put_manifest(house.direct.tag(fallback_tag(house.shelf.image.digest)), nothing, tag.media_type)
    again = house.release("v1.0.0", rebuild=True).provenance
    assert again is not None
    assert (again.step, again.digest) == (Step.WRITE, first.digest)


def test_a_commit_with_the_same_image_gets_a_statement_of_its_own(house: House) -> None:
    house.release("v1.0.0")
    house.release("v1.0.1", commit="def456abc")
    commits = [notes["org.opencontainers.image.revision"] for notes, _ in house.provenance()]
    assert commits == [FULL, "def456abc".ljust(40, "0")]


@pytest.mark.parametrize("version", ["v1.0.0", None])
def test_a_present_image_that_lacks_it_gets_it_before_its_version(
    published: House, proxy: FaultProxy, version: str | None
) -> None:
    proxy.forget_requests()
    record = published.release(version)
    assert (record.way, published.shelf.builds, published.shelf.queries) == (Way.RETAG, 0, 0)
    assert "✅ Added provenance of commit abc123d" in published.lines
    ((_, statement),) = published.provenance()
    definition = statement["predicate"]["buildDefinition"]
    # Nobody asked Bazel for the target; the packages are those of the SBOM that is there.
    assert set(definition["externalParameters"]) == {"source"}
    assert [each.get("uri") for each in definition["resolvedDependencies"]][1:] == ["pkg:pypi/click@8"]
    assert record.provenance is not None
    names = [path.rpartition("/")[2] for path in writes(proxy) if "/blobs/" not in path]
    fallback = fallback_tag(published.shelf.image.digest)
    assert names == [record.provenance.digest, fallback, *(["v1.0.0", "latest"] if version else [])]
    proxy.forget_requests()
    again = published.release(version)
    assert writes(proxy) == []
    assert again.provenance is not None
    assert (again.provenance.step, again.provenance.digest) == (Step.ALREADY, record.provenance.digest)


def test_without_a_commit_and_where_it_is_not_wanted_there_is_none_and_no_question_for_it(
    house: House, proxy: FaultProxy
) -> None:
    assert house.release("v1.0.0", commit=None).provenance is None
    assert house.release("v1.0.1", no_provenance=True).provenance is None
    house.settings = ProvenanceSettings(enabled=False)
    record = house.release("v1.0.2")
    assert record.to_json()["provenance"] is None
    assert house.provenance() == []
    assert [request.path for request in proxy.requests() if "referrers" in request.path] == []


def test_what_is_configured_goes_before_what_git_says(house: House) -> None:
    house.settings = ProvenanceSettings(builder="https://ci.example/us", source="git+https://git.example/mirror")
    house.release("v1.0.0")
    ((_, statement),) = house.provenance()
    assert statement["predicate"]["runDetails"]["builder"]["id"] == "https://ci.example/us"
    parameters = statement["predicate"]["buildDefinition"]["externalParameters"]
    assert parameters["source"]["uri"] == "git+https://git.example/mirror"


@pytest.mark.parametrize("what", ["its blob", "its manifest", "its list"])
@pytest.mark.parametrize("answer", [DENIED, error_answer(405, "UNSUPPORTED"), error_answer(500, "UNKNOWN")])
def test_a_built_image_whose_provenance_is_refused_gets_no_tag(
    house: House, proxy: FaultProxy, what: str, answer: Answer
) -> None:
    house.publish(house.shelf.image)  # So that what is refused is no part of the image.
    paths = {"its blob": "/blobs/uploads/", "its manifest": "/manifests/sha256:", "its list": "/manifests/sha256-"}
    proxy.inject(Fault(method="POST|PUT", path=paths[what], times=0, answer=answer))
    with pytest.raises(ReleaseError) as caught:
        house.release("v1.0.0")
    assert exit_status(caught.value) == Exit.FAILED
    assert caught.value.what == "Cannot write the provenance of commit abc123d; no tag was written"
    assert "--no-provenance" in caught.value.remedy
    assert house.tags() == {}
    proxy.heal()
    house.release("v1.0.0")
    assert len(house.provenance()) == 1
    assert set(house.tags()) == {COMMIT, "v1.0.0", "latest"}


def test_a_built_image_about_which_nothing_can_be_asked_is_not_pushed(house: House, proxy: FaultProxy) -> None:
    proxy.inject(Fault(path="/referrers/", times=0, answer=DENIED))
    with pytest.raises(Forbidden) as caught:
        house.release("v1.0.0")
    assert exit_status(caught.value) == Exit.UNASKED
    assert "--no-provenance" in caught.value.remedy
    assert writes(proxy) == []
    assert house.release("v1.0.0", no_provenance=True).way is Way.BUILD


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_present_image_whose_provenance_is_refused_is_tagged_with_a_warning(
    published: House, proxy: FaultProxy, method: str
) -> None:
    paths = {"GET": "/referrers/", "POST": "/blobs/uploads/", "PUT": "/manifests/sha256"}
    proxy.inject(Fault(method=method, path=paths[method], times=0, answer=DENIED))
    record = published.release("v1.0.0")
    assert record.provenance is None
    (warning,) = (line for line in published.lines if line.startswith("Warning"))
    assert warning.startswith("Warning: The provenance of commit abc123d is missing, and tagging goes on: ")
    assert "DENIED" in warning
    assert published.tags() == dict.fromkeys((COMMIT, "v1.0.0", "latest"), published.shelf.image.digest)


def test_a_present_image_of_a_commit_that_git_cannot_spell_out_is_tagged_with_a_warning(
    published: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def source(house: House, commit: str) -> Source:
        return source_of(commit, tmp_path)

    monkeypatch.setattr(House, "source", source)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert published.release("v1.0.0").provenance is None
    assert any(line.startswith("Warning: The provenance of commit abc123d is missing") for line in published.lines)
    assert "v1.0.0" in published.tags()


def test_a_present_image_with_a_broken_sbom_is_tagged_with_a_warning(house: House) -> None:
    image = attested(house.maker, b"<html>")
    house.publish(image, COMMIT)
    assert house.release("v1.0.0").provenance is None
    assert any("cannot read the SBOM" in line for line in house.lines)
    house.shelf.image = image
    with pytest.raises(OciError, match="cannot read the SBOM"):
        house.release("v1.0.1", rebuild=True)


def test_a_registry_that_lists_referrers_itself_gets_no_tag_for_them(house: House, proxy: FaultProxy) -> None:
    proxy.list_referrers()
    house.release("v1.0.0")
    assert set(house.client.list_tags(house.direct)) == {COMMIT, "v1.0.0", "latest"}
    proxy.forget_requests()
    record = house.release("v1.0.1")
    assert record.provenance is not None
    assert record.provenance.step is Step.ALREADY


@pytest.mark.parametrize("present", [False, True])
def test_a_dry_run_says_what_would_become_of_it_and_writes_nothing(
    house: House, proxy: FaultProxy, present: bool
) -> None:
    if present:
        house.release(None)
    proxy.forget_requests()
    record = house.release("v1.0.0", dry_run=True)
    assert writes(proxy) == []
    assert record.provenance is not None
    if present:
        assert f"  provenance of commit abc123d: {record.provenance.digest}; stays" in house.lines
    else:
        assert "  provenance of commit abc123d: not there; would be written" in house.lines
        assert record.provenance.digest is None


# Signatures


def cosign(*arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*tool("cosign"), *arguments],
        env={**os.environ, "COSIGN_PASSWORD": password},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pairs ours.key and ours.pub, theirs.key and theirs.pub."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        made = cosign("generate-key-pair", "--output-key-prefix", str(folder / name), password=PASSWORD)
        assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture
def signing(house: House, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """Releases that sign; each call of cosign is noted in `cosign-calls`."""
    *entering, _ = tool("cosign")
    program = shlex.join([*entering, "/usr/bin/cosign"] if entering else tool("cosign"))
    install(tmp_path / "bin", monkeypatch, "cosign", f'echo "$@" >> {tmp_path}/cosign-calls\nexec {program} "$@"\n')
    monkeypatch.setenv("COSIGN_PASSWORD", PASSWORD)
    house.settings = ProvenanceSettings(cosign_key=str(keys / "ours.key"))
    return house


def verify(house: House, key: Path) -> subprocess.CompletedProcess[str]:
    reference = str(house.direct.digest(house.shelf.image.digest))
    options = ["--type=slsaprovenance1", "--insecure-ignore-tlog", "--allow-http-registry"]
    return cosign("verify-attestation", f"--key={key}", *options, reference)


def test_cosign_accepts_what_was_signed_and_refuses_it_by_another_key(
    signing: House, keys: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    record = signing.release("v1.0.0")
    assert record.provenance is not None
    assert record.provenance.signed
    assert "✅ Added signed provenance of commit abc123d" in signing.lines
    accepted = verify(signing, keys / "ours.pub")
    assert accepted.returncode == 0, accepted.stderr
    statement = json.loads(base64.b64decode(json.loads(accepted.stdout)["payload"]))
    assert statement["predicate"]["buildDefinition"]["externalParameters"]["source"]["digest"] == {"gitCommit": FULL}
    refused = verify(signing, keys / "theirs.pub")
    assert refused.returncode != 0
    assert "no matching attestations" in refused.stderr
    # One referrer a commit: the signed one holds the statement.
    ((notes, bundle),) = signing.provenance()
    assert notes["org.opencontainers.image.revision"] == FULL
    assert bundle["mediaType"] == BUNDLE
    # And cosign had no part in what went to the registry.
    assert (tmp_path / "cosign-calls").read_text().splitlines()[0].startswith("attest-blob ")


def test_what_cosign_itself_has_put_there_stays_and_ours_survives_what_it_puts_there_later(
    signing: House, keys: Path, tmp_path: Path
) -> None:
    def attest() -> None:
        (tmp_path / "predicate.json").write_text(json.dumps({"buildDefinition": {}, "runDetails": {}}))
        offline = ["--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry"]
        what = ["--type=slsaprovenance1", f"--predicate={tmp_path}/predicate.json", f"--key={keys}/theirs.key"]
        reference = str(signing.direct.digest(signing.shelf.image.digest))
        done = cosign("attest", *offline, *what, reference, password=PASSWORD)
        assert done.returncode == 0, done.stderr

    signing.publish(signing.shelf.image, COMMIT)
    attest()
    assert verify(signing, keys / "ours.pub").returncode != 0
    signing.release("v1.0.0")
    attest()
    assert len(signing.provenance()) == 3
    for key in ("ours.pub", "theirs.pub"):
        accepted = verify(signing, keys / key)
        assert accepted.returncode == 0, accepted.stderr
    record = signing.release("v1.0.1")
    assert record.provenance is not None
    assert record.provenance.step is Step.ALREADY


def test_what_is_signed_is_not_signed_again(signing: House, proxy: FaultProxy, tmp_path: Path) -> None:
    signing.release("v1.0.0")
    proxy.forget_requests()
    signing.release("v1.0.0")
    assert writes(proxy) == []
    assert len((tmp_path / "cosign-calls").read_text().splitlines()) == 1


def test_unsigned_provenance_is_not_enough_where_a_key_is_configured(signing: House, keys: Path) -> None:
    with_key, signing.settings = signing.settings, ProvenanceSettings()
    signing.release("v1.0.0")
    assert verify(signing, keys / "ours.pub").returncode != 0
    signing.settings = with_key
    signing.release("v1.0.1")
    assert verify(signing, keys / "ours.pub").returncode == 0
    # Without a key any will do.
    signing.settings = ProvenanceSettings()
    record = signing.release("v1.0.2")
    assert record.provenance is not None
    assert record.provenance.step is Step.ALREADY
    assert len(signing.provenance()) == 2


def test_the_real_clients_list_what_was_written_signed_and_not(signing: House) -> None:
    with_key, signing.settings = signing.settings, ProvenanceSettings()
    signing.release("v1.0.0")
    signing.settings = with_key
    signing.release("v1.0.1")
    reference = str(signing.direct.digest(signing.shelf.image.digest))
    tree = cosign("tree", "--allow-http-registry", reference).stdout
    found = subprocess.run(
        [*tool("oras"), "discover", "--plain-http", "--format=json", reference],
        capture_output=True,
        text=True,
        check=True,
    )
    listed = json.loads(found.stdout)
    entries = listed.get("referrers") or listed["manifests"]
    assert sorted(each["artifactType"] for each in entries) == [BUNDLE, IN_TOTO]
    for each in entries:
        assert each["digest"] in tree
        assert each["annotations"]["org.opencontainers.image.revision"] == FULL


@pytest.mark.parametrize("present", [False, True])
@pytest.mark.parametrize("way", ["no cosign", "no key", "wrong password", "an older cosign", "another statement"])
def test_what_cannot_be_signed_ends_a_release_before_anything_is_written(
    signing: House, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, present: bool
) -> None:
    if present:
        signing.publish(signing.shelf.image, COMMIT)
    if way == "no cosign":
        monkeypatch.setenv("PATH", path_with(tmp_path / "only", "git"))
    elif way == "no key":
        signing.settings = ProvenanceSettings(cosign_key=str(tmp_path / "nowhere.key"))
    elif way == "wrong password":
        monkeypatch.setenv("COSIGN_PASSWORD", "another-password")
    elif way == "an older cosign":
        install(
            tmp_path / "bin", monkeypatch, "cosign", "echo 'Error: unknown flag: --use-signing-config' >&2; exit 1\n"
        )
    else:
        envelope = {"mediaType": BUNDLE, "dsseEnvelope": {"payload": base64.b64encode(b"{}").decode()}}
        script = 'for each; do case $each in --bundle=*) printf %s "$BUNDLE" > "${each#--bundle=}";; esac; done\n'
        install(tmp_path / "bin", monkeypatch, "cosign", script)
        monkeypatch.setenv("BUNDLE", json.dumps(envelope))
    proxy.forget_requests()
    with pytest.raises(ReleaseError) as caught:
        signing.release("v1.0.0")
    assert exit_status(caught.value) == Exit.FAILED
    assert caught.value.what == "Cannot sign the provenance"
    assert "--no-provenance" in caught.value.remedy
    assert writes(proxy) == []
    said = {
        "no cosign": "there is no cosign on PATH",
        "no key": "there is no key",
        "wrong password": "decryption failed",
        "an older cosign": "unknown flag: --use-signing-config",
        "another statement": "no Sigstore bundle of the statement",
    }
    assert said[way] in caught.value.why
    if way in ("no cosign", "no key"):
        assert signing.shelf.builds == 0
        with pytest.raises(ReleaseError, match=said[way]):
            signing.release("v1.0.0", dry_run=True)
    assert signing.release("v1.0.0", no_provenance=True).provenance is None


def path_with(folder: Path, *names: str) -> str:
    """A PATH on which there is nothing else."""
    folder.mkdir()
    for name in names:
        found = subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=True)
        (folder / name).symlink_to(found.stdout.strip())
    return str(folder)


def test_a_release_without_need_of_a_signature_does_not_need_cosign(
    signing: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signing.release("v1.0.0")
    monkeypatch.setenv("PATH", path_with(tmp_path / "only", "git"))
    assert signing.release("v1.0.1").way is Way.RETAG


def test_the_password_appears_nowhere(
    signing: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    record = signing.release("v1.0.0")
    everywhere = [signing.log.getvalue(), record.to_json(), *capfd.readouterr()]
    everywhere.append((tmp_path / "cosign-calls").read_text())
    everywhere += [json.dumps(each) for each in signing.provenance()]
    script = 'echo "Error: cannot open with $COSIGN_PASSWORD" >&2; exit 1\n'
    install(tmp_path / "bin", monkeypatch, "cosign", script)
    with pytest.raises(ReleaseError, match=r"cannot open with \*\*\*") as caught:
        signing.release("v1.0.1", commit="def456abc")
    everywhere += [str(caught.value), signing.log.getvalue(), *capfd.readouterr()]
    assert [text for text in everywhere if PASSWORD in text] == []
