"""The layouts of images as programs that are not ours read them."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps.built import PLATFORMS, Built
from tests.support.registry import LocalRegistry
from tests.support.tools import tool
from tools.oci.manifest import OCI_INDEX

APPS = ["hello_cc", "hello_python", "hello_web"]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    with LocalRegistry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


def run(name: str, *arguments: str) -> str:
    # oras wants a home, which a test has none of.
    environment = {"HOME": os.environ["TEST_TMPDIR"], **os.environ}
    finished = subprocess.run([*tool(name), *arguments], capture_output=True, text=True, check=False, env=environment)
    assert finished.returncode == 0, f"{finished.args}: {finished.stderr}"
    return finished.stdout.strip()


def layout(app: str) -> str:
    return str((Built(app).folder / f"{app}_image.layout").resolve())


def tarball(app: str) -> str:
    return str((Built(app).folder / f"{app}_image.oci.tar").resolve())


@pytest.mark.parametrize("app", APPS)
def test_skopeo_crane_and_oras_push_a_layout_and_find_its_digest(app: str, registry: LocalRegistry) -> None:
    digest = Built(app).descriptor["digest"]
    target = f"{registry.address}/clients/{app}"
    run("skopeo", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false",
        f"oci:{layout(app)}", f"docker://{target}:skopeo")  # fmt: skip
    run("crane", "push", "--insecure", layout(app), f"{target}:crane")
    run("oras", "copy", "--from-oci-layout", "--to-plain-http", f"{layout(app)}@{digest}", f"{target}:oras")
    for tag in ("skopeo", "crane", "oras"):
        assert run("crane", "digest", "--insecure", f"{target}:{tag}") == digest
    if app != "hello_web":  # crane's validation knows neither zstd nor layers of attestations.
        for platform in PLATFORMS:
            run("crane", "validate", "--insecure", "--remote", f"{target}@{Built(app).image(platform).digest}")


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_skopeo_reads_both_platforms_out_of_the_tar_archive(app: str, platform: str) -> None:
    system, architecture = platform.split("/")
    override = (f"--override-os={system}", f"--override-arch={architecture}")
    config = json.loads(run("skopeo", *override, "inspect", "--config", f"oci-archive:{tarball(app)}"))
    assert config == Built(app).config(platform)
    raw = json.loads(run("skopeo", "inspect", "--raw", f"oci-archive:{tarball(app)}"))
    assert raw["mediaType"] == OCI_INDEX


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_umoci_unpacks_what_the_layers_hold(app: str, platform: str, tmp_path: Path) -> None:
    architecture = platform.partition("/")[2]
    run("skopeo", f"--override-arch={architecture}", "copy", f"oci:{layout(app)}", f"oci:{tmp_path}/layout:one")
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    run("umoci", "raw", "unpack", "--image", f"{tmp_path}/layout:one", *rootless, str(tmp_path / "root"))
    files = {member.name: member.size for member, _ in Built(app).files(platform) if member.isreg()}
    assert files
    assert {name: (tmp_path / "root" / name).stat().st_size for name in files} == files
