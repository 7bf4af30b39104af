"""The configuration file: what it may say, and where it is wrong."""

from pathlib import Path

import pytest

from release.config import Config, ProvenanceSettings
from release.config_file import load_config
from release.errors import Exit, InvalidRequest
from release.tags import TagTemplates
from tools.oci.manifest import Platform


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_every_key_may_be_left_out(file: Path) -> None:
    file.write_text("# nothing\n")
    assert load_config(file) == Config()


def test_every_key_is_read(file: Path) -> None:
    file.write_text(
        """
        registry: ghcr.io
        owner: Acme
        apps: //services/...
        platforms: [linux/amd64, linux/arm64/v8, linux/arm/v7]
        retry_seconds: 5
        tags: {commit: "git-{commit}", version: "{version}", latest: newest}
        provenance:
          enabled: false
          builder: https://ci.example/builder
          source: git+https://git.example/acme/apps
          cosign_key: keys/cosign.key
        """
    )
    assert load_config(file) == Config(
        registry="ghcr.io",
        owner="Acme",
        apps="//services/...",
        platforms=(Platform("linux", "amd64"), Platform("linux", "arm64"), Platform("linux", "arm", "v7")),
        tags=TagTemplates("git-{commit}", "{version}", "newest"),
        provenance=ProvenanceSettings(
            enabled=False,
            builder="https://ci.example/builder",
            source="git+https://git.example/acme/apps",
            cosign_key=f"{file.parent}/keys/cosign.key",
        ),
        retry_seconds=5.0,
    )


@pytest.mark.parametrize("key", ["awskms:///alias/us", "k8s://releases/cosign", "pkcs11:token=a", "/run/cosign.key"])
def test_a_key_that_is_no_file_beside_the_configuration_stays_as_it_is(file: Path, key: str) -> None:
    file.write_text(f"provenance: {{cosign_key: '{key}'}}\n")
    assert load_config(file).provenance.cosign_key == key


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("registry: a\n", 1, "registry: a registry's host has a dot"),
        ("apps: //a\nregistry: https://ghcr.io\n", 2, "registry: a registry is HOST"),
        ("registry: 5000\n", 1, "registry: it has to be a text"),
        (
            "registry: ghcr.io\ndestinations:\n- registry: ghcr.io\n",
            1,
            "registry and destinations say the same",
        ),
        (
            "destinations:\n- registry: ghcr.io\n  required: false\n",
            2,
            "destinations: the first one is where",
        ),
        ("destinations:\n- registry: ghcr.io\n- owner: a\n", 3, "destinations[1] lacks the key registry"),
        ("destinations:\n- registry: ghcr.io\n- registry: ghcr.io\n", 2, "destinations: a registry is there twice"),
        ("destinations: []\n", 1, "destinations: it has to be a list of registries"),
        ("regsitry: ghcr.io\n", 1, "unknown key regsitry; known are registry, owner"),
        ("owner: a\n\nowner: b\n", 3, "key owner is there twice"),
        ("owner: [a]\n", 1, "owner: it has to be a text"),
        ("apps: services\n", 1, "apps: it has to be a Bazel target pattern"),
        ("platforms: linux/amd64\n", 1, "platforms: it has to be a list"),
        ("platforms: []\n", 1, "platforms: it has to be a list"),
        ("platforms:\n- linux\n", 2, "platforms: 'linux' is not a platform"),
        ("platforms: [linux/arm64, linux/arm64/v8]\n", 1, "platforms: a platform is there twice"),
        ("tags: latest\n", 1, "tags has to be a mapping"),
        ("tags:\n  commit: '{commit}'\n  newest: x\n", 3, "unknown key tags.newest"),
        ("tags:\n  commit: sha\n", 2, "tags: 'sha' has to name {commit} once"),
        ("tags:\n  latest: 1\n", 2, "tags.latest: it has to be a text"),
        ("retry_seconds: -1\n", 1, "retry_seconds: it has to be a number of seconds"),
        ("retry_seconds: soon\n", 1, "retry_seconds: it has to be a number of seconds"),
        ("provenance: false\n", 1, "provenance has to be a mapping"),
        ("provenance:\n  enabled: maybe\n", 2, "provenance.enabled: it has to be true or false"),
        ("provenance:\n  builder: us\n", 2, "provenance.builder: it has to be a URI"),
        ("provenance:\n  source: https://bot:hidden@git.example/x\n", 2, "provenance.source: it has a login in it"),
        ("provenance:\n  cosign_password: x\n", 2, "unknown key provenance.cosign_password; known are enabled"),
        ("- registry\n", 1, "the file has to be a mapping"),
        ("registry: [\n", 2, ""),
        ("registry: !!python/object:os.system ls\n", 1, "registry: it has to be a text"),
    ],
)
def test_an_error_names_file_line_and_key(file: Path, text: str, line: int, words: str) -> None:
    file.write_text(text)
    with pytest.raises(InvalidRequest) as caught:
        load_config(file)
    assert caught.value.exit_status == Exit.USAGE
    assert f"{file}:{line}: {words}" in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"registry: \x00", b"a: &x [*x]\n? *x\n"])
def test_a_file_that_is_no_yaml_is_a_wrong_configuration(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"config\.yaml"):
        load_config(file)


def test_a_file_that_is_not_there_is_a_wrong_configuration(file: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"config\.yaml.*No such file"):
        load_config(file)


def test_this_repositorys_own_configuration_is_the_default_one() -> None:
    own = Path(__file__).parents[2] / "release" / "config.yaml"
    assert load_config(own) == Config()
