"""What an SBOM says of Debian packages: the entries of `packages` in the metadata of a layer."""

import posixpath
import re
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any

from tools.debian.copyright import spdx_license
from tools.debian.deb import Deb
from tools.image.entries import Tree
from tools.image.purl import deb_purl

_DOCUMENTATION = "usr/share/doc"

# A folder of documentation is often a link to that of another package of the same source.
_MOST_LINKS = 5


def package_facts(debs: Sequence[Deb], system: Tree, others: Sequence[Deb] = ()) -> list[dict[str, Any]]:
    """The facts of `debs`, sorted by name.

    Args:
      debs: the packages.
      system: the root file system that they are part of, which says which Debian it is.
      others: packages that are installed with them, and may hold their copyright files.
    """
    copyrights = _Copyrights([*debs, *others])
    distribution = _distribution(system)
    return [_facts(deb, distribution, copyrights) for deb in sorted(debs, key=lambda deb: deb.name)]


def _facts(deb: Deb, distribution: str, copyrights: "_Copyrights") -> dict[str, Any]:
    text = copyrights.text(deb.name)
    facts = {
        "type": "deb",
        "name": deb.name,
        "version": deb.version,
        "architecture": deb.architecture,
        "purl": deb_purl(deb.name, deb.version, deb.architecture, distribution),
        "sha256": deb.sha256,
        "license": None if text is None else spdx_license(text),
        "source": _source(deb),
    }
    for fact, field in (("homepage", "Homepage"), ("supplier", "Maintainer")):
        if field in deb.fields:
            facts[fact] = deb.fields[field]
    return facts


def _source(deb: Deb) -> dict[str, str]:
    """The source package: `Source: NAME (VERSION)`, where the field and the version stand only if they differ."""
    name, _, version = deb.fields.get("Source", deb.name).partition(" ")
    return {"name": name, "version": version.strip(" ()") or deb.version}


def _distribution(system: Tree) -> str:
    """Such as "debian-13"; empty for a system that does not say it (os-release(5)) and for a rolling one."""
    release = system.get("usr/lib/os-release")
    if release is None or release.open is None:
        return ""
    with release.open() as content:
        fields = dict(re.findall(r'^(ID|VERSION_ID)="?([a-z0-9._-]+)"?$', content.read().decode(), re.MULTILINE))
    return f"{fields['ID']}-{fields['VERSION_ID']}" if len(fields) == 2 else ""


class _Copyrights:
    """The copyright files of packages, through the links that lead to them."""

    def __init__(self, debs: Sequence[Deb]) -> None:
        self._members = {path: (deb, member) for deb in debs for path, member in _documentation(deb)}

    def text(self, name: str) -> str | None:
        """The copyright file of the package `name`; None where there is none."""
        path = f"{_DOCUMENTATION}/{name}/copyright"
        for _ in range(_MOST_LINKS):
            folder = posixpath.dirname(path)
            if path in self._members:
                deb, member = self._members[path]
                if member.isfile():
                    with deb.open(member) as content:
                        return content.read().decode("utf-8", "replace")
                path = _target(path, member)
            elif folder in self._members:
                path = posixpath.join(_target(folder, self._members[folder][1]), "copyright")
            else:
                return None
        return None


def _documentation(deb: Deb) -> Iterator[tuple[str, tarfile.TarInfo]]:
    """The copyright files of a package, and the links in their place or in that of their folder."""
    for member in deb.members:
        path = posixpath.normpath(member.name.lstrip("/"))
        folder, name = posixpath.split(path)
        is_copyright = name == "copyright" and posixpath.dirname(folder) == _DOCUMENTATION
        if (member.isreg() and is_copyright) or (member.issym() and (is_copyright or folder == _DOCUMENTATION)):
            yield path, member


def _target(path: str, link: tarfile.TarInfo) -> str:
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(path), link.linkname)).lstrip("/")
