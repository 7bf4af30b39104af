"""The registry in memory says what docker-registry says: the same conversations with both, compared line by line."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fault_registry.registry import FaultRegistry
from tests.support.images import ImageMaker
from tests.support.registry import PASSWORD, USER, LocalRegistry
from tests.support.tools import docker_with_buildx, tool
from tools.oci.client import RegistryClient
from tools.oci.credentials import Credential
from tools.oci.digest import digest_of
from tools.oci.errors import OciError
from tools.oci.inspection import inspect_index
from tools.oci.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Platform
from tools.oci.publication import push_index
from tools.oci.reference import Repository
from tools.oci.referrers import Artifact, add_referrer, list_referrers
from tools.oci.tags import write_tag

HELLO, EMPTY = b"hello world", b"{}"
_SESSION = re.compile(r"uploads/[0-9a-f-]{32,36}[^ ]*")
_PORT = re.compile(r"127\.0\.0\.1(?::|%3A)[0-9]+")


@dataclass(slots=True)
class Talk:
    """A conversation by bare HTTP, and what was answered: whatever a client may act upon."""

    address: str
    lines: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> http.client.HTTPResponse:
        """Ask, and note the answer."""
        connection = http.client.HTTPConnection(self.address)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body=body, headers=named)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        self.lines.append(f"{method} {_plain(path)} {named} -> {answer.status} {self._told(path, answer, content)}")
        return answer

    def upload(self, repository: str, content: bytes) -> None:
        """A blob in one piece."""
        where = self.location(self.ask("POST", f"/v2/{repository}/blobs/uploads/"))
        self.ask("PUT", f"{where}&digest={digest_of(content)}", content)

    def location(self, answer: http.client.HTTPResponse) -> str:
        """Where an answer leads: a path with its query."""
        parts = urlsplit(answer.headers["Location"])
        return parts._replace(scheme="", netloc="").geturl()

    def _told(self, path: str, answer: http.client.HTTPResponse, content: bytes) -> str:
        names = ("Docker-Content-Digest", "Content-Range", "Range", "Etag")
        told = [f"{name}={answer.headers[name]}" for name in names if name in answer.headers]
        if "Location" in answer.headers:
            told.append(_plain(answer.headers["Location"]))
        if answer.status < 300 and "json" in answer.headers.get("Content-Type", ""):
            told.append(answer.headers["Content-Type"].partition(";")[0])
        if answer.status >= 400:
            return " ".join([*told, *_codes(content)])
        if "/tags/list" in path:
            return " ".join([*told, *sorted(json.loads(content)["tags"])])
        return " ".join([*told, content.decode(errors="replace").strip()])


def _plain(text: str) -> str:
    """Without what is another one each time: ports and sessions."""
    return _SESSION.sub("uploads/SESSION", _PORT.sub("HOST", text))


def _codes(content: bytes) -> list[str]:
    try:
        return (
            [
                f"{error['code']}:{error.get('detail') if isinstance(error.get('detail'), str) else ''}"
                for error in json.loads(content)["errors"]
            ]
            if content
            else []
        )
    except ValueError:
        return ["no JSON"]


def manifest(*layers: bytes, **fields: Any) -> bytes:
    """An image's manifest."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": entry(EMPTY, OCI_CONFIG),
            "layers": [entry(layer, OCI_LAYER) for layer in layers],
            **fields,
        }
    ).encode()


def index(*children: bytes) -> bytes:
    """An index."""
    entries = [entry(child, OCI_MANIFEST) for child in children]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


