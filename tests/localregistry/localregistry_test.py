"""The registry on this machine: started, found, stopped, and never taken for another's."""

import http.client
import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.localregistry import localregistry, server


@pytest.fixture
def port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as unused:
        unused.bind((server.HOST, 0))
        number: int = unused.getsockname()[1]
        return number


@pytest.fixture
def root(tmp_path: Path, port: int) -> Iterator[Path]:
    """The folder of the test's registries; the one on `port` is stopped at the end."""
    yield tmp_path / "registry"
    if server.running(tmp_path / "registry" / str(port)):
        server.stop(port, tmp_path / "registry")


@pytest.fixture
def website(port: int) -> Iterator[None]:
    """Something on `port` that answers, but is no registry."""
    with http.server.ThreadingHTTPServer((server.HOST, port), http.server.SimpleHTTPRequestHandler) as site:
        threading.Thread(target=site.serve_forever).start()
        yield
        site.shutdown()


def put_blob(port: int) -> str:
    """Uploads one blob, and returns the path under which the registry then has it."""
    digest = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    connection = http.client.HTTPConnection(server.HOST, port)
    connection.request("POST", "/v2/kept/blobs/uploads/")
    upload = connection.getresponse()
    upload.read()
    connection.request("PUT", f"{upload.headers['Location']}&digest={digest}", b"foo")
    assert connection.getresponse().status == 201
    connection.close()
    return f"/v2/kept/blobs/{digest}"


def status_of(port: int, path: str) -> int:
    connection = http.client.HTTPConnection(server.HOST, port)
    connection.request("HEAD", path)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_registry_is_started_where_nothing_answers_and_found_the_next_time(port: int, root: Path) -> None:
    lines: list[str] = []
    address = server.ensure_running(port, root, lines.append)
    first = server.running(root / str(port))
    again = server.ensure_running(port, root, lines.append)

    assert str(address) == str(again) == f"127.0.0.1:{port}"
    assert first is not None
    assert server.running(root / str(port)) == first
    assert lines == [f"Starting a registry on 127.0.0.1:{port} (data in {root}/{port}/data)"]


def test_a_registry_that_somebody_else_started_is_found_and_never_stopped(
    port: int, root: Path, tmp_path: Path
) -> None:
    server.ensure_running(port, root)
    elsewhere = tmp_path / "elsewhere"

    assert server.ensure_running(port, elsewhere) == server.Address("127.0.0.1", port)
    assert server.running(elsewhere / str(port)) is None
    with pytest.raises(server.LocalRegistryError, match=r"Did not stop .* not started from .*\n.*--root"):
        server.stop(port, elsewhere)
    assert server.answers(server.Address("127.0.0.1", port))


def test_images_are_there_again_after_a_stop_and_a_start(port: int, root: Path) -> None:
    server.ensure_running(port, root)
    path = put_blob(port)

    assert server.stop(port, root)
    assert not server.answers(server.Address("127.0.0.1", port))
    assert not server.stop(port, root)

    server.ensure_running(port, root)
    assert status_of(port, path) == 200


def test_two_starts_at_once_both_find_one_registry(port: int, root: Path) -> None:
    command = [sys.executable, "-m", "tools.localregistry.localregistry", "--port", str(port), "--root", str(root)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    starts = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [start.communicate()[1] for start in starts]

    assert [start.returncode for start in starts] == [0] * 4, said
    assert "".join(said).count("Starting a registry") == 1


def test_the_registry_outlives_the_terminal_that_it_was_started_from(port: int, root: Path) -> None:
    command = [sys.executable, "-m", "tools.localregistry.localregistry", "--port", str(port), "--root", str(root)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, env=environment, check=True, start_new_session=True)

    pid = server.running(root / str(port))
    assert pid is not None
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")


def test_a_port_that_is_taken_by_something_else_is_a_clear_error(port: int, root: Path, website: None) -> None:
    with pytest.raises(server.LocalRegistryError) as caught:
        server.ensure_running(port, root)

    assert str(caught.value) == (
        f"Cannot use a registry on 127.0.0.1:{port}: the port is taken by something that is not one: "
        f"GET http://127.0.0.1:{port}/v2/ was answered 404 File not found (text/html)\n"
        "Stop what listens there, or choose another port with --port."
    )


def test_a_registry_that_cannot_start_says_why_in_its_own_words(port: int, root: Path) -> None:
    (root / str(port) / "data").parent.mkdir(parents=True)
    with socket.socket() as silent:  # Bound, but nobody listens: connections are refused and the port is taken.
        silent.bind((server.HOST, port))
        with pytest.raises(server.LocalRegistryError, match=r"ended with status 1; .*address already in use"):
            server.ensure_running(port, root)
    assert server.running(root / str(port)) is None


def test_a_process_that_got_the_id_of_a_registry_that_ended_is_not_stopped(port: int, root: Path) -> None:
    folder = root / str(port)
    server.ensure_running(port, root)
    server.stop(port, root)
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        (folder / "registry.pid").write_text(str(bystander.pid))
        assert server.running(folder) is None
        assert not server.stop(port, root)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_registry_that_was_killed_is_started_again(port: int, root: Path) -> None:
    server.ensure_running(port, root)
    killed = server.running(root / str(port))
    assert killed is not None
    os.killpg(killed, signal.SIGKILL)
    while server.listens(server.Address("127.0.0.1", port)):
        time.sleep(0.01)

    server.ensure_running(port, root)
    assert server.running(root / str(port)) not in (None, killed)


def test_the_data_lies_in_the_cache_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert server.default_root() == tmp_path / "slipway/registry"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert server.default_root() == Path("/home/somebody/.cache/slipway/registry")


def test_status_is_1_where_nothing_runs_and_tells_whose_registry_runs(
    port: int, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--port", str(port), "--root", str(root)]
    assert localregistry.main(["status", *options]) == 1
    assert localregistry.main(options) == 0
    capsys.readouterr()

    assert localregistry.main(["status", *options]) == 0
    assert capsys.readouterr().err.endswith(f"data in {root}/{port}/data)\n")
    assert localregistry.main(["status", "--port", str(port), "--root", str(root / "other")]) == 0
    assert "not started from" in capsys.readouterr().err
    assert localregistry.main(["stop", *options]) == 0
    assert localregistry.main(["status", *options]) == 1


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "５０００"])
def test_what_is_not_a_port_is_a_wrong_call(text: str) -> None:
    with pytest.raises(SystemExit) as caught:
        localregistry.main([f"--port={text}"])
    assert caught.value.code == 2


def test_a_folder_that_cannot_be_made_is_a_clear_error(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert localregistry.main(["--port", str(port), "--root", str(tmp_path / "file")]) == 1
    assert re.fullmatch(r"Cannot keep a registry in .*: .*Not a directory.*\n.* --root.*\n", capsys.readouterr().err)


def test_a_machine_without_docker_registry_and_root_file_system_is_told_what_to_install(
    port: int, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(server, "__file__", str(tmp_path / "tools/localregistry/server.py"))
    with pytest.raises(server.LocalRegistryError, match="Install the package docker-registry"):
        server.ensure_running(port, root)
