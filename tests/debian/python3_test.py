"""The base of Python images, as it is built for both platforms: it runs, and dpkg knows what is in it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.debian.roots import ARCHITECTURES, MACHINES, Root, blob, listing, locked, metadata, unpacked
from tests.support.tools import tool

LAYERS = ("minimal", "python3")
# Bytes of both layers: what is left of 20.7 MB of packages, and room for point releases.
SIZE_LIMIT = 20_000_000


@pytest.fixture(scope="module", params=ARCHITECTURES)
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Root:
    return unpacked(request.param, LAYERS, tmp_path_factory.mktemp(request.param))


def python(root: Root, program: str) -> str:
    """What a program prints in this root."""
    return root.run("/usr/bin/python3", "-c", program)


def test_python_runs_on_its_architecture(root: Root) -> None:
    version, machine = python(root, "import platform; print(platform.python_version(), platform.machine())").split()

    assert version.startswith("3.13.")
    assert machine == MACHINES[root.architecture]


def test_the_whole_standard_library_is_there(root: Root) -> None:
    # What needs a package of its own, and what python3-minimal lacks; not distutils' friends venv, idlelib and tkinter.
    modules = "asyncio bz2 ctypes curses dbm.ndbm decimal email gettext lzma multiprocessing readline sqlite3 ssl uuid"
    modules += " unittest urllib.request xml.etree.ElementTree zlib zoneinfo"

    assert python(root, f"import {', '.join(modules.split())}; print(uuid.uuid4().version)") == "4"


def test_tls_clients_find_certificates_where_openssl_looks(root: Root) -> None:
    found = python(
        root,
        "import ssl; context = ssl.create_default_context(); "
        "print(ssl.get_default_verify_paths().cafile, len(context.get_ca_certs()))",
    ).split()

    assert found[0] == "/usr/lib/ssl/cert.pem"
    assert int(found[1]) > 100
    assert int(found[1]) == root.read("etc/ssl/certs/ca-certificates.crt").count("BEGIN CERTIFICATE")


def test_time_zones_are_known_and_the_local_one_is_utc(root: Root) -> None:
    program = (
        "import datetime, time, zoneinfo; "
        "print(datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Rome')).utcoffset(), time.tzname[0])"
    )

    assert python(root, program) == "2:00:00 UTC"


def test_text_is_utf_8_and_the_locale_for_it_is_there(root: Root) -> None:
    program = "import locale, sys; print(locale.setlocale(locale.LC_ALL, 'C.UTF-8'), sys.stdout.encoding, 'è')"

    assert python(root, program) == "C.UTF-8 utf-8 è"


def test_accounts_services_and_protocols_have_names(root: Root) -> None:
    program = (
        "import grp, pwd, socket; nonroot = pwd.getpwnam('nonroot'); "
        "print(nonroot.pw_uid, nonroot.pw_gid, nonroot.pw_dir, grp.getgrgid(65532).gr_name, pwd.getpwuid(33).pw_name, "
        "socket.getservbyname('https'), socket.getprotobyname('tcp'))"
    )

    assert python(root, program) == "65532 65532 /home/nonroot nonroot www-data 443 6"


def test_dpkg_lists_every_locked_package_of_both_layers_as_installed(root: Root) -> None:
    packages = [
        f"{each['name']} {each['version']} {each['architecture']}" for each in locked(root.architecture, LAYERS)
    ]

    assert [line.split("|") for line in root.packages()] == [["ii ", each] for each in packages]


def test_dpkg_misses_documentation_and_converters_only(root: Root) -> None:
    verified = root.verified()

    assert set(verified.values()) == {"missing"}
    left_out = ("/usr/share/", f"/usr/lib/{MACHINES[root.architecture]}-linux-gnu/gconv/")
    assert [path for path in verified if not path.startswith(left_out)] == []
    shared = {path.split("/")[3] for path in verified if path.startswith("/usr/share/")}
    documentation = {"bug", "doc", "doc-base", "info", "lintian", "locale", "man"}
    assert shared <= documentation | {"applications", "bash-completion", "pixmaps"}


def test_dpkg_writes_its_database_again_as_it_is(root: Root, tmp_path: Path) -> None:
    """Whoever installs something on top finds a database in dpkg's own form: orders of fields and stanzas, spaces."""
    shutil.copytree(root.path / "var/lib/dpkg", tmp_path / "dpkg")
    select = [*tool("dpkg"), f"--admindir={tmp_path / 'dpkg'}", "--force-not-root", "--set-selections"]

    for selection in ("hold", "install"):
        subprocess.run(select, input=f"tzdata {selection}\n", text=True, check=True, capture_output=True)

    assert (tmp_path / "dpkg/status").read_text() == root.read("var/lib/dpkg/status")
    assert (tmp_path / "dpkg/status-old").read_text() != root.read("var/lib/dpkg/status")


