"""dpkg's database is, byte for byte, what dpkg itself writes when it installs the same packages."""

import subprocess
from pathlib import Path

from tests.debian.packages import build_deb
from tests.support.tools import tool
from tools.debian.database import database
from tools.debian.deb import read_deb


def _packages(folder: Path) -> list[Path]:
    return [
        build_deb(
            folder,
            "libthing1",
            version="1:2.3-4",
            fields={
                "Multi-Arch": "same",
                "Section": "libs",
                "Priority": "optional",
                "Source": "thing",
                "Homepage": "about:blank",
                "Installed-Size": "12",
                "Depends": "thing-data (>= 1.0)",
                "X-Odd-Field": "kept",
            },
            files={"usr/lib/libthing.so.1": "library", "usr/share/doc/libthing1/README": "left out"},
        ),
        build_deb(
            folder,
            "thing-data",
            architecture="all",
            fields={"Multi-Arch": "foreign", "Essential": "yes", "Bugs": "debbugs://localhost"},
            files={"etc/thing.conf": "answer = 42\n", "etc/thing.d/one": "1\n", "usr/share/thing/a b": "space"},
            control={"conffiles": "/etc/thing.conf\n/etc/thing.d/one\n", "triggers": "interest-noawait thing\n"},
        ),
        build_deb(folder, "empty", fields={"Description": "nothing at all"}),
    ]


def _written(root: Path, packages: list[Path]) -> None:
    for entry in database([read_deb(package) for package in packages]):
        path = root / entry.path
        if entry.kind == "directory":
            path.mkdir(parents=True, exist_ok=True)
        elif entry.open is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(entry.open().read())


def test_the_database_is_what_dpkg_writes_when_it_installs_the_packages(tmp_path: Path) -> None:
    packages = _packages(tmp_path)
    _written(tmp_path / "ours", packages)
    admin = tmp_path / "dpkg/var/lib/dpkg"
    for folder in ("info", "updates", "triggers"):
        (admin / folder).mkdir(parents=True)
    for name in ("status", "available"):
        (admin / name).touch()
    command = [*tool("dpkg"), f"--root={tmp_path / 'dpkg'}", f"--log={tmp_path / 'log'}", "--force-not-root"]
    command += ["--force-bad-path", "--force-architecture", "--path-exclude=/usr/share/doc/*", "--install"]

    subprocess.run([*command, *map(str, packages)], check=True, capture_output=True)

    assert (tmp_path / "ours/var/lib/dpkg/status").read_text() == (admin / "status").read_text()
    assert _info(tmp_path / "ours/var/lib/dpkg/info") == _info(admin / "info")


def _info(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_dpkg_query_answers_from_it(tmp_path: Path) -> None:
    _written(tmp_path, _packages(tmp_path))
    query = [*tool("dpkg-query"), f"--admindir={tmp_path / 'var/lib/dpkg'}"]

    shown = subprocess.check_output([*query, "-W", "-f", "${db:Status-Abbrev}${Package} ${Version}\\n"], text=True)
    owner = subprocess.check_output([*query, "-S", "/usr/lib/libthing.so.1"], text=True)

    assert shown.splitlines() == ["ii empty 1.0", "ii libthing1 1:2.3-4", "ii thing-data 1.0"]
    assert owner == "libthing1:amd64: /usr/lib/libthing.so.1\n"


def test_answers_for_administrators_and_facts_for_building_packages_are_left_out(tmp_path: Path) -> None:
    package = build_deb(
        tmp_path,
        "asking",
        control={
            "config": "#!/bin/sh\n",
            "templates": "Template: asking/x\nType: note\nDescription: x\n",
            "shlibs": "libx 1 x\n",
            "symbols": "libx.so.1 libx1 #MINVER#\n",
            "postinst": "#!/bin/sh\n",
        },
    )

    modes = {entry.path: entry.mode for entry in database([read_deb(package)]) if "/info/asking." in entry.path}

    info = "var/lib/dpkg/info"
    assert modes == {
        f"{info}/asking.list": 0o644,
        f"{info}/asking.md5sums": 0o644,
        f"{info}/asking.postinst": 0o755,
    }
