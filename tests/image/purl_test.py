"""Package URLs, compared with the library of those who specify them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL

from tools.image.purl import deb_purl, oci_purl, pypi_purl

# The library takes away white space at the ends of versions, which no version has.
VERSIONS = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1)
DEB_NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]+", fullmatch=True)


@pytest.mark.parametrize(
    ("written", "purl"),
    [
        (
            deb_purl("libstdc++6", "1:14.2.0-19~deb13u1+b2", "arm64", "debian-13"),
            "pkg:deb/debian/libstdc%2B%2B6@1:14.2.0-19~deb13u1%2Bb2?arch=arm64&distro=debian-13",
        ),
        (deb_purl("tzdata", "2026a", "all", ""), "pkg:deb/debian/tzdata@2026a?arch=all"),
        (pypi_purl("Typing_Extensions", "4.0+local"), "pkg:pypi/typing-extensions@4.0%2Blocal"),
        (
            oci_purl("registry.example:5000/base/Python", "sha256:ab"),
            "pkg:oci/python@sha256:ab?repository_url=registry.example:5000/base/python",
        ),
    ],
)
def test_what_a_purl_looks_like(written: str, purl: str) -> None:
    assert written == purl
    assert PackageURL.from_string(written).name


@given(DEB_NAMES, VERSIONS, DEB_NAMES, st.just("") | DEB_NAMES)
def test_debian_packages_are_named_as_the_library_names_them(
    name: str, version: str, architecture: str, distribution: str
) -> None:
    qualifiers = {"arch": architecture, "distro": distribution}
    expected = PackageURL("deb", "debian", name, version, qualifiers)
    assert deb_purl(name, version, architecture, distribution) == expected.to_string()
    assert PackageURL.from_string(expected.to_string()).version == version


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]*", fullmatch=True), VERSIONS)
def test_distributions_of_pypi_are_named_as_the_library_names_them(name: str, version: str) -> None:
    assert pypi_purl(name, version) == PackageURL("pypi", None, name, version).to_string()


@given(
    st.from_regex(r"[a-z0-9]+(:[0-9]{1,5})?(/[a-z0-9._-]*[a-z0-9]){1,3}", fullmatch=True),
    st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True),
)
def test_images_are_named_as_the_library_names_them(repository: str, digest: str) -> None:
    expected = PackageURL("oci", None, repository.rpartition("/")[2], digest, {"repository_url": repository})
    assert oci_purl(repository, digest) == expected.to_string()
