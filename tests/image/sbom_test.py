"""SBOMs: what they say, that it is all a function of content, and that both standards allow it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packageurl import PackageURL

from tests.image.small_image import ARM64, CLICK, FILES, LIBC, PACKAGES, SUBJECT, file, link
from tests.support.sbom_validators import assert_valid_cyclonedx, valid_spdx
from tools.image.purl import pypi_purl
from tools.image.sbom import cyclonedx_document, own_files, spdx_document
from tools.oci.manifest import Platform


def indented(document: bytes) -> str:
    return json.dumps(json.loads(document), indent=2) + "\n"


def golden(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def test_the_spdx_document_of_a_small_image() -> None:
    document = spdx_document(SUBJECT, ARM64, PACKAGES, FILES)
    assert indented(document) == golden("small_image.spdx.json")
    assert {package.name for package in valid_spdx(document).packages} == {
        "image for linux/arm64",
        *(package["name"] for package in PACKAGES),
        *(each["path"] for each in FILES),
    }


def test_the_cyclonedx_document_of_a_small_image() -> None:
    document = cyclonedx_document(SUBJECT, ARM64, PACKAGES, FILES)
    assert indented(document) == golden("small_image.cyclonedx.json")
    assert_valid_cyclonedx(document)


def test_an_image_of_nothing_has_documents_too() -> None:
    assert [package.name for package in valid_spdx(spdx_document(SUBJECT, ARM64, [], [])).packages] == [
        "image for linux/arm64"
    ]
    assert_valid_cyclonedx(cyclonedx_document(SUBJECT, ARM64, [], []))


def test_an_image_that_is_named_by_sha512_has_documents_too() -> None:
    subject = "sha512:" + "a" * 128
    valid_spdx(spdx_document(subject, ARM64, PACKAGES, FILES))
    assert_valid_cyclonedx(cyclonedx_document(subject, ARM64, PACKAGES, FILES))


def test_the_order_of_layers_and_a_package_in_two_of_them_change_nothing() -> None:
    again = [CLICK, *reversed(PACKAGES), dict(LIBC)]
    assert spdx_document(SUBJECT, ARM64, again, FILES) == spdx_document(SUBJECT, ARM64, PACKAGES, FILES)
    assert cyclonedx_document(SUBJECT, ARM64, again, FILES) == cyclonedx_document(SUBJECT, ARM64, PACKAGES, FILES)


def test_two_wheels_of_one_version_are_two_packages() -> None:
    other = {**CLICK, "sha256": "9" * 64}
    parsed = valid_spdx(spdx_document(SUBJECT, ARM64, [CLICK, other], []))
    assert [package.name for package in parsed.packages].count("click") == 2
    assert_valid_cyclonedx(cyclonedx_document(SUBJECT, ARM64, [CLICK, other], []))


def test_each_document_has_an_identity_of_its_own_that_comes_from_its_content() -> None:
    def identity(**changed: Any) -> tuple[str, str]:
        arguments: dict[str, Any] = {
            "subject": SUBJECT,
            "platform": ARM64,
            "packages": PACKAGES,
            "files": FILES,
        } | changed
        spdx, cyclonedx = json.loads(spdx_document(**arguments)), json.loads(cyclonedx_document(**arguments))
        return spdx["documentNamespace"], cyclonedx["serialNumber"]

    same = identity()
    others = [
        identity(subject="sha256:" + "b" * 64),
        identity(platform=Platform("linux", "amd64")),
        identity(packages=PACKAGES[1:]),
        identity(files=[]),
    ]
    assert identity() == same
    assert len({same, *others}) == 5


@pytest.mark.parametrize(
    ("supplier", "spdx"),
    [
        ("Matthias Klose <doko@debian.org>", "Person: Matthias Klose (doko@debian.org)"),
        (
            "Debian GCC Maintainers <debian-gcc@lists.debian.org>",
            "Organization: Debian GCC Maintainers (debian-gcc@lists.debian.org)",
        ),
        ("Shadow package maintainers", "Organization: Shadow package maintainers"),
        ("Laszlo Boszormenyi (GCS) <gcs@debian.org>", "Person: Laszlo Boszormenyi (GCS) (gcs@debian.org)"),
        ("<a@example.org>", "Person: a@example.org (a@example.org)"),
        ("A  Name\n <not an address>", "Person: A Name <not an address>"),
        (" ", None),
    ],
)
def test_a_supplier_is_a_person_unless_its_name_is_a_groups(supplier: str, spdx: str | None) -> None:
    packages = [{**CLICK, "supplier": supplier}]
    document = spdx_document(SUBJECT, ARM64, packages, [])
    valid_spdx(document)
    assert json.loads(document)["packages"][1].get("supplier") == spdx
    assert_valid_cyclonedx(cyclonedx_document(SUBJECT, ARM64, packages, []))


def test_own_files_are_those_that_the_layers_leave_uncovered() -> None:
    lower = [file("a/kept"), file("a/replaced", "1"), file("b/removed"), file("c/x"), file("c/y"), file("d/link")]
    upper = [
        {"path": "a", "kind": "directory", "mode": "0755", "uid": 0, "gid": 0},
        file("a/replaced", "2"),
        file("b/.wh.removed"),
        file("c/.wh..wh..opq"),
        file("c/new", "3"),
        link("c/same", "hardlink", "c/new"),
        link("d/link", "symlink", "kept"),
        file(".wh.nothing"),
    ]
    assert [(each["path"], each["sha256"][0]) for each in own_files([lower, upper])] == [
        ("a/kept", "f"),
        ("a/replaced", "2"),
        ("c/new", "3"),
        ("c/same", "3"),
    ]


def test_what_a_whiteout_hides_is_a_folder_with_all_that_is_in_it_and_no_namesake() -> None:
    lower = [file("etc/conf/a"), file("etc/conf/deep/b"), file("etc/config")]
    assert [each["path"] for each in own_files([lower, [file("etc/.wh.conf")]])] == ["etc/config"]


TEXT = st.text(min_size=1, max_size=20)
# No slash: a distribution is called like its file, and in a purl what stands before one is a namespace.
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=20).filter(str.strip)
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
EXPRESSIONS = st.sampled_from(["MIT", "(MIT)", "mit or Foo", "GPL-2.0+ WITH X", "LicenseRef-a", "MIT OR (ISC AND a b)"])
SOURCES = st.fixed_dictionaries({"name": TEXT, "version": TEXT})
URLS = st.from_regex(r"https?://[a-z0-9]{1,5}\.[a-z]{2,12}(/\S{0,10})?", fullmatch=True)
ANY_PACKAGE = st.builds(
    lambda name, version, **known: (
        {"type": "pypi", "name": name, "version": version, "purl": pypi_purl(name, version)} | known
    ),
    NAMES,
    TEXT.filter(str.strip),
    license=st.none() | EXPRESSIONS | TEXT,
    sha256=st.none() | HEX,
    source=st.none() | SOURCES,
    homepage=st.none() | URLS | TEXT,
    supplier=st.none() | TEXT | st.builds("{} <{}>".format, TEXT, st.emails() | TEXT),
)


@settings(deadline=None)
@given(st.lists(ANY_PACKAGE, max_size=4), st.lists(TEXT, max_size=3, unique=True))
def test_whatever_packages_say_of_themselves_both_documents_are_valid(
    packages: list[dict[str, Any]], paths: list[str]
) -> None:
    files = [file(path) for path in paths]
    spdx = spdx_document(SUBJECT, ARM64, packages, files)
    valid_spdx(spdx)
    assert_valid_cyclonedx(cyclonedx_document(SUBJECT, ARM64, packages, files))
    for element in json.loads(spdx)["packages"]:
        for reference in element.get("externalRefs", []):
            assert PackageURL.from_string(reference["referenceLocator"]).version == element["versionInfo"].strip()
