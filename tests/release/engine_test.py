"""What gives an image another tag, and which of the two it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from release.engine import EngineMissing, Imagetools, RegistryApi, Substituted, choose_engine
from release.errors import TaggingError
from release.request import EngineName
from tests.release.house import House, hide_docker, install
from tools.oci.client import RegistryClient

SOURCE, TARGET = "localhost:1/a@sha256:" + "0" * 64, "localhost:1/a:v1.0.0"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    return tmp_path / "bin"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (1, "docker: 'buildx' is not a docker command."),
        (1, "docker: unknown command: docker buildx\n\nRun 'docker --help' for more information"),
        (125, "unknown flag: --tag\n\nUsage:  docker [OPTIONS] COMMAND [ARG...]"),
        (125, "Error: unrecognized command `podman buildx imagetools`"),
    ],
)
def test_a_missing_plugin_is_recognised_by_what_docker_says(
    programs: Path, monkeypatch: pytest.MonkeyPatch, status: int, said: str
) -> None:
    install(programs, monkeypatch, "docker", f"cat >&2 <<'END'\n{said}\nEND\nexit {status}\n")
    with pytest.raises(EngineMissing, match="docker has no buildx plugin"):
        Imagetools().tag(SOURCE, TARGET)


def test_a_missing_docker_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_docker(tmp_path / "empty", monkeypatch)
    with pytest.raises(EngineMissing, match="No such file"):
        Imagetools().tag(SOURCE, TARGET)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("#1 pushing\nERROR: unexpected status: 401\nmore", "unexpected status: 401 (exit status 1)"),
        ("something else", "something else (exit status 1)"),
        ("", "it said nothing (exit status 1)"),
    ],
)
def test_any_other_failure_is_told_in_dockers_own_words(
    programs: Path, monkeypatch: pytest.MonkeyPatch, said: str, reason: str
) -> None:
    install(programs, monkeypatch, "docker", f"cat >&2 <<'END'\n{said}\nEND\nexit 1\n")
    with pytest.raises(TaggingError) as caught:
        Imagetools().tag(SOURCE, TARGET)
    assert not isinstance(caught.value, EngineMissing)
    assert caught.value.why == reason


@pytest.fixture
def far_away() -> Iterator[RegistryClient]:
    with RegistryClient("registry.example:5000") as client:
        yield client


@pytest.mark.parametrize(
    ("wanted", "insecure", "expected"),
    [
        (EngineName.IMAGETOOLS, False, EngineName.IMAGETOOLS),
        (EngineName.REGISTRY, False, EngineName.REGISTRY),
        (EngineName.IMAGETOOLS, True, EngineName.REGISTRY),
        (EngineName.REGISTRY, True, EngineName.REGISTRY),
    ],
)
def test_imagetools_cannot_be_used_for_plain_http_to_another_machine(
    far_away: RegistryClient, wanted: EngineName, insecure: bool, expected: EngineName
) -> None:
    said: list[str] = []
    assert choose_engine(wanted, far_away, None, insecure=insecure, say=said.append).name is expected
    assert bool(said) is (wanted is not expected)


def test_imagetools_speaks_plain_http_to_this_machine(house: House) -> None:
    engine = choose_engine(EngineName.IMAGETOOLS, house.client, None, insecure=True, say=print)
    assert engine.name is EngineName.IMAGETOOLS


def test_the_registry_engine_reads_the_source_unless_it_is_known(house: House) -> None:
    image = house.maker.index()
    house.publish(image)
    source = str(house.direct.digest(image.digest))
    for number, known in enumerate((None, image, house.maker.index("another"))):
        before = house.client.traffic.requests.get("GET", 0)
        RegistryApi(house.client, known).tag(source, f"{house.direct}:v1.0.{number}")
        assert house.client.traffic.requests.get("GET", 0) - before == (0 if known is image else 1)
    assert set(house.tags().values()) == {image.digest}


def test_an_engine_is_not_replaced_because_a_call_of_it_fails(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(programs, monkeypatch, "docker", "echo 'ERROR: reset' >&2; exit 1\n")
    said: list[str] = []
    engine = Substituted(Imagetools(), Imagetools("no-docker"), said.append)
    with pytest.raises(TaggingError, match="reset"):
        engine.tag(SOURCE, TARGET)
    assert said == []
