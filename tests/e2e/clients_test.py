"""What was released, as clients that are not ours see it."""

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

from tests.e2e.releasing import APP, PLATFORMS, Releaser, crane, output, skopeo
from tests.support.tools import tool

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

MACHINES = {"amd64": 62, "arm64": 183}  # e_machine of ELF: EM_X86_64, EM_AARCH64.


def test_skopeo_and_crane_agree_on_digests_platforms_and_media_types(released: Releaser) -> None:
    image = f"{released.repository}:v1.0.0"
    raw = skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{image}")
    digest = f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"

    assert crane("manifest", image).strip() == raw.strip()
    assert crane("digest", image).strip() == digest == released.tags()["v1.0.0"]
    index = json.loads(raw)
    assert (index["schemaVersion"], index["mediaType"]) == (2, INDEX)
    runnable, attestations = index["manifests"][:2], index["manifests"][2:]
    assert {child["platform"]["os"] for child in attestations} == {"unknown"}
    for child, platform in zip(runnable, PLATFORMS, strict=True):
        assert child["mediaType"] == MANIFEST
        assert crane("digest", "--platform", platform, image).strip() == child["digest"]
        by_digest = f"docker://{released.repository}@{child['digest']}"
        manifest = json.loads(skopeo("inspect", "--tls-verify=false", "--raw", by_digest))
        assert manifest == json.loads(crane("manifest", f"{released.repository}@{child['digest']}"))
        assert (manifest["mediaType"], manifest["config"]["mediaType"]) == (MANIFEST, CONFIG)
        assert {layer["mediaType"] for layer in manifest["layers"]} == {LAYER}
        config = json.loads(skopeo("inspect", "--tls-verify=false", "--config", by_digest))
        assert f"{config['os']}/{config['architecture']}" == platform
        assert config == json.loads(crane("config", "--platform", platform, image))


def test_crane_finds_every_blob_of_the_index_as_its_digest_says(released: Releaser) -> None:
    index = json.loads(crane("manifest", f"{released.repository}:v1.0.0"))
    for child in index["manifests"][:2]:  # The layers of attestations are no archives, as crane expects.
        image = f"{released.repository}@{child['digest']}"
        output([*tool("crane"), "validate", "--insecure", "--remote", image])


def test_skopeo_copies_all_platforms_and_keeps_the_digest(released: Releaser, tmp_path: Path) -> None:
    source = f"docker://{released.repository}:v1.0.0"
    skopeo("copy", "--all", "--preserve-digests", "--src-tls-verify=false", source, f"oci:{tmp_path}/layout:copied")
    index = json.loads((tmp_path / "layout" / "index.json").read_text())
    assert [each["digest"] for each in index["manifests"]] == [released.tags()["v1.0.0"]]


def test_image_push_pushes_what_a_release_pushes(released: Releaser) -> None:
    pushed = f"{released.registry.address}/{released.owner}/pushed"
    options = ["--repository", pushed, "--tag", "one", "--tag", "two"]
    result = subprocess.run(
        released.workspace.command("run", f"//apps/{APP}:{APP}_image_push", "--", *options),
        cwd=released.workspace.path,
        env=released.environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    digest = released.tags()["v1.0.0"]
    assert result.stdout == f"{digest}\n"
    assert {crane("digest", f"{pushed}:{tag}").strip() for tag in ("one", "two")} == {digest}


def test_the_elf_files_of_each_platform_are_that_platforms(released: Releaser) -> None:
    for platform, machine in zip(PLATFORMS, MACHINES.values(), strict=True):
        manifest = json.loads(crane("manifest", "--platform", platform, f"{released.repository}:v1.0.0"))
        machines = {}
        for layer in manifest["layers"]:
            fetch = [*tool("crane"), "blob", f"{released.repository}@{layer['digest']}", "--insecure"]
            blob = subprocess.run(fetch, capture_output=True, check=True).stdout
            with tarfile.open(fileobj=io.BytesIO(blob), mode="r:gz") as archive:
                for member in filter(tarfile.TarInfo.isfile, archive):
                    content = archive.extractfile(member)
                    assert content is not None
                    header = content.read(20)
                    if header.startswith(b"\x7fELF"):
                        machines[member.name] = int.from_bytes(header[18:20], "little")
        assert set(machines.values()) == {machine}
        assert any("yaml" in name for name in machines), f"no native wheel in the image of {platform} of {APP}"
