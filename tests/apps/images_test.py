"""What holds of the image of every app: one digest for ever, and on each platform that platform's programs."""

from pathlib import Path

import pytest

from tests.apps.built import PLATFORMS, Built
from tools.image.layer import ELF_MACHINES
from tools.oci.manifest import OCI_INDEX, OCI_MANIFEST

HERE = Path(__file__).parent
APPS = ["hello_cc", "hello_python", "hello_web"]

# hello_cc is linked to the C library of whatever compiler the machine has: what it is made of is below.
GOLDEN = ["hello_python", "hello_web"]


@pytest.mark.parametrize("app", GOLDEN)
def test_an_index_has_the_recorded_digest(app: str) -> None:
    assert Built(app).descriptor["digest"] == (HERE / f"{app}.digest").read_text().strip(), (
        f"The image of {app} changed. If that was meant (another lock, launcher, layer format or compressor), "
        f"write the new digest to tests/apps/{app}.digest and say in the commit why it changed. "
        "If not, something that is no content has come into the image."
    )


@pytest.mark.parametrize("app", APPS)
def test_an_index_has_exactly_the_two_platforms_an_attestation_of_each_and_oci_media_types(app: str) -> None:
    built = Built(app)
    assert built.descriptor["mediaType"] == built.index.media_type == OCI_INDEX
    assert [str(platform) for platform in built.index.platforms] == PLATFORMS
    attested = [child for child in built.index.manifests if child.is_attestation]
    assert [child.annotations["vnd.docker.reference.digest"] for child in attested] == [
        built.image(platform).digest for platform in PLATFORMS
    ]
    assert {built.image(platform).media_type for platform in PLATFORMS} == {OCI_MANIFEST}


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_program_of_a_platform_is_for_that_platform(app: str, platform: str) -> None:
    machines = Built(app).machines(platform)
    assert set(machines.values()) == {ELF_MACHINES[platform.removeprefix("linux/")]}


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_image_runs_as_a_user_without_rights(app: str, platform: str) -> None:
    config = Built(app).config(platform)
    assert (config["os"], config["architecture"]) == tuple(platform.split("/"))
    assert config["config"]["User"] == "65532:65532"


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_nothing_in_an_image_names_a_time_but_the_epoch(app: str, platform: str) -> None:
    config = Built(app).config(platform)
    assert {config["created"], *(entry["created"] for entry in config["history"])} == {"1970-01-01T00:00:00Z"}
    assert {member.mtime for member, _ in Built(app).files(platform)} == {0}


def test_the_native_wheel_of_hello_python_is_in_its_image() -> None:
    for platform in PLATFORMS:
        machines = Built("hello_python").machines(platform)
        assert [name for name in machines if name.startswith("opt/wheels/pyyaml/")]
        assert "usr/bin/python3.13" in machines


@pytest.mark.parametrize("app", ["hello_python", "hello_web"])
def test_platforms_share_every_layer_that_holds_no_program(app: str) -> None:
    amd64, arm64 = (
        {layer.digest: entry["created_by"] for layer, entry in zip(image.layers, config["history"], strict=True)}
        for image, config in ((Built(app).image(each), Built(app).config(each)) for each in PLATFORMS)
    )
    own = {created_by.split()[0] for digest, created_by in amd64.items() if digest not in arm64}
    assert own <= {"Debian", "wheel"}
    shared = [created_by for digest, created_by in amd64.items() if digest in arm64]
    assert f"app {app}" in shared
    assert any(each.startswith("wheel click") for each in shared)


def test_apps_on_one_base_share_its_layers() -> None:
    for platform in PLATFORMS:
        one, other = ({layer.digest for layer in Built(app).image(platform).layers} for app in GOLDEN)
        bases = [
            layer.digest
            for layer, entry in zip(
                Built("hello_web").image(platform).layers, Built("hello_web").config(platform)["history"], strict=True
            )
            if entry["created_by"].startswith("Debian")
        ]
        assert bases
        assert {*bases} <= one & other


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_image_from_scratch_holds_the_program_and_its_data_only(platform: str) -> None:
    built = Built("hello_cc")
    found = [(member.name, oct(member.mode), member.uid) for member, _ in built.files(platform)]
    assert found == [
        ("app/_main/apps/hello_cc/greeting.txt", "0o644", 0),
        ("app/_main/apps/hello_cc/hello_cc", "0o755", 0),
        ("app/_repo_mapping", "0o644", 0),
    ]
    assert built.config(platform)["config"] == {
        "Entrypoint": ["/app/_main/apps/hello_cc/hello_cc"],
        "Env": ["RUNFILES_DIR=/app"],
        "User": "65532:65532",
    }


def test_the_metadata_name_the_app_and_its_image() -> None:
    metadata = Built("hello_python").metadata
    assert metadata | {"binary": "", "image": ""} == {
        "app": "hello_python",
        "binary": "",
        "description": "Greets, and says what it runs on",
        "domain": "demo",
        "image": "",
        "language": "python",
        "platforms": PLATFORMS,
        "repository": "demo-hello_python",
    }
    assert metadata["image"].endswith("//apps/hello_python:hello_python_image")
