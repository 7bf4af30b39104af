"""What a small image consists of: packages of every kind, and files of its own."""

from typing import Any

from tools.image.purl import deb_purl, oci_purl, pypi_purl
from tools.oci.manifest import Platform

SUBJECT = "sha256:" + "a" * 64
ARM64 = Platform("linux", "arm64")

LIBC: dict[str, Any] = {
    "type": "deb",
    "name": "libc6",
    "version": "2.41-12",
    "architecture": "arm64",
    "purl": deb_purl("libc6", "2.41-12", "arm64", "debian-13"),
    "sha256": "1" * 64,
    "license": "LGPL-2.1-or-later AND GPL-2.0-or-later",
    "source": {"name": "glibc", "version": "2.41-12"},
    "homepage": "https://www.gnu.org/software/libc/libc.html",
    "supplier": "GNU Libc Maintainers <debian-glibc@lists.debian.org>",
}
TZDATA: dict[str, Any] = {
    "type": "deb",
    "name": "tzdata",
    "version": "2026a-0+deb13u1",
    "architecture": "all",
    "purl": deb_purl("tzdata", "2026a-0+deb13u1", "all", "debian-13"),
    "sha256": "2" * 64,
    "license": None,
}
CLICK: dict[str, Any] = {
    "type": "pypi",
    "name": "click",
    "version": "8.5.1",
    "purl": pypi_purl("click", "8.5.1"),
    "sha256": "3" * 64,
    "license": "BSD-3-Clause",
}
ODD: dict[str, Any] = {
    "type": "pypi",
    "name": "Odd_Name",
    "version": "1!2.0+local",
    "purl": pypi_purl("Odd_Name", "1!2.0+local"),
    "sha256": "4" * 64,
    "license": "MIT OR Own-Licence",
    "homepage": "see the README",
}
BASE: dict[str, Any] = {
    "type": "oci",
    "name": "base/python",
    "version": "sha256:" + "5" * 64,
    "purl": oci_purl("registry.example/base/python", "sha256:" + "5" * 64),
    "sha256": "5" * 64,
    "license": None,
}
PACKAGES: list[dict[str, Any]] = [BASE, TZDATA, LIBC, ODD, CLICK]


def file(path: str, digit: str = "f") -> dict[str, Any]:
    """The line of a listing for a file whose content hashes to this digit."""
    return {"path": path, "kind": "file", "mode": "0644", "uid": 0, "gid": 0, "size": 1, "sha256": digit * 64}


def link(path: str, kind: str, target: str) -> dict[str, Any]:
    """The line of a listing for a link."""
    return {"path": path, "kind": kind, "mode": "0777", "uid": 0, "gid": 0, "target": target}


FILES = [file("app/größe.txt"), file("app/main.py", "e")]
