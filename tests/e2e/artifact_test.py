"""Built once, then published from a file: the same digest in every registry."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.releasing import APP, PLATFORMS, REVISION, Releaser, crane, json_of, referrers, skopeo
from tests.support.registry import LocalRegistry

APPS = (APP, "hello_cc")


@pytest.fixture(scope="session")
def second_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    with LocalRegistry(tmp_path_factory.mktemp("second-registry")) as registry:
        yield registry


def test_an_artifact_is_built_once_and_its_digests_are_in_every_registry(
    release: Releaser, second_registry: LocalRegistry, tmp_path: Path
) -> None:
    workspace = release.workspace
    workspace.build("//release:build", "//release:publish")
    programs = workspace.path / "bazel-bin" / "release"
    commit, out = workspace.commit, tmp_path / "images.tar"
    call = [str(programs / "build"), ",".join(APPS), "--commit", commit]
    built = release.run([*call, "--out", str(out), "--json", "-"])
    assert built.status == 0, built.stderr
    assert (built.bazel, built.requests) == (("query", "build"), ())
    record = json_of(built.stdout)
    assert record["source"]["commit"] == commit
    digests = {each["app"]: each["digest"] for each in record["apps"]}
    assert set(digests) == set(APPS)
    listed = json_of(skopeo("inspect", "--raw", f"oci-archive:{out}:demo-{APP}"))
    platforms = [each["platform"] for each in listed["manifests"] if each["platform"]["os"] != "unknown"]
    assert {f"{each['os']}/{each['architecture']}" for each in platforms} == set(PLATFORMS)

    again = release.run([*call, "--out", str(tmp_path / "again.tar")])
    assert again.status == 0, again.stderr
    assert (tmp_path / "again.tar").read_bytes() == out.read_bytes()

    places = [f"{each.address}/{release.owner}" for each in (release.registry, second_registry)]
    publish = [str(programs / "publish"), str(out), "v1.0.0", *(f"--to={place}" for place in places), "--json", "-"]
    published = release.run(publish)
    assert published.status == 0, published.stderr
    assert published.bazel == ()
    for entry in json_of(published.stdout)["releases"]:
        name = entry["app"]
        digest = digests[name.removeprefix("demo-")]
        assert (entry["path"], entry["artifact_digest"], entry["digest"]) == ("publish", digest, digest)
        assert [copy["digest"] for copy in entry["copies"]] == [digest]
        for place in places:
            for tag in (commit, "v1.0.0", "latest"):
                assert crane("digest", f"{place}/{name}:{tag}").strip() == digest
            (referrer,) = referrers(f"{place}/{name}:v1.0.0")
            assert referrer["annotations"][REVISION] == commit

    # A release of the commit finds there what it would have made.
    released = release(APP, "v1.0.1", "--commit", commit, "--engine", "registry", "--rebuild")
    assert released.status == 0, released.stderr
    assert release.tags()["v1.0.1"] == digests[APP]
    assert released.blob_uploads == ()


def test_a_tree_that_is_not_the_commit_makes_no_artifact(release: Releaser, tmp_path: Path) -> None:
    release.workspace.build("//release:build")
    commit = release.workspace.commit
    release.change_app()
    call = [str(release.workspace.path / "bazel-bin/release/build"), APP, "--commit", commit]
    refused = release.run([*call, "--out", str(tmp_path / "images")])
    assert refused.status == 3, refused.stderr
    assert "Refused to build commit" in refused.stderr
    assert refused.bazel == ()
    assert list(tmp_path.glob("*images*")) == []

    built = release.run([*call, "--out", str(tmp_path / "images"), "--checkout"])
    assert built.status == 0, built.stderr
    assert json.loads((tmp_path / "images" / "slipway.json").read_bytes())["commit"] == commit