def entry(content: bytes, media_type: str) -> dict[str, Any]:
    """A descriptor."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


# Conversations by bare HTTP


def questions_about_nothing(talk: Talk) -> None:
    for path in (
        *("/v2/", "/v2/x/tags/list", "/v2/x/manifests/v1", f"/v2/x/manifests/{digest_of(b'q')}"),
        *(f"/v2/x/blobs/{digest_of(b'q')}", "/v2/x/blobs/sha256:12", "/v2/X/tags/list"),
        *(f"/v2/x/referrers/{digest_of(b'q')}", "/token", "/v2/x/nothing", "/v2/x/manifests/", "/v2/_catalog"),
    ):
        talk.ask("GET", path)
        if "tags" not in path and "_catalog" not in path:
            talk.ask("HEAD", path)
    for path in ("/v2/x/manifests/v1", "/v2/x/tags/list", f"/v2/x/blobs/{digest_of(b'q')}"):
        assert talk.ask("POST", path, b"{}").status == 405
    talk.lines = [line.split(" UNSUPPORTED")[0].replace(" no JSON", "") for line in talk.lines]


def uploads(talk: Talk) -> None:
    where = talk.location(talk.ask("POST", "/v2/x/blobs/uploads/"))
    talk.ask("GET", where)
    talk.ask("GET", where.partition("?")[0])
    where = talk.location(talk.ask("PATCH", where, b"hello"))
    where = talk.location(talk.ask("PATCH", where, b" world", Content_Range="5-10"))
    talk.ask("GET", where)
    talk.ask("PUT", where)
    talk.ask("PUT", f"{where}&digest=sha256:12")
    talk.ask("PUT", f"{where}&digest={digest_of(HELLO)}")
    for given in ("", "bytes=2-5", "bytes=6-", "bytes=-3", "bytes=3-300", "bytes=20-"):
        talk.ask("GET", f"/v2/x/blobs/{digest_of(HELLO)}", Range=given)
    talk.ask("HEAD", f"/v2/x/blobs/{digest_of(HELLO)}")
    talk.ask("HEAD", f"/v2/y/blobs/{digest_of(HELLO)}")
    talk.upload("x", b"")
    talk.upload("x", HELLO)
    where = talk.location(talk.ask("POST", "/v2/x/blobs/uploads/"))
    talk.ask("PUT", f"{where}&digest={digest_of(b'other')}", b"content")
    talk.ask("PUT", f"{where}&digest={digest_of(b'content')}", b"content")
    where = talk.location(talk.ask("POST", "/v2/x/blobs/uploads/"))
    talk.ask("PUT", f"{where.partition('?')[0]}?digest={digest_of(b'q')}", b"q")
    talk.ask("DELETE", where)
    talk.ask("DELETE", where)
    talk.ask("PUT", f"/v2/x/blobs/uploads/nix?digest={digest_of(b'q')}", b"q")
    talk.ask("POST", f"/v2/x/blobs/uploads/?digest={digest_of(b'q')}", b"q")
    talk.ask("DELETE", f"/v2/x/blobs/{digest_of(HELLO)}")
    talk.ask("DELETE", f"/v2/x/blobs/{digest_of(HELLO)}")


def mounts(talk: Talk) -> None:
    talk.upload("x", HELLO)
    for mounted, source in ((digest_of(HELLO), "x"), (digest_of(b"q"), "x"), ("bad", "x"), (digest_of(HELLO), "z")):
        talk.ask("POST", f"/v2/y/blobs/uploads/?mount={mounted}&from={source}")
    talk.ask("GET", f"/v2/y/blobs/{digest_of(HELLO)}")
    talk.ask("GET", "/v2/y/tags/list")


def manifests(talk: Talk) -> None:
    for content in (HELLO, EMPTY):
        talk.upload("x", content)
    image = manifest(HELLO)
    for content, media_type in (
        *((manifest(b"gone", b"gone too"), OCI_MANIFEST), (b"{", OCI_MANIFEST), (b"[]", OCI_MANIFEST)),
        *((image, "text/plain"), (image, OCI_INDEX), (index(b"no"), OCI_INDEX), (index(image), OCI_INDEX)),
    ):
        talk.ask("PUT", "/v2/x/manifests/v1", content, Content_Type=media_type)
    talk.ask("PUT", f"/v2/x/manifests/{digest_of(b'1')}", image, Content_Type=OCI_MANIFEST)
    talk.ask("PUT", f"/v2/x/manifests/{digest_of(image)}", image, Content_Type=OCI_MANIFEST)
    talk.ask("PUT", "/v2/x/manifests/v1", image, Content_Type=OCI_MANIFEST)
    top = index(image)
    talk.ask("PUT", "/v2/x/manifests/v2", top, Content_Type=OCI_INDEX)
    talk.ask("PUT", "/v2/x/manifests/empty", index(), Content_Type=OCI_INDEX)
    talk.ask("PUT", "/v2/y/manifests/v2", top, Content_Type=OCI_INDEX)
    for accept in ("", OCI_MANIFEST, OCI_INDEX, "*/*", f"{OCI_MANIFEST};q=0.5, {OCI_INDEX}"):
        for reference in ("v1", "v2", digest_of(top)):
            talk.ask("GET", f"/v2/x/manifests/{reference}", Accept=accept)
            talk.ask("HEAD", f"/v2/x/manifests/{reference}", Accept=accept)
    talk.ask("GET", "/v2/x/manifests/v2", Accept=OCI_INDEX, If_None_Match=f'"{digest_of(top)}"')
    talk.ask("GET", "/v2/x/tags/list")
    talk.ask("PUT", "/v2/x/manifests/v1", top, Content_Type=OCI_INDEX)
    talk.ask("GET", "/v2/x/manifests/v1", Accept=OCI_INDEX)


def deletions(talk: Talk) -> None:
    for content in (HELLO, EMPTY):
        talk.upload("x", content)
    image = manifest(HELLO)
    for tag in ("v1", "v2"):
        talk.ask("PUT", f"/v2/x/manifests/{tag}", image, Content_Type=OCI_MANIFEST)
    top = index(image)
    talk.ask("PUT", "/v2/x/manifests/top", top, Content_Type=OCI_INDEX)
    talk.ask("DELETE", "/v2/x/manifests/v1")
    talk.ask("DELETE", f"/v2/x/manifests/{digest_of(image)}")
    talk.ask("DELETE", f"/v2/x/manifests/{digest_of(image)}")
    talk.ask("GET", "/v2/x/manifests/v1", Accept=OCI_MANIFEST)
    talk.ask("GET", "/v2/x/tags/list")
    talk.ask("PUT", "/v2/x/manifests/top", top, Content_Type=OCI_INDEX)
    talk.ask("DELETE", f"/v2/x/blobs/{digest_of(HELLO)}")
    talk.ask("PUT", "/v2/x/manifests/v1", image, Content_Type=OCI_MANIFEST)
    talk.ask("DELETE", f"/v2/y/manifests/{digest_of(image)}")


def a_subject(talk: Talk) -> None:
    talk.upload("x", EMPTY)
    image = manifest()
    talk.ask("PUT", "/v2/x/manifests/v1", image, Content_Type=OCI_MANIFEST)
    statement = manifest(subject=entry(image, OCI_MANIFEST), artifactType="text/plain")
    talk.ask("PUT", f"/v2/x/manifests/{digest_of(statement)}", statement, Content_Type=OCI_MANIFEST)
    talk.ask("GET", f"/v2/x/referrers/{digest_of(image)}")


@pytest.fixture
def real(tmp_path: Path) -> Iterator[LocalRegistry]:
    with LocalRegistry(tmp_path / "registry") as registry:
        yield registry


@pytest.fixture
def ours() -> Iterator[FaultRegistry]:
    with FaultRegistry() as registry:
        yield registry


@pytest.mark.parametrize("conversation", [questions_about_nothing, uploads, mounts, manifests, deletions, a_subject])
def test_the_same_questions_have_the_same_answers(
    real: LocalRegistry, ours: FaultRegistry, conversation: Callable[[Talk], None]
) -> None:
    expected, found = Talk(real.address), Talk(ours.address)
    conversation(expected)
    conversation(found)
    assert found.lines == expected.lines
    assert len(found.lines) > 4


# Conversations of clients


def log(registry: LocalRegistry | FaultRegistry) -> list[str]:
    """What was asked and answered, whatever the order of things done side by side."""
    asked = registry.requests()
    return sorted(f"{each.method} {_plain(each.path)} {each.status}" for each in asked)


def the_client_publishes_and_looks(address: str, maker: ImageMaker) -> list[object]:
    first, second = maker.index("first", attested=True), maker.index("second")
    a, b = Repository(address, "team/a"), Repository(address, "team/b")
    with RegistryClient(address, retry_for=0) as client:

        def attempt(call: Callable[[], object]) -> object:
            try:
                return call()
            except OciError as error:
                return type(error).__name__, _plain(error.what), _plain(error.why)

        facts: list[object] = [
            client.list_tags(a),
            attempt(lambda: client.get_manifest(a.tag("v1"))),
            client.head_manifest(a.tag("v1")),
            push_index(client, a, first.descriptor, maker.blobs),
            push_index(client, b, first.descriptor, maker.blobs),  # mounted
            push_index(client, a, second.descriptor, maker.blobs),
            push_index(client, a, second.descriptor, maker.blobs),
            write_tag(client, a.tag("v1"), first),
            write_tag(client, a.tag("v1"), first),
            attempt(lambda: write_tag(client, a.tag("v1"), second)),
            write_tag(client, a.tag("v2"), second),
            sorted(client.list_tags(a)),
            inspect_index(client, a.tag("v1"), [Platform.parse("linux/amd64")]).verdict,
            inspect_index(client, a.tag("v1"), first.platforms).verdict,
            client.get_manifest(b.digest(first.digest)),
            attempt(lambda: client.put_manifest(b.tag("v2"), second.content, second.media_type)),
        ]
        statement = Artifact(first.descriptor, "text/plain", "text/plain", b"well made", {"by": "us"})
        facts += [
            add_referrer(client, a, statement, list_referrers(client, a, first.digest)),
            list_referrers(client, a, first.digest),
            client.read_blob(a, statement.layer),
            attempt(lambda: client.read_blob(b, statement.layer)),
            client.traffic.requests,
        ]
    return facts


def test_our_client_learns_and_does_the_same(real: LocalRegistry, ours: FaultRegistry, tmp_path: Path) -> None:
    maker = ImageMaker(tmp_path / "blobs")
    found = the_client_publishes_and_looks(ours.address, maker)
    expected = the_client_publishes_and_looks(real.address, maker)
    assert found == expected
    assert log(ours) == log(real)
    assert ours.store.integrity() == []


PEERS = {
    "crane": ["crane tag --insecure {a}:v1 v2", "crane digest --insecure {a}:v2", "crane ls --insecure {a}",
              "crane copy --insecure {a}:v1 {b}:v1", "crane manifest --insecure {b}:v1",
              "crane validate --insecure --remote {b}:v1 --platform linux/arm64", "crane digest --insecure {a}:none",
              "crane catalog --insecure {host}", "crane delete --insecure {a}@{other}"],
    "skopeo": ["skopeo copy --all --src-tls-verify=false --dest-tls-verify=false docker://{a}:v1 docker://{b}:v3",
               "skopeo inspect --tls-verify=false --raw docker://{b}:v3",
               "skopeo list-tags --tls-verify=false docker://{a}",
               "skopeo copy --all --preserve-digests --src-tls-verify=false docker://{a}:v1 dir:{folder}/copied",
               "skopeo copy --all --dest-tls-verify=false dir:{folder}/copied docker://{host}/team/c:v1",
               "skopeo inspect --tls-verify=false docker://{a}:none"],
    "imagetools": ["docker buildx imagetools create --tag {a}:v2 {a}:v1",
                   "docker buildx imagetools inspect --raw {a}:v2",
                   "docker buildx imagetools create --tag {b}:v1 {a}:v1"],
}  # fmt: skip


@pytest.mark.parametrize("peer", PEERS)
def test_other_clients_say_the_same_of_both_and_ask_the_same(
    real: LocalRegistry, ours: FaultRegistry, tmp_path: Path, peer: str
) -> None:
    docker = docker_with_buildx() if peer == "imagetools" else []
    maker = ImageMaker(tmp_path / "blobs")
    # Which of two platforms sends what they share is a matter of luck with imagetools.
    platforms = ["linux/arm64"] if peer == "imagetools" else ["linux/amd64", "linux/arm64"]
    first, other = maker.index("first", platforms), maker.index("other", platforms)
    said: dict[str, list[tuple[int, str]]] = {}
    for name, registry in (("ours", ours), ("real", real)):
        repository = registry.repository("team/a")
        with RegistryClient(registry.address) as client:
            for image, tag in ((first, "v1"), (other, "v0")):
                push_index(client, repository, image.descriptor, maker.blobs)
                client.put_manifest(repository.tag(tag), image.content, image.media_type)
        registry.forget_requests()
        names = {
            "a": str(repository),
            "b": str(registry.repository("team/b")),
            "host": registry.address,
            "folder": str(tmp_path / name),
            "other": other.digest,
        }
        (tmp_path / name).mkdir()
        said[name] = []
        for line in PEERS[peer]:
            program, *arguments = line.format(**names).split()
            found = docker if program == "docker" else tool(program)
            ended = subprocess.run([*found, *arguments], capture_output=True, text=True, check=False)
            # Tags are listed in any order.
            output = "\n".join(sorted(line.rstrip(",") for line in _plain(ended.stdout).splitlines()))
            said[name].append((ended.returncode, output))
    assert said["ours"] == said["real"]
    assert [status for status, _ in said["ours"]].count(0) >= 3
    assert log(ours) == log(real)
    assert ours.store.integrity() == []


def test_a_login_is_demanded_alike(tmp_path: Path) -> None:
    class Login:
        def find(self, registry: str) -> Credential:
            return Credential(USER, PASSWORD)

    answers = []
    with LocalRegistry(tmp_path / "registry", login=True) as real, FaultRegistry() as ours:
        ours.require_login({USER: PASSWORD})
        for address in (real.address, ours.address):
            talk = Talk(address)
            talk.ask("GET", "/v2/")
            talk.ask("GET", "/v2/", Authorization="Basic bm9ib2R5Om5vdGhpbmc=")
            with RegistryClient(address, credentials=Login()) as client:
                tags = client.list_tags(Repository(address, "x"))
            answers.append((talk.lines, tags, client.traffic.requests))
    assert answers[0] == answers[1]
