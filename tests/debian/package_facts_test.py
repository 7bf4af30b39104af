"""What an SBOM says of a package is what its own fields and its copyright file say."""

import hashlib
from pathlib import Path

import pytest
from packageurl import PackageURL

from tests.debian.packages import Member, build_deb, directory, file, raw_deb, symlink
from tools.debian.deb import Deb, read_deb
from tools.debian.package_facts import package_facts
from tools.image.entries import Tree, bytes_entry

COPYRIGHT = b"""Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: somebody
License: Expat
"""
TRIXIE = Tree(
    [bytes_entry("usr/lib/os-release", b'ID=debian\nVERSION_ID="13"\nVERSION="13 (trixie)"\n', origin="test")]
)


def _deb(folder: Path, name: str, *members: Member) -> Deb:
    return read_deb(raw_deb(folder, name, members))


def test_the_facts_are_those_of_the_package(tmp_path: Path) -> None:
    path = build_deb(
        tmp_path,
        "libfoo++1",
        version="1:2.0~rc1+b2-3",
        fields={"Source": "foo (1:2.0~rc1-3)", "Homepage": "https://localhost/foo"},
        files={"usr/share/doc/libfoo++1/copyright": COPYRIGHT.decode()},
    )

    (facts,) = package_facts([read_deb(path)], TRIXIE)

    assert facts == {
        "type": "deb",
        "name": "libfoo++1",
        "version": "1:2.0~rc1+b2-3",
        "architecture": "amd64",
        "purl": "pkg:deb/debian/libfoo%2B%2B1@1:2.0~rc1%2Bb2-3?arch=amd64&distro=debian-13",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "license": "MIT",
        "source": {"name": "foo", "version": "1:2.0~rc1-3"},
        "homepage": "https://localhost/foo",
        "supplier": "Nobody <nobody@localhost>",
    }
    assert PackageURL.from_string(facts["purl"]).to_string() == facts["purl"]


def test_what_a_package_does_not_say_is_left_out_or_null(tmp_path: Path) -> None:
    (facts,) = package_facts([_deb(tmp_path, "bare")], Tree())

    assert facts["license"] is None
    assert facts["source"] == {"name": "bare", "version": "1.0"}
    assert facts["purl"] == "pkg:deb/debian/bare@1.0?arch=amd64"
    assert facts.keys() & {"homepage", "supplier"} == set()


@pytest.mark.parametrize(
    ("fields", "source"),
    [({}, ("p", "1.0")), ({"Source": "s"}, ("s", "1.0")), ({"Source": "s (2.0)"}, ("s", "2.0"))],
)
def test_the_source_package_has_a_name_and_a_version(
    tmp_path: Path, fields: dict[str, str], source: tuple[str, str]
) -> None:
    (facts,) = package_facts([read_deb(build_deb(tmp_path, "p", fields=fields))], Tree())

    assert (facts["source"]["name"], facts["source"]["version"]) == source


@pytest.mark.parametrize(
    "members",
    [
        [symlink("./usr/share/doc/lib", "base")],
        [symlink("./usr/share/doc/lib", "/usr/share/doc/base")],
        [directory("./usr/share/doc/lib/"), symlink("./usr/share/doc/lib/copyright", "../base/copyright")],
        [directory("./usr/share/doc/lib/"), symlink("./usr/share/doc/lib/copyright", "../other/copyright")],
    ],
)
def test_a_copyright_file_is_found_through_links_to_packages_of_this_layer_and_those_below(
    tmp_path: Path, members: list[Member]
) -> None:
    base = _deb(tmp_path, "base", file("./usr/share/doc/base/copyright", COPYRIGHT))
    other = _deb(tmp_path, "other", symlink("./usr/share/doc/other", "base"))
    lib = _deb(tmp_path, "lib", *members)

    assert [facts["license"] for facts in package_facts([lib, base, other], Tree())] == ["MIT"] * 3
    assert [facts["license"] for facts in package_facts([lib], Tree(), [base, other])] == ["MIT"]


@pytest.mark.parametrize("target", ["lib", "absent", "../../../../etc"])
def test_links_that_lead_nowhere_are_followed_no_further(tmp_path: Path, target: str) -> None:
    lib = _deb(tmp_path, "lib", symlink("./usr/share/doc/lib", target))

    assert [facts["license"] for facts in package_facts([lib], Tree())] == [None]


def test_a_rolling_release_has_no_version_to_name(tmp_path: Path) -> None:
    sid = Tree([bytes_entry("usr/lib/os-release", b"ID=debian\nVERSION_CODENAME=sid\n", origin="test")])

    assert package_facts([_deb(tmp_path, "p")], sid)[0]["purl"] == "pkg:deb/debian/p@1.0?arch=amd64"
