"""Package URLs: how SBOMs name a package so that other tools find it (package-url/purl-spec)."""

from collections.abc import Mapping
from urllib.parse import quote


def deb_purl(name: str, version: str, architecture: str, distribution: str) -> str:
    """Of a Debian package.

    Args:
      name: of the binary package.
      version: as Debian writes it, with the epoch where there is one.
      architecture: `all` or Debian's name of an architecture.
      distribution: such as `debian-13`; empty where nobody knows.
    """
    return _purl("deb/debian", name.lower(), version, {"arch": architecture, "distro": distribution})


def pypi_purl(name: str, version: str) -> str:
    """Of a distribution of PyPI."""
    return _purl("pypi", name.lower().replace("_", "-"), version, {})


def oci_purl(repository: str, digest: str) -> str:
    """Of an image in a registry: `repository` is HOST/PATH without a tag."""
    name = repository.rpartition("/")[2].lower()
    return _purl("oci", name, digest, {"repository_url": repository.lower()})


def _purl(kind: str, name: str, version: str, qualifiers: Mapping[str, str]) -> str:
    query = "&".join(f"{key}={_encoded(value)}" for key, value in sorted(qualifiers.items()) if value)
    return f"pkg:{kind}/{_encoded(name)}@{_encoded(version)}" + (f"?{query}" if query else "")


def _encoded(text: str) -> str:
    # Of the characters with a meaning elsewhere, colons and slashes are left alone, as packageurl-python does.
    return quote(text, safe=":/")
