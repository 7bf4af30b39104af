"""Images are pure functions of their inputs: who has the inputs and a cache builds nothing and downloads little."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.releasing import APP, Releaser, crane
from tests.support.http_cache import HttpCache
from tests.support.workspace import Workspace

IMAGES = [f"//apps/{app}:{app}_image" for app in ("hello_cc", "hello_python", "hello_web")]

# What an action may have been, as the build event file says it, without having been run.
NOT_RUN = {"internal", "disk cache hit", "remote cache hit"}


@dataclass(frozen=True, slots=True)
class Build:
    """What a build did: how many actions by how they were run, and the digests of the images."""

    actions: Mapping[str, int]
    digests: tuple[str, ...]

    @property
    def run(self) -> dict[str, int]:
        """The actions that were not taken from a cache."""
        return {kind: count for kind, count in self.actions.items() if kind not in NOT_RUN}


def build(workspace: Workspace, folder: Path, *options: str) -> Build:
    events = folder / "events.json"
    groups = "--output_groups=+blobs,+descriptor"
    result = workspace.bazel("build", groups, f"--build_event_json_file={events}", *options, *IMAGES)
    assert result.returncode == 0, result.stderr
    counts: Counter[str] = Counter()
    for line in events.read_text(encoding="utf-8").splitlines():
        summary = json.loads(line).get("buildMetrics", {}).get("actionSummary", {})
        for runner in summary.get("runnerCount", []):
            if runner["name"] != "total":
                counts[runner["name"]] += runner["count"]
    assert counts, "the build event file does not say how actions were run"
    return Build(dict(counts), tuple(descriptor(workspace, target)["digest"] for target in IMAGES))


def descriptor(workspace: Workspace, target: str) -> Any:
    path = target.removeprefix("//").replace(":", "/")
    return json.loads((workspace.path / f"bazel-bin/{path}.descriptor.json").read_text())


@pytest.fixture(scope="module")
def elsewhere(clone: Workspace) -> Iterator[Workspace]:
    """A second checkout at another path with a Bazel server and an output base of its own."""
    folder = Path(tempfile.mkdtemp(prefix="slipway-elsewhere-"))
    clone.git("clone", "--quiet", str(clone.path), str(folder / "checkout"))
    second = Workspace(folder / "checkout", (f"--output_base={folder}/output",), clone.environment)
    # No caches but those that a test names.
    (second.path / "user.bazelrc").write_text("startup --max_idle_secs=900\n")
    yield second
    second.bazel("shutdown")
    subprocess.run(["chmod", "--recursive", "u+w", folder], check=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpCache]:
    with HttpCache(tmp_path_factory.mktemp("http-cache") / "nginx") as cache:
        yield cache


def test_a_second_checkout_builds_nothing_with_the_same_disk_cache(
    workspace: Workspace, elsewhere: Workspace, tmp_path: Path
) -> None:
    disk_cache = f"--disk_cache={tmp_path}/disk_cache"
    workspace.bazel("clean")
    first = build(workspace, tmp_path, disk_cache)
    assert first.run, "the first build was to build"
    second = build(elsewhere, tmp_path, disk_cache)
    assert second.run == {}
    assert second.digests == first.digests


def test_a_second_checkout_builds_nothing_with_the_same_http_cache(
    workspace: Workspace, elsewhere: Workspace, cache: HttpCache, tmp_path: Path
) -> None:
    remote_cache = f"--remote_cache={cache.url}"
    workspace.bazel("clean")
    first = build(workspace, tmp_path, "--disk_cache=", remote_cache)
    assert first.run, "the first build was to build"
    elsewhere.bazel("clean")
    second = build(elsewhere, tmp_path, remote_cache)
    assert second.run == {}
    assert second.digests == first.digests


def test_a_release_with_minimal_downloads_fetches_only_the_blobs_that_the_registry_lacks(
    workspace: Workspace, elsewhere: Workspace, cache: HttpCache, release: Releaser, tmp_path: Path
) -> None:
    # The image of one commit is in the registry; a machine has built the next one, and the cache has it.
    first = release(APP, "v1.0.0", "--commit", release.workspace.commit)
    assert first.status == 0, first.stderr
    release.change_app()
    build(workspace, tmp_path, "--disk_cache=", f"--remote_cache={cache.url}")

    # Another machine, which has neither, releases it.
    elsewhere.git("fetch", "--quiet", str(workspace.path), "HEAD")
    elsewhere.git("checkout", "--quiet", "FETCH_HEAD")
    elsewhere.bazel("clean")
    minimal = ["--remote_download_outputs=minimal", f"--remote_cache={cache.url}"]
    built = elsewhere.bazel("build", *minimal, "//release:release")
    assert built.returncode == 0, built.stderr
    other = Releaser(elsewhere, release.registry, release.owner, tmp_path)
    before = len(cache.requests())
    options = [f"--bazel-option={option}" for option in minimal]
    second = other(APP, "v1.1.0", "--commit", elsewhere.commit, *options)
    assert second.status == 0, second.stderr

    fetched = {each.digest for each in cache.requests()[before:] if (each.method, each.kind) == ("GET", "cas")}
    old, new = (_blobs(f"{other.repository}:{version}") for version in ("v1.0.0", "v1.1.0"))
    assert not fetched & old, "blobs were fetched that the registry had"
    assert fetched & (new - old), "the changed layer was fetched"
    assert len(second.blob_uploads) > 0


def _blobs(image: str) -> set[str]:
    """The digests of all layers of an image, without the algorithm."""
    index = json.loads(crane("manifest", image))
    repository = image.rpartition(":")[0]
    layers = set()
    for child in index["manifests"]:
        manifest = crane("manifest", f"{repository}@{child['digest']}")
        assert hashlib.sha256(manifest.encode()).hexdigest() in child["digest"]
        layers |= {layer["digest"].removeprefix("sha256:") for layer in json.loads(manifest)["layers"]}
    return layers
