"""What a command finds inside a devroot, and how it runs there."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devroot.host import WORKSPACE, Host, host, outside, with_mounts


@pytest.fixture(scope="module")
def machine() -> Iterator[Host]:
    with host(("ca-certificates", "jq", "perl", "procps", "python3")) as made:
        result = made.run("true")
        assert result.returncode == 0, result.stderr
        yield made


def inside(machine: Host, script: str, **changes: str | None) -> str:
    """What a shell script prints inside."""
    result = machine.run("bash", "-c", script, environment=changes)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_arguments_input_output_and_exit_code_are_the_commands(machine: Host) -> None:
    script = 'cat; printf "<%s>" "$@"; echo error >&2; exit 37'
    result = machine.run("sh", "-c", script, "sh", "a b", "", "*", stdin="in ")
    assert (result.stdout, result.stderr, result.returncode) == ("in <a b><><*>", "error\n", 37)


def test_a_signal_reaches_the_command(machine: Host) -> None:
    script = 'trap "echo told; exit 5" TERM; echo $$; while :; do sleep 0.05; done'
    process = machine.start("bash", "-c", script)
    assert process.stdout
    assert int(process.stdout.readline()) == process.pid, "enter becomes the command"
    process.send_signal(signal.SIGTERM)
    assert (process.stdout.read(), process.wait()) == ("told\n", 5)


def test_the_command_has_no_child_and_no_open_file_that_it_did_not_make(machine: Host) -> None:
    script = "ps --no-headers --ppid $$ --format comm; ls /proc/$$/fd"
    outside_says = subprocess.check_output(["bash", "-c", script], stdin=subprocess.DEVNULL, text=True)
    assert inside(machine, script) == outside_says.strip()


def test_a_program_that_is_not_there_is_named(machine: Host) -> None:
    result = machine.run("no-such-program")
    assert result.returncode == 127
    assert "no-such-program: not found" in result.stderr


def test_without_a_command_it_says_how_it_is_used(machine: Host) -> None:
    result = machine.run()
    assert result.returncode == 125
    assert result.stderr.startswith("usage: ")


def test_already_inside_it_only_becomes_the_command(machine: Host) -> None:
    enter = machine.enter
    own = "readlink /proc/self/ns/mnt"
    script = f"{own}; {enter} {own}; XDG_CACHE_HOME=/nowhere {enter} echo no more"
    first, second, third = inside(machine, script).splitlines()
    assert first == second != str(Path("/proc/self/ns/mnt").readlink())
    assert third == "no more"


def test_home_tmp_workspace_and_current_folder_are_the_hosts(machine: Host) -> None:
    (machine.folder / "home/letter").write_text("from home\n")
    (machine.folder / "current folder").mkdir()
    script = f"cat ~/letter; pwd; ls {WORKSPACE}/MODULE.bazel; echo answer >~/reply"
    result = machine.run("sh", "-c", script, cwd=machine.folder / "current folder")
    assert result.stdout.splitlines() == ["from home", f"{machine.folder}/current folder", f"{WORKSPACE}/MODULE.bazel"]
    assert (machine.folder / "home/reply").read_text() == "answer\n"


def test_the_callers_path_stays_first_and_the_devroots_programs_follow(machine: Host) -> None:
    programs = machine.folder / "programs"
    programs.mkdir()
    (programs / "jq").write_text("#!/bin/sh\necho mine\n")
    (programs / "jq").chmod(0o755)
    path = os.environ["PATH"]
    script = "jq --version; cat /etc/slipway-devroot"
    assert inside(machine, script, PATH=f"{programs}:{path}").splitlines() == ["mine", machine.roots[0].name]
    assert inside(machine, script, PATH=f"{path}:{programs}").startswith("jq-")


def test_users_names_and_the_resolver_are_the_hosts(machine: Host) -> None:
    for path in (Path("/etc/passwd"), Path("/etc/group"), Path("/etc/resolv.conf"), Path("/etc/hosts")):
        if path.exists():
            assert inside(machine, f"cat {path}") == path.read_text().strip()
    assert inside(machine, "id --user --name") == subprocess.check_output(["id", "--user", "--name"], text=True).strip()


def test_the_network_is_the_hosts(machine: Host) -> None:
    assert inside(machine, "readlink /proc/self/ns/net") == str(Path("/proc/self/ns/net").readlink())


@pytest.mark.parametrize("path", ["/etc/pip.conf", "/etc/npmrc", "/etc/apt", "/usr/share/keyrings"])
def test_configuration_of_pip_npm_and_apt_is_the_hosts(machine: Host, path: str) -> None:
    if not Path(path).exists():
        assert inside(machine, f"test -s {path} || echo none") in ("none", "")
        return
    host_says = subprocess.check_output(["ls", "-R", path], text=True).strip()
    assert inside(machine, f"ls -R {path}") == host_says


def test_paths_that_the_configuration_names_are_there(machine: Host) -> None:
    wheels = machine.folder / "wheels"
    wheels.mkdir()
    (wheels / "a.whl").write_text("a wheel\n")
    (machine.folder / "home/.npmrc").write_text("cafile=/usr/local/share/ours/corporate.pem\n")
    (machine.folder / "corporate.pem").write_text("a certificate\n")
    # A host with these in its /usr/local.
    place = "/usr/local/share"
    prepare = (
        f"mount -t tmpfs none {place} && mkdir -p {place}/ours {place}/wheels && "
        f"cp {machine.folder}/corporate.pem {place}/ours && cp {wheels}/a.whl {place}/wheels"
    )
    result = machine.run(
        "sh",
        "-c",
        f"cat {place}/wheels/a.whl {place}/ours/corporate.pem; ls {place}; touch {place}/wheels/b.whl",
        before=with_mounts(prepare),
        environment={"PIP_FIND_LINKS": f"file://{place}/wheels", "SSL_CERT_FILE": "/nowhere"},
    )
    assert result.stdout.splitlines()[:2] == ["a wheel", "a certificate"], result.stderr
    assert "Read-only file system" in result.stderr


def test_nothing_writes_into_the_devroots_programs(machine: Host) -> None:
    result = machine.run("touch", "/usr/bin/new")
    assert result.returncode != 0
    assert "Read-only file system" in result.stderr


def test_a_current_folder_of_the_system_is_not_taken_from_the_host(machine: Host) -> None:
    result = machine.run("/usr/bin/jq", "--version", cwd=Path("/usr/bin"))
    assert result.returncode == 0, result.stderr


def test_it_works_without_a_home_variable(machine: Host) -> None:
    assert inside(machine, "echo fine", HOME=None) == "fine"


def test_what_is_started_inside_lives_on_and_is_seen_by_the_next_call(machine: Host) -> None:
    pid = inside(machine, "setsid sleep 600 >/dev/null 2>&1 & echo $!")
    try:
        time.sleep(0.2)
        assert inside(machine, f"tr '\\0' ' ' </proc/{pid}/cmdline") == "sleep 600"
    finally:
        os.kill(int(pid), signal.SIGKILL)


def test_another_python_of_the_callers_runs_with_the_devroots_libraries(machine: Host) -> None:
    modules = "bz2, ctypes, hashlib, lzma, sqlite3, ssl, zlib"
    assert inside(machine, f"/usr/bin/python3 -c 'import {modules}; print(ssl.OPENSSL_VERSION)'").startswith("OpenSSL")


def test_entering_takes_few_processes(machine: Host) -> None:
    """Steady-state overhead by count, since times vary: what `enter` starts before it becomes the command."""
    trace = machine.folder / "trace"
    subprocess.run(
        [*outside(), "bash", "-x", str(machine.enter), "true"],
        env=machine.environment({"BASH_XTRACEFD": "2"}),
        stderr=trace.open("w"),
        check=True,
    )
    external = ("cat ", "sha256sum", "dirname ", "unshare ", "exec ", "readlink ", "wait ")
    lines = [line.lstrip("+ ") for line in trace.read_text().splitlines()]
    assert sum(line.startswith(external) for line in lines) <= 12, lines
