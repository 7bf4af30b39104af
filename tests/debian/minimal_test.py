"""The base of programs in C and C++: such a program runs on it, and scripts do on the one with a shell."""

import pytest

from tests.debian.roots import ARCHITECTURES, MACHINES, Root, blob, locked, unpacked

# Bytes of the layer, with room for point releases.
SIZE_LIMIT = 10_000_000


@pytest.fixture(scope="module", params=ARCHITECTURES)
def minimal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Root:
    return unpacked(request.param, ["minimal", "program"], tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module", params=ARCHITECTURES)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Root:
    return unpacked(request.param, ["minimal", "shell"], tmp_path_factory.mktemp(request.param))


def test_a_program_in_c_plus_plus_runs_with_exceptions_and_locales(minimal: Root) -> None:
    assert minimal.run("/program") == "thrown and caught"


def test_dpkg_lists_the_minimal_packages_and_misses_no_file_of_theirs_but_documentation_and_converters(
    minimal: Root,
) -> None:
    packages = [f"ii |{each['name']} {each['version']} {each['architecture']}" for each in _locked(minimal, "minimal")]

    assert minimal.packages() == packages
    assert _wrong(minimal) == {}


def test_the_minimal_layer_is_small_and_has_no_interpreter_but_awk(minimal: Root) -> None:
    programs = {name.rpartition("/")[2] for name in minimal.members if name.startswith(("usr/bin/", "usr/sbin/"))}

    assert blob("minimal", minimal.architecture).stat().st_size < SIZE_LIMIT
    assert programs & {"sh", "dash", "bash", "python3", "perl", "apt", "dpkg", "mawk"} == {"mawk"}


def test_the_shells_and_what_scripts_call_run(shell: Root) -> None:
    # One program at a time: those that an emulated one starts are not emulated.
    assert shell.run("/bin/sh", "-c", "echo $((6 * 7))") == "42"
    assert shell.run("/bin/bash", "-c", "set -o pipefail; a=(x y); echo ${#a[@]}") == "2"
    assert shell.run("/usr/bin/grep", "--only-matching", "^ID=.*", "/etc/os-release") == "ID=debian"
    assert shell.run("/usr/bin/sed", "-n", "s/^VERSION_CODENAME=//p", "/etc/os-release") == "trixie"
    assert shell.run("/usr/bin/find", "/usr/bin", "-name", "sort") == "/usr/bin/sort"
    assert shell.run("/bin/sh", "-c", "test -x /usr/bin/which && command -v awk") == "/usr/bin/awk"
    assert shell.run("/usr/bin/date", "+%Z") == "UTC"
    assert shell.run("/usr/bin/tar", "--create", "--file=-", "/etc/os-release") != ""


def test_dpkg_lists_the_packages_of_the_stack_and_is_content_with_them(shell: Root) -> None:
    packages = [
        f"ii |{each['name']} {each['version']} {each['architecture']}" for each in _locked(shell, "minimal", "shell")
    ]

    assert shell.packages() == packages
    assert _wrong(shell) == {}


def _locked(root: Root, *sets: str) -> list[dict[str, str]]:
    return locked(root.architecture, sets)


def _wrong(root: Root) -> dict[str, str]:
    left_out = ("/usr/share/", f"/usr/lib/{MACHINES[root.architecture]}-linux-gnu/gconv/")
    return {
        path: check for path, check in root.verified().items() if check != "missing" or not path.startswith(left_out)
    }
