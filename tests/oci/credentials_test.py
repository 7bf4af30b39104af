"""Logins from Docker's configuration, in all the forms that Docker writes; the docker SDK's reader agrees."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tools.oci.credentials import Credential, DockerCredentials, default_config
from tools.oci.errors import CredentialsError

AUTH = b64encode(b"alice:won:der").decode()


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH for credential helpers."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def write(folder: Path, config: object) -> None:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def write_helper(folder: Path, name: str, answers: dict[str, Any]) -> None:
    """A credential helper as a program of its own: it reads a server's name and answers in JSON, or says that it knows
    nothing about it (and then exits with 1)."""
    helper = folder / f"docker-credential-{name}"
    helper.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        f"answers = json.loads({json.dumps(answers)!r})\n"
        "server = sys.stdin.read().strip()\n"
        "if server not in answers:\n"
        "    sys.exit(print('credentials not found in native keychain') or 1)\n"
        "print(json.dumps({'ServerURL': server, **answers[server]}))\n",
        encoding="utf-8",
    )
    helper.chmod(0o755)


@pytest.mark.parametrize(
    ("entry", "credential"),
    [
        ({"auth": AUTH}, Credential("alice", "won:der")),
        ({"username": "alice", "password": "wonder"}, Credential("alice", "wonder")),
        ({"auth": b64encode(b"alice:wonder\0\0").decode()}, Credential("alice", "wonder")),
        (
            {"auth": b64encode(b"00000000-0000-0000-0000-000000000000:").decode(), "identitytoken": "refresh"},
            Credential("00000000-0000-0000-0000-000000000000", "", "refresh"),
        ),
        ({"identitytoken": "refresh"}, Credential(identity_token="refresh")),
        ({"registrytoken": "bearer"}, Credential(registry_token="bearer")),
        ({}, None),
        ({"auth": ""}, None),
    ],
)
def test_every_form_of_an_entry_is_understood(no_login: Path, entry: object, credential: Credential | None) -> None:
    write(no_login, {"auths": {"registry.example:5000": entry}})
    assert DockerCredentials().find("registry.example:5000") == credential


@pytest.mark.parametrize(
    ("key", "registry", "found"),
    [
        ("ghcr.io", "ghcr.io", True),
        ("https://ghcr.io", "ghcr.io", True),
        ("https://ghcr.io/v1/", "ghcr.io", True),
        ("ghcr.io/acme", "ghcr.io", True),
        ("ghcr.io:443", "ghcr.io", False),
        ("localhost:5000", "localhost:5001", False),
        ("https://index.docker.io/v1/", "docker.io", True),
        ("https://index.docker.io/v1/", "registry-1.docker.io", True),
        ("ghcr.io.evil.example", "ghcr.io", False),
    ],
)
def test_an_entry_is_for_one_host(no_login: Path, key: str, registry: str, found: bool) -> None:
    write(no_login, {"auths": {key: {"auth": AUTH}}})
    assert (DockerCredentials().find(registry) is not None) is found


def test_without_a_file_there_is_no_login(no_login: Path) -> None:
    assert default_config() == no_login / "config.json"
    assert DockerCredentials().find("ghcr.io") is None


def test_without_the_variable_the_home_folder_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_config() == tmp_path / ".docker" / "config.json"


def test_without_home_either_the_user_s_folder_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_CONFIG")
    monkeypatch.delenv("HOME", raising=False)
    assert default_config() == Path(pwd.getpwuid(os.getuid()).pw_dir) / ".docker" / "config.json"


def test_a_helper_of_a_host_goes_before_the_store_and_the_store_before_the_file(no_login: Path, helpers: Path) -> None:
    write_helper(helpers, "one", {"one.example": {"Username": "one", "Secret": "1"}})
    write_helper(
        helpers,
        "all",
        {
            "one.example": {"Username": "all", "Secret": "2"},
            "two.example": {"Username": "all", "Secret": "2"},
            "https://index.docker.io/v1/": {"Username": "hub", "Secret": "3"},
            "four.example": {"Username": "<token>", "Secret": "refresh"},
        },
    )
    write(
        no_login,
        {
            "credHelpers": {"one.example": "one"},
            "credsStore": "all",
            "auths": {"two.example": {}, "three.example": {"auth": AUTH}},
        },
    )
    credentials = DockerCredentials()
    assert credentials.find("one.example") == Credential("one", "1")
    assert credentials.find("two.example") == Credential("all", "2")
    assert credentials.find("three.example") == Credential("alice", "won:der")
    assert credentials.find("docker.io") == Credential("hub", "3")
    assert credentials.find("four.example") == Credential(identity_token="refresh")
    assert credentials.find("five.example") is None


def test_a_helper_that_is_not_there_is_named_with_the_file_that_names_it(no_login: Path) -> None:
    write(no_login, {"credHelpers": {"ghcr.io": "nowhere"}})
    with pytest.raises(CredentialsError, match="docker-credential-nowhere") as caught:
        DockerCredentials().find("ghcr.io")
    assert str(no_login) in caught.value.what
    assert "PATH" in caught.value.remedy


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo the vault is locked; exit 1", "the vault is locked"),
        ("echo the vault is locked >&2; exit 1", "the vault is locked"),
        ("exit 3", "it ended with 3"),
        ("echo hidden", "not that of a credential helper"),
        ("""echo '["hidden"]'""", "not that of a credential helper"),
        ("""echo '{"Username": "alice"}'""", "not that of a credential helper"),
        ("""echo '{"Username": "alice", "Secret": ["hidden"]}'""", "not that of a credential helper"),
    ],
)
def test_a_helper_that_fails_is_named_with_its_own_words_unless_they_may_be_secret(
    no_login: Path, helpers: Path, script: str, why: str
) -> None:
    helper = helpers / "docker-credential-odd"
    helper.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    helper.chmod(0o755)
    write(no_login, {"credsStore": "odd"})
    with pytest.raises(CredentialsError, match=why) as caught:
        DockerCredentials().find("ghcr.io")
    assert "docker-credential-odd" in caught.value.what
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"auths": {"ghcr.io": {"auth": "c2VjcmV0"', "not JSON"),
        ("[]", "not an object"),
        ('{"auths": []}', "auths is list"),
        ('{"auths": {"ghcr.io": "x"}}', "auths of ghcr.io is str"),
        ('{"auths": {"ghcr.io": {"auth": "c2VjcmV0"}}}', "not base64 of USER:PASSWORD"),
        ('{"auths": {"ghcr.io": {"auth": "%c2VjcmV0"}}}', "not base64 of USER:PASSWORD"),
        ('{"auths": {"ghcr.io": {"auth": 5}}}', "no text"),
    ],
)
def test_a_broken_file_is_named_without_what_is_secret_in_it(no_login: Path, content: str, why: str) -> None:
    (no_login / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(CredentialsError, match=why) as caught:
        DockerCredentials().find("ghcr.io")
    assert str(no_login / "config.json") in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_credential_shows_no_secret() -> None:
    shown = repr(Credential("alice", "hidden-1", "hidden-2", "hidden-3"))
    assert "alice" in shown
    assert "hidden" not in shown


@pytest.mark.parametrize(
    "config",
    [
        {"auths": {"ghcr.io": {"auth": AUTH}}},
        {"auths": {"https://ghcr.io/v2/": {"auth": AUTH}}},
        {"auths": {"https://index.docker.io/v1/": {"auth": AUTH}}},
        {"auths": {}},
        {"credsStore": "all", "auths": {"ghcr.io": {}}},
        {"credHelpers": {"ghcr.io": "all"}},
    ],
)
@pytest.mark.parametrize("registry", ["ghcr.io", "docker.io"])
def test_the_docker_sdk_finds_the_same_login(no_login: Path, helpers: Path, config: object, registry: str) -> None:
    from docker.auth import load_config, resolve_authconfig

    write_helper(helpers, "all", {"ghcr.io": {"Username": "bob", "Secret": "builder"}})
    write(no_login, config)
    theirs = resolve_authconfig(load_config(), registry) or {}
    ours = DockerCredentials().find(registry) or Credential()
    assert (ours.username, ours.password) == (
        theirs.get("username") or theirs.get("Username") or "",
        theirs.get("password") or theirs.get("Password") or "",
    )


def test_importing_the_client_imports_nothing_slow() -> None:
    script = (
        "import sys, tools.oci.client, tools.oci.inspection, tools.oci.tags, tools.oci.publication\n"
        "slow = {'docker', 'requests', 'urllib3', 'yaml', 'click', 'asyncio', 'concurrent.futures', 'logging',\n"
        "        'urllib.request', 'subprocess', 'tempfile', 'argparse'}\n"
        "print(*sorted(slow & set(sys.modules)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == []
