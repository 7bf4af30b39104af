"""What a machine lacks is said in three parts: what failed, why in the tools' own words, what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devroot.host import OTHER_USER, Host, host, with_mounts

NOBODY_LISTENS = "http://127.0.0.1:9"


@pytest.fixture
def machine() -> Iterator[Host]:
    with host() as made:
        yield made


def assert_error(result: subprocess.CompletedProcess[str], what: str, why: str, to_do: str) -> None:
    """One error in three parts, exit code 125, and nothing on standard output."""
    assert result.returncode == 125, result.stderr
    assert result.stdout == ""
    failed, reason, advice = result.stderr.splitlines()[-3:]
    assert failed.startswith("devroot: cannot "), result.stderr
    assert what in failed
    assert reason.startswith("  why:   ")
    assert why in reason
    assert advice.startswith("  to do: ")
    assert to_do in advice


def test_a_machine_without_apt(machine: Host) -> None:
    programs = machine.folder / "programs"
    programs.mkdir()
    for name in (
        "bash",
        "cat",
        "dirname",
        "flock",
        "grep",
        "mkdir",
        "mount",
        "rm",
        "setpriv",
        "sh",
        "sha256sum",
        "unshare",
    ):
        (programs / name).symlink_to(shutil.which(name) or name)
    result = machine.run("true", environment={"PATH": str(programs)})
    assert_error(result, "there is no apt", "'apt-get' or 'dpkg' is not on PATH", "install Bazelisk")


def test_a_full_disk_before_the_build(machine: Host) -> None:
    result = machine.run("true", before=_with_disk(machine, "10m"))
    assert_error(result, "not enough space", "10 MB are free there, 3072 MB are needed", "XDG_CACHE_HOME")


def test_a_disk_that_becomes_full_during_the_build(machine: Host) -> None:
    # The build sees 3.1 GB free, and then somebody else takes all that is left; again, if the build was quicker.
    begun = f"ls -d {machine.cache}/building.*/root/usr"
    left = f"$(df --output=avail --block-size=1 {machine.cache} | tail -1)"
    fill = f"until {begun}; do sleep 0.1; done; until fallocate --length {left} {machine.cache}/other; do :; done"
    in_background = f"timeout 60 sh -c '{fill}' >/dev/null 2>&1 &"
    result = machine.run("true", before=_with_disk(machine, "3100m", f"{in_background}\ntrue"))
    # Who notices first is chance: a program that writes, or apt, which says "enough free space".
    assert_error(result, "the disk is full", " space", "free 3 GB")


def test_a_full_disk_of_which_no_program_says_so(machine: Host) -> None:
    # What tar says where a part of a file could still be written; which part that is, is chance.
    # Not called tar: a test of Bazel has its own folder on PATH.
    tar, real = machine.folder / "false_tar", machine.folder / "real_tar"
    shutil.copy(shutil.which("tar") or "tar", real)
    tar.write_text(f"""#!/bin/sh
        case "$*" in
        *--extract*) ;;
        *) exec {real} "$@" ;;
        esac
        dd if=/dev/zero of={machine.cache}/other bs=1M 2>/dev/null
        echo 'tar: ./usr/sbin/chroot: Wrote only 3072 of 5576 bytes' >&2
        exit 2
    """)
    tar.chmod(0o755)
    result = machine.run("true", before=_with_disk(machine, "3100m", f"mount --bind {tar} $(command -v tar)"))
    assert_error(result, "the disk is full", "No space left on device: ", "free 3 GB")


def _with_disk(machine: Host, size: str, then: str = "true") -> list[str]:
    """What to put before a command so that its cache folder is on a disk of that size."""
    return with_mounts(f"mount -t tmpfs -o size={size} none {machine.folder}/cache || exit; {then}")


def test_a_cache_folder_that_cannot_be_written(machine: Host) -> None:
    result = machine.run("true", environment={"XDG_CACHE_HOME": "/proc/nowhere"})
    assert_error(result, "/proc/nowhere", "No such file or directory", "XDG_CACHE_HOME")


def test_a_mirror_that_does_not_answer(machine: Host) -> None:
    settings = _apt_settings(machine, Acquire__http__Proxy=NOBODY_LISTENS)
    result = machine.run("true", environment={"APT_CONFIG": settings})
    assert_error(result, "read Debian's package lists", "127.0.0.1:9", "'apt-get update' must work")
    assert machine.roots == machine.half_made == []


def test_a_machine_whose_apt_knows_no_debian_mirror(machine: Host) -> None:
    empty = str(machine.folder / "home")
    settings = _apt_settings(machine, Dir__Etc__sourcelist="/dev/null", Dir__Etc__sourceparts=empty)
    result = machine.run("true", environment={"APT_CONFIG": settings})
    assert_error(result, "find a source of Debian packages", "none of the sources", "add a Debian mirror")


def _apt_settings(machine: Host, **settings: str) -> str:
    """A file of further settings for the machine's apt, with colons for double underscores."""
    path = machine.folder / "apt.conf"
    settings |= {"Acquire__https__Proxy": NOBODY_LISTENS, "Acquire__Retries": "0"}
    path.write_text("".join(f'{name.replace("__", "::")} "{value}";\n' for name, value in settings.items()))
    return str(path)


def test_a_package_that_debian_has_not() -> None:
    with host(("no-such-package-anywhere",)) as made:
        result = made.run("true")
        assert_error(result, "a package of", "no-such-package-anywhere", "correct the list")
        assert made.roots == made.half_made == []


def test_root_in_a_container_without_rights(machine: Host) -> None:
    if os.geteuid():
        pytest.skip("only root can give up root's rights")
    result = machine.run("true", before=["setpriv", "--bounding-set", "-sys_admin", "--"])
    assert_error(result, "may not make a mount namespace", "Operation not permitted", "CAP_SYS_ADMIN")


def test_a_kernel_that_allows_no_user_namespaces(machine: Host) -> None:
    if os.geteuid():
        pytest.skip("only root can take user namespaces away from a user")
    # In a user namespace of our own, where this limit is ours to set and another user is there too.
    holder = subprocess.Popen(["unshare", "--user", "sleep", "60"])
    try:
        _map_all_users(holder.pid)
        limit = f'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --reuid {OTHER_USER} --clear-groups "$@"'
        before = ["nsenter", f"--user=/proc/{holder.pid}/ns/user", "--", "sh", "-c", limit, "sh"]
        result = machine.run("true", before=before)
    finally:
        holder.kill()
        holder.wait()
    assert_error(result, "may not make user namespaces", "unshare failed", "user.max_user_namespaces")


def _map_all_users(pid: int) -> None:
    """Gives the user namespace of a process, once it has one, the users of this one."""
    ours = Path("/proc/self/ns/user").readlink()
    while Path(f"/proc/{pid}/ns/user").readlink() == ours:
        pass
    for kind in ("uid_map", "gid_map"):
        Path(f"/proc/{pid}/{kind}").write_text("0 0 65536\n")
