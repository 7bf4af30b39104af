"""Basic and Bearer, tokens and whom they are shown to."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fault_proxy import Answer, Fault, FaultProxy, error_answer
from tests.support.images import ImageMaker
from tests.support.registry import PASSWORD, USER, LocalRegistry
from tools.oci.authorization import Authorization, Challenge, Scope, parse_challenges
from tools.oci.client import Access, RegistryClient
from tools.oci.credentials import Credential
from tools.oci.errors import Forbidden, InvalidResponse, Unauthorized
from tools.oci.inspection import Verdict, inspect_index
from tools.oci.manifest import Platform
from tools.oci.parallel import run_all
from tools.oci.publication import push_index
from tools.oci.tags import write_tag


class Login:
    """One credential, and how often it was asked for."""

    def __init__(self, credential: Credential | None) -> None:
        self.credential = credential
        self.asked = 0

    def find(self, registry: str) -> Credential | None:
        self.asked += 1
        return self.credential


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", ()),
        ('Basic realm="a registry"', (Challenge("basic", {"realm": "a registry"}),)),
        ("Basic", (Challenge("basic", {}),)),
        (
            'Bearer realm="https://a.example/token",service="a, b",scope="repository:x:pull,push"',
            (
                Challenge(
                    "bearer",
                    {"realm": "https://a.example/token", "service": "a, b", "scope": "repository:x:pull,push"},
                ),
            ),
        ),
        (
            'BEARER Realm = "r" , service=s , error="insufficient_scope"',
            (Challenge("bearer", {"realm": "r", "service": "s", "error": "insufficient_scope"}),),
        ),
        (r'Bearer realm="say \"hi\" \\"', (Challenge("bearer", {"realm": 'say "hi" \\'}),)),
        (
            'Negotiate, Basic realm="x", Bearer realm="y"',
            (Challenge("negotiate", {}), Challenge("basic", {"realm": "x"}), Challenge("bearer", {"realm": "y"})),
        ),
        (
            'Negotiate YWJj==, Basic realm="x"',
            (Challenge("negotiate", {}), Challenge("basic", {"realm": "x"})),
        ),
        ('Bearer realm="r", realm="other"', (Challenge("bearer", {"realm": "r"}),)),
        ('Bearer realm="open', (Challenge("bearer", {}),)),
        ('="x"', ()),
    ],
)
def test_a_challenge_is_read_with_its_quoted_commas(header: str, challenges: tuple[Challenge, ...]) -> None:
    assert parse_challenges(header) == challenges


@given(st.text())
def test_no_header_does_anything_but_parse(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()


VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126))
NAMES = st.from_regex(r"\A[a-z][a-z0-9_]{0,5}\Z")


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, VALUES, min_size=1, max_size=3)), max_size=3))
def test_every_challenge_that_is_written_is_read_back(challenges: list[tuple[str, dict[str, str]]]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"{scheme} " + ",".join(f"{name}={quoted(value)}" for name, value in parameters.items())
        for scheme, parameters in challenges
    )
    assert parse_challenges(header) == tuple(Challenge(scheme, parameters) for scheme, parameters in challenges)


def test_a_scope_to_push_serves_a_pull_of_the_same_repository() -> None:
    assert str(Scope("a/b", push=True)) == "repository:a/b:pull,push"
    assert Scope("a", push=True).covers(Scope("a"))
    assert not Scope("a").covers(Scope("a", push=True))
    assert not Scope("a", push=True).covers(Scope("b"))


def test_a_scope_to_delete_is_asked_for_by_name_only() -> None:
    everything = Scope("a", push=True, delete=True)
    assert str(everything) == "repository:a:pull,push,delete"
    assert everything.covers(Scope("a", push=True))
    assert not Scope("a", push=True).covers(everything)


def test_a_token_with_claims_tells_what_it_allows_and_an_opaque_one_does_not(proxy: FaultProxy, path: str) -> None:
    repository = proxy.repository(path)
    login = Credential(USER, PASSWORD, source="a test")
    for opaque, granted in ((False, frozenset({"pull", "push"})), (True, None)):
        proxy.require_token({USER: PASSWORD}, opaque=opaque)
        with RegistryClient(proxy.address, credentials=Login(login)) as client:
            assert client.authorization(repository, Access.PUSH) == Authorization(None, None, None)  # not asked yet
            client.list_tags(repository)
            assert client.authorization(repository, Access.PUSH) == Authorization("bearer", "a test", granted)


def test_a_registry_with_basic_authentication_is_logged_in_to(
    tmp_path: Path, no_login: Path, maker: ImageMaker
) -> None:
    index = maker.index()
    with LocalRegistry(tmp_path / "registry", login=True) as registry:
        auth = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (no_login / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": auth}}}))
        with RegistryClient(registry.address) as client:
            push_index(client, registry.repository("app"), index.descriptor, maker.blobs)
            write_tag(client, registry.repository("app").tag("v1"), index)
            assert client.list_tags(registry.repository("app")) == ("v1",)
        statuses = [request.status for request in registry.requests()]
        assert 1 <= statuses.count(401) <= 3  # it begins with three questions at the same time


def test_a_registry_that_wants_a_login_is_no_reason_to_think_it_empty(tmp_path: Path) -> None:
    with (
        LocalRegistry(tmp_path / "registry", login=True) as registry,
        RegistryClient(registry.address) as nobody,
        RegistryClient(registry.address, credentials=Login(Credential(USER, "wrong-hidden"))) as stranger,
    ):
        reference = registry.repository("app").tag("v1")
        with pytest.raises(Unauthorized, match="without a login") as caught:
            nobody.find_manifest(reference)
        assert f"docker login {registry.address}" in caught.value.remedy
        with pytest.raises(Unauthorized, match="with the login that Docker has") as caught:
            stranger.find_manifest(reference)
        assert "hidden" not in str(caught.value)
        inspection = inspect_index(nobody, reference, [Platform("linux", "amd64")])
        assert inspection.verdict is Verdict.UNKNOWN
        assert isinstance(inspection.error, Unauthorized)


def test_a_token_is_fetched_once_and_a_push_token_serves_every_read(
    proxy: FaultProxy, maker: ImageMaker, path: str
) -> None:
    proxy.require_token({USER: PASSWORD})
    login = Login(Credential(USER, PASSWORD))
    index = maker.index()
    repository = proxy.repository(path)
    with RegistryClient(proxy.address, credentials=login) as client:
        push_index(client, repository, index.descriptor, maker.blobs)
        write_tag(client, repository.tag("v1"), index)
        assert client.get_manifest(repository.tag("v1")) == index
        assert client.list_tags(repository) == ("v1",)
    paths = [request.path.partition("?")[0] for request in proxy.requests()]
    assert paths.count("/token") == 1
    # It begins with three questions at the same time, each of which may come before the token.
    assert 1 <= [request.status for request in proxy.requests()].count(401) <= 3
    assert login.asked == 1


def test_threads_that_need_the_same_token_share_one_request_for_it(
    proxy: FaultProxy, maker: ImageMaker, client: RegistryClient, registry: LocalRegistry, path: str
) -> None:
    index = maker.index()
    push_index(client, registry.repository(path), index.descriptor, maker.blobs)
    proxy.require_token()
    proxy.latency = 0.05
    with RegistryClient(proxy.address) as anybody:
        reference = proxy.repository(path).digest(index.digest)
        assert run_all([lambda: anybody.get_manifest(reference)] * 8) == [index] * 8
    assert [request.path.partition("?")[0] for request in proxy.requests()].count("/token") == 1


def test_reading_needs_no_more_than_pull_and_writing_asks_for_push(
    proxy: FaultProxy, maker: ImageMaker, path: str
) -> None:
    proxy.require_token()
    repository = proxy.repository(path)
    index = maker.index()
    with RegistryClient(proxy.address) as client:
        assert client.find_manifest(repository.tag("v1")) is None
        push_index(client, repository, index.descriptor, maker.blobs)
    scopes = [request.path.partition("scope=")[2] for request in proxy.requests() if request.path.startswith("/token")]
    name = path.replace("/", "%2F")
    assert scopes == [f"repository%3A{name}%3Apull", f"repository%3A{name}%3Apull%2Cpush"]


def test_a_mount_asks_for_the_source_too(proxy: FaultProxy, maker: ImageMaker, path: str) -> None:
    proxy.require_token()
    index = maker.index()
    source, target = proxy.repository(f"{path}/source"), proxy.repository(f"{path}/target")
    with RegistryClient(proxy.address) as client:
        push_index(client, source, index.descriptor, maker.blobs)
        report = push_index(client, target, index.descriptor, maker.blobs)
    assert report.blobs_mounted == 5
    assert report.blobs_uploaded == 0


@pytest.mark.parametrize("status", [400, 401, 403])
def test_what_may_not_be_mounted_is_sent(proxy: FaultProxy, maker: ImageMaker, path: str, status: int) -> None:
    proxy.require_token()
    index = maker.index()
    source, target = proxy.repository(f"{path}/source"), proxy.repository(f"{path}/target")
    both = r"/token\?.*source.*target"  # in the order of the mount
    proxy.inject(Fault(path=both, times=0, answer=error_answer(status, "DENIED")))
    with RegistryClient(proxy.address, retry_for=0) as client:
        push_index(client, source, index.descriptor, maker.blobs)
        report = push_index(client, target, index.descriptor, maker.blobs)
    assert (report.blobs_mounted, report.blobs_uploaded) == (0, 5)


def test_an_expired_token_is_renewed_once(proxy: FaultProxy, maker: ImageMaker, path: str) -> None:
    proxy.require_token()
    repository = proxy.repository(path)
    index = maker.index()
    with RegistryClient(proxy.address) as client:
        push_index(client, repository, index.descriptor, maker.blobs)
        proxy.revoke_tokens()
        proxy.forget_requests()
        assert client.get_manifest(repository.digest(index.digest), access=Access.PUSH) == index
    assert [(request.method, request.status) for request in proxy.requests()] == [
        ("GET", 401),
        ("GET", 200),
        ("GET", 200),
    ]


def test_a_token_that_does_not_help_is_not_asked_for_again(proxy: FaultProxy, path: str) -> None:
    proxy.require_token()
    proxy.inject(
        Fault(
            path="/v2/",
            times=0,
            answer=error_answer(401, "UNAUTHORIZED", "no", WWW_Authenticate=f'Bearer realm="{proxy.url}/token"'),
        )
    )
    with RegistryClient(proxy.address) as client, pytest.raises(Unauthorized):
        client.get_manifest(proxy.repository(path).tag("v1"))
    assert len(proxy.requests()) == 3


def test_a_token_service_that_refuses_leaves_the_image_unknown(proxy: FaultProxy, path: str) -> None:
    proxy.require_token({USER: PASSWORD})
    reference = proxy.repository(path).tag("v1")
    with RegistryClient(proxy.address) as client, pytest.raises(Unauthorized, match="its token service"):
        client.find_manifest(reference)
    proxy.inject(Fault(path="/token", answer=error_answer(403, "DENIED", "requested access is denied")))
    with RegistryClient(proxy.address) as client, pytest.raises(Forbidden, match="requested access is denied"):
        client.find_manifest(reference)


def test_an_identity_token_is_exchanged(proxy: FaultProxy, maker: ImageMaker, path: str) -> None:
    proxy.require_token({USER: PASSWORD}, refresh_tokens=["refresh-me"])
    index = maker.index()
    with RegistryClient(proxy.address, credentials=Login(Credential(identity_token="refresh-me"))) as client:
        push_index(client, proxy.repository(path), index.descriptor, maker.blobs)
    assert ("POST", "/token") in [(request.method, request.path) for request in proxy.requests()]


def test_a_registry_token_is_used_as_it_is(proxy: FaultProxy, path: str) -> None:
    proxy.require_token()
    login = Login(Credential(registry_token="hidden-bearer"))
    with RegistryClient(proxy.address, credentials=login) as client, pytest.raises(Unauthorized) as caught:
        client.find_manifest(proxy.repository(path).tag("v1"))
    assert [request.authorization for request in proxy.requests()] == ["", "Bearer hidden-bearer"]
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"Content-Type": "text/html"}, b"<html>hidden-token</html>"),
        Answer(200, {}, b'{"token": "hidden-tok'),
        Answer(200, {}, b'{"token": 5}'),
        Answer(200, {}, b'{"token": "hidden\\r\\nX: y"}'),
        Answer(200, {}, b"[]"),
        Answer(404, {}, b"hidden-token"),
    ],
)
def test_a_token_service_that_talks_nonsense_is_said_to_without_its_words(
    proxy: FaultProxy, path: str, answer: Answer
) -> None:
    proxy.require_token()
    proxy.inject(Fault(path="/token", answer=answer))
    with RegistryClient(proxy.address) as client, pytest.raises(InvalidResponse, match="without a token") as caught:
        client.find_manifest(proxy.repository(path).tag("v1"))
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("realm", ["http://tokens.example/token", "ftp://localhost/token", "/token", "http://[", ""])
def test_a_password_goes_to_no_token_service_without_tls(proxy: FaultProxy, path: str, realm: str) -> None:
    answer = error_answer(401, "UNAUTHORIZED", "", WWW_Authenticate=f'Bearer realm="{realm}"')
    proxy.inject(Fault(path="/v2/", answer=answer))
    login = Login(Credential(USER, PASSWORD))
    with (
        RegistryClient(proxy.address, credentials=login) as client,
        pytest.raises(InvalidResponse, match="token service that is no https address"),
    ):
        client.find_manifest(proxy.repository(path).tag("v1"))


@pytest.mark.parametrize("challenge", ["", "Negotiate", "Digest realm=x"])
def test_a_registry_that_asks_for_something_else_is_unauthorized(proxy: FaultProxy, path: str, challenge: str) -> None:
    proxy.inject(Fault(path="/v2/", answer=error_answer(401, "UNAUTHORIZED", "", WWW_Authenticate=challenge)))
    with RegistryClient(proxy.address) as client, pytest.raises(Unauthorized):
        client.find_manifest(proxy.repository(path).tag("v1"))
    assert len(proxy.requests()) == 1


def test_the_token_is_shown_to_no_other_host(proxy: FaultProxy, registry: LocalRegistry, path: str) -> None:
    proxy.require_token()
    repository = proxy.repository(path)
    with FaultProxy(registry.address) as other, RegistryClient(proxy.address) as client:
        url = f"{other.url}/v2/{path}/manifests/v1"
        proxy.inject(Fault(method="GET", path="manifests/v1", skip=1, answer=Answer(307, {"Location": url})))
        assert client.find_manifest(repository.tag("v1")) is None
        assert [request.authorization for request in other.requests()] == [""]
        assert "Bearer" in proxy.requests()[-1].authorization


def test_an_upload_to_another_host_carries_no_token(
    proxy: FaultProxy, registry: LocalRegistry, maker: ImageMaker, path: str
) -> None:
    proxy.require_token()
    blob = maker.blob(b"content")
    with FaultProxy(registry.address) as other, RegistryClient(proxy.address) as client:

        def elsewhere(answer: Answer) -> Answer:
            location = answer.headers["Location"].replace(proxy.address, other.address)
            return Answer(answer.status, {**answer.headers, "Location": location}, answer.body)

        proxy.inject(Fault(method="POST", path="uploads", skip=1, change=elsewhere))
        client.upload_blob(proxy.repository(path), blob, lambda: maker.blobs.open(blob.digest), known_missing=True)
        assert [(request.method, request.authorization) for request in other.requests()] == [("PUT", "")]


def test_what_a_server_echoes_of_our_login_is_not_repeated(proxy: FaultProxy, path: str) -> None:
    proxy.inject(
        Fault(path="/v2/", answer=error_answer(403, "DENIED", "you sent Authorization: Bearer hidden-token-1234567"))
    )
    with RegistryClient(proxy.address) as client, pytest.raises(Forbidden, match="you sent") as caught:
        client.find_manifest(proxy.repository(path).tag("v1"))
    assert "hidden" not in str(caught.value)
