"""Where a released image comes from, as others read and verify it."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.releasing import (
    APP,
    REVISION,
    Releaser,
    crane,
    first_on_path,
    json_of,
    output,
    program,
    record_of,
    referrers,
)
from tests.support.tools import tool

SLSA = "https://slsa.dev/provenance/v1"
PASSWORD = "correct-horse-battery"
LOGIN = "bot:letmein"


@pytest.fixture
def origin(release: Releaser) -> Iterator[str]:
    """The workspace is a clone from there, by an address that has a login in it."""
    release.workspace.git("remote", "add", "origin", f"https://{LOGIN}@git.example/acme/apps.git")
    yield "git+https://git.example/acme/apps.git"
    release.workspace.git("remote", "remove", "origin")


@pytest.fixture
def signing(tmp_path: Path) -> tuple[tuple[str, str], dict[str, str]]:
    """Options and environment of a release that signs; its keys are in the test's folder."""
    for name in ("ours", "theirs"):
        cosign("generate-key-pair", f"--output-key-prefix={tmp_path / name}")
    config = tmp_path / "config.yaml"
    config.write_text("provenance: {cosign_key: ours.key}\n")
    # In the devroot by its path: this one is before it on PATH.
    *entering, found = tool("cosign")
    program(tmp_path / "bin" / "cosign", f'exec {" ".join([*entering, "/usr/bin/cosign"]) if entering else found} "$@"')
    return ("--config", str(config)), {**first_on_path(tmp_path / "bin"), "COSIGN_PASSWORD": PASSWORD}