def test_every_package_has_its_copyright(root: Root) -> None:
    packages = [
        line.split()[1] for line in root.read("var/lib/dpkg/status").splitlines() if line.startswith("Package:")
    ]

    assert [name for name in packages if not (root.path / f"usr/share/doc/{name}/copyright").exists()] == []


def test_scanners_can_tell_which_debian_it_is(root: Root) -> None:
    assert "VERSION_CODENAME=trixie\n" in root.read("etc/os-release")
    assert root.read("etc/debian_version").startswith("13")


def test_directories_that_everybody_writes_to_have_their_modes(root: Root) -> None:
    paths = ("tmp", "var/tmp", "run/lock", "root", "home/nonroot", "var/mail")
    facts = {path: f"{m.mode:o} {m.uid}:{m.gid}" for path in paths for m in [root.members[path]]}

    assert facts == {
        "tmp": "1777 0:0",
        "var/tmp": "1777 0:0",
        "run/lock": "1777 0:0",
        "root": "700 0:0",
        "home/nonroot": "700 65532:65532",
        "var/mail": "2775 0:8",
    }


def test_usr_is_merged(root: Root) -> None:
    links = {name: member.linkname for name, member in root.members.items() if "/" not in name and member.issym()}

    assert links.items() >= {"bin": "usr/bin", "lib": "usr/lib", "sbin": "usr/sbin"}.items()
    assert not any(name.startswith(("bin/", "lib/", "lib64/", "sbin/")) for name in root.members)


def test_no_shell_and_no_package_manager_front_end_came_along(root: Root) -> None:
    programs = {name.rpartition("/")[2] for name in root.members if name.startswith(("usr/bin/", "usr/sbin/"))}

    assert programs & {"sh", "dash", "bash", "apt", "apt-get", "perl", "gcc"} == set()


def test_the_layers_say_nothing_of_when_and_by_whom_they_were_made(root: Root) -> None:
    assert {member.mtime for member in root.members.values()} == {0}
    assert {(member.uname, member.gname) for member in root.members.values()} == {("", "")}
    assert {member.uid for member in root.members.values()} == {0, 65532}


def test_the_layers_are_small(root: Root) -> None:
    assert sum(blob(layer, root.architecture).stat().st_size for layer in LAYERS) < SIZE_LIMIT


def test_the_upper_layer_repeats_folders_and_the_list_of_packages_only(root: Root) -> None:
    below = {entry["path"]: entry for entry in listing("minimal", root.architecture)}
    repeated = [entry for entry in listing("python3", root.architecture) if entry["path"] in below]

    assert [entry["path"] for entry in repeated if entry["kind"] != "directory"] == ["var/lib/dpkg/status"]
    assert [entry for entry in repeated if entry != below[entry["path"]]] == [
        entry for entry in repeated if entry["kind"] != "directory"
    ]


def test_the_metadata_of_the_layers_have_the_locked_packages_each_once(root: Root) -> None:
    found = [each for layer in LAYERS for each in metadata(layer, root.architecture)["packages"]]

    facts = ("name", "version", "architecture", "sha256")
    assert sorted([each[fact] for fact in facts] for each in found) == [
        [each[fact] for fact in facts] for each in locked(root.architecture, LAYERS)
    ]
    assert all(each["purl"].endswith("&distro=debian-13") for each in found)
    assert {each["name"]: each["license"] for each in found}["netbase"] == "GPL-2.0-only"
    assert {metadata(layer, root.architecture)["machine"] for layer in LAYERS} == {root.architecture}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_has_the_same_packages_for_both_platforms(layer: str) -> None:
    names = [[each["name"] for each in metadata(layer, architecture)["packages"]] for architecture in ARCHITECTURES]

    assert names[0] == names[1]
    assert len(names[0]) > 15