def cosign(*arguments: str, may_fail: bool = False) -> str:
    result = subprocess.run(
        [*tool("cosign"), *arguments],
        env={**os.environ, "COSIGN_PASSWORD": PASSWORD},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert may_fail or result.returncode == 0, result.stderr
    return result.stdout if result.returncode == 0 else ""


def statement(release: Releaser, referrer: dict[str, Any]) -> Any:
    """What a referrer holds."""
    manifest = json_of(crane("manifest", f"{release.repository}@{referrer['digest']}"))
    (layer,) = manifest["layers"]
    return json_of(crane("blob", f"{release.repository}@{layer['digest']}"))


def test_a_release_leaves_a_statement_of_commit_source_target_and_packages(release: Releaser, origin: str) -> None:
    commit = release.workspace.commit
    outcome = release(APP, "v1.0.0", "--commit", commit, "--json", "-")
    assert outcome.status == 0, outcome.stderr
    image = f"{release.repository}:v1.0.0"
    (referrer,) = referrers(image)
    assert referrer["digest"] == record_of(outcome.stdout)["provenance"]["digest"]
    assert referrer["digest"] in cosign("tree", "--allow-http-registry", image)
    said = statement(release, referrer)
    assert said["subject"][0]["digest"]["sha256"] == release.tags()["v1.0.0"].removeprefix("sha256:")
    definition = said["predicate"]["buildDefinition"]
    source = {"uri": origin, "digest": {"gitCommit": commit}}
    assert definition["externalParameters"] == {"source": source, "target": f"//apps/{APP}:{APP}_image"}
    assert definition["resolvedDependencies"][0] == source
    packages = [(each["uri"], each["digest"]["sha256"]) for each in definition["resolvedDependencies"][1:]]
    assert packages == sorted(sbom(image))
    for text in (outcome.stdout, outcome.stderr, json.dumps(said), json.dumps(referrer)):
        assert LOGIN not in text


def sbom(image: str) -> set[tuple[str, str]]:
    """Purl and SHA-256 of each package in the SBOMs of an image, as BuildKit's own client reads them."""
    read = [*tool("docker"), "buildx", "imagetools", "inspect", image, "--format", "{{json .SBOM}}"]
    documents = [each["SPDX"] for each in json_of(output(read)).values()]
    packages = {
        (reference["referenceLocator"], checksum["checksumValue"])
        for document in documents
        for package in document["packages"]
        for reference in package.get("externalRefs", ())
        if reference["referenceType"] == "purl"
        for checksum in package.get("checksums", ())
        if checksum["algorithm"] == "SHA256"
    }
    kinds = {purl.partition("/")[0] for purl, _ in packages}
    assert {"pkg:deb", "pkg:pypi"} <= kinds
    return packages


def test_an_image_that_lacks_it_gets_it_without_a_build_and_only_once(release: Releaser) -> None:
    commit = release.workspace.commit
    assert release(APP, "v1.0.0", "--commit", commit, "--no-provenance").status == 0
    assert referrers(f"{release.repository}:v1.0.0") == []
    for version, written in (("v1.0.1", True), ("v1.0.2", False)):
        outcome = release(APP, version, "--commit", commit, "--engine", "registry")
        assert outcome.status == 0, outcome.stderr
        assert "build" not in outcome.bazel
        assert (outcome.blob_uploads != ()) is written
        (referrer,) = referrers(f"{release.repository}:{version}")
        assert referrer["annotations"][REVISION] == commit


def test_commits_with_the_same_image_have_a_statement_each(released: Releaser) -> None:
    first = released.workspace.commit
    (released.workspace.path / "NOTES").write_text("nothing that an image contains\n")
    released.workspace.commit_all("Add notes")
    assert released(APP, "v1.1.0", "--commit", released.workspace.commit).status == 0
    found = [each["annotations"][REVISION] for each in referrers(f"{released.repository}:v1.0.0")]
    assert found == [first, released.workspace.commit]


def test_cosign_verifies_a_signed_release_and_nothing_shows_the_password(
    release: Releaser, signing: tuple[tuple[str, str], dict[str, str]], tmp_path: Path
) -> None:
    options, environment = signing
    commit = release.workspace.commit
    call = (APP, "v1.0.0", "--commit", commit, "--json", "-", *options)
    outcome = release(*call, environment=environment)
    assert outcome.status == 0, outcome.stderr
    outcome.says(f"✅ Added signed provenance of commit {commit[:7]}")
    image = f"{release.repository}@{release.tags()['v1.0.0']}"
    (referrer,) = referrers(image)
    assert referrer["digest"] in cosign("tree", "--allow-http-registry", image)

    verify = ("verify-attestation", "--type=slsaprovenance1", "--insecure-ignore-tlog", "--allow-http-registry")
    accepted = cosign(*verify, f"--key={tmp_path}/ours.pub", image)
    said = json_of(base64.b64decode(json_of(accepted)["payload"]).decode())
    assert said["predicateType"] == SLSA
    assert said["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"] == {"gitCommit": commit}
    assert cosign(*verify, f"--key={tmp_path}/theirs.pub", image, may_fail=True) == ""

    again = release(*call, environment=environment)
    assert (again.status, again.writes) == (0, ()), again.stderr
    for text in (outcome.stdout, outcome.stderr, again.stdout, again.stderr, accepted):
        assert PASSWORD not in text


def test_a_key_without_its_password_ends_a_release_with_nothing_written(
    release: Releaser, signing: tuple[tuple[str, str], dict[str, str]]
) -> None:
    options, environment = signing
    call = (APP, "v1.0.0", "--commit", release.workspace.commit, *options)
    outcome = release(*call, environment={**environment, "COSIGN_PASSWORD": "another"})
    assert (outcome.status, outcome.writes) == (1, ()), outcome.stderr
    assert "Cannot sign the provenance" in outcome.stderr
    assert "--no-provenance" in outcome.stderr


def test_two_releases_of_a_commit_at_once_leave_one_image_with_one_statement(release: Releaser) -> None:
    commit = release.workspace.commit
    calls = [
        [*release.command, APP, version, "--commit", commit, "--engine", "registry", *release.to]
        for version in ("v1.0.0", "v1.0.1")
    ]
    running = [
        subprocess.Popen(call, cwd=release.workspace.path, env=release.environment(), stderr=subprocess.PIPE, text=True)
        for call in calls
    ]
    for each in running:
        said = each.communicate()[1]
        assert each.returncode == 0, said
    tags = release.tags()
    assert set(tags) == {commit, "v1.0.0", "v1.0.1", "latest"}
    assert len(set(tags.values())) == 1
    (referrer,) = referrers(f"{release.repository}:latest")
    assert referrer["annotations"][REVISION] == commit
