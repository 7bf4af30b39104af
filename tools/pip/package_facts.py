"""What an SBOM says of a wheel (core metadata and binary distribution format, PyPA specifications)."""

from __future__ import annotations

import hashlib
import re
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import Any, BinaryIO

from tools.image.license import read_license
from tools.image.purl import pypi_purl
from tools.pip.errors import PipError

_MOST_METADATA = 1 << 20
"""Bytes that are read of METADATA. What an SBOM says stands at the beginning, a description at the end."""

_LONGEST = 1000
_REMEDY = "do not use this wheel: pin another version of the package"
_VERSION = re.compile(r"[A-Za-z0-9.!+_-]{1,100}", re.ASCII)

# Words that make no difference between the names of licences.
_FILLERS = {"the", "license", "licence", "licensed", "under", "version", "clause", "software", "public", "v"}

# What people write into the field License (without the fillers) -> SPDX. A text that may mean several, such as BSD, is
# in none of the tables: an SBOM says that nobody knows rather than guesses.
_TEXTS = {
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache2": "Apache-2.0",
    "apache2.0": "Apache-2.0",
    "asl 2.0": "Apache-2.0",
    "bsd 2": "BSD-2-Clause",
    "2 bsd": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause",
    "bsd 3": "BSD-3-Clause",
    "3 bsd": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "revised bsd": "BSD-3-Clause",
    "gplv2": "GPL-2.0-only",
    "gplv2+": "GPL-2.0-or-later",
    "gplv3": "GPL-3.0-only",
    "gplv3+": "GPL-3.0-or-later",
    "lgplv3": "LGPL-3.0-only",
    "lgplv3+": "LGPL-3.0-or-later",
    "mit": "MIT",
    "expat": "MIT",
    "mozilla 2.0": "MPL-2.0",
    "mpl 2.0": "MPL-2.0",
    "mpl2": "MPL-2.0",
    "psf": "PSF-2.0",
    "python foundation": "PSF-2.0",
    "unlicense": "Unlicense",
    "zpl 2.1": "ZPL-2.1",
}

# The classifiers of PyPI that mean one licence, without "License :: " and "OSI Approved :: ".
_CLASSIFIERS = {
    "Blue Oak Model License (BlueOak-1.0.0)": "BlueOak-1.0.0",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.1 (EUPL 1.1)": "EUPL-1.1",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "Zero-Clause BSD (0BSD)": "0BSD",
    "zlib/libpng License": "Zlib",
}


def wheel_package(path: Path) -> dict[str, Any]:
    """The entry of the wheel at `path` in the `packages` of a layer's metadata; raises PipError for a broken wheel."""
    with path.open("rb") as wheel:
        sha256 = hashlib.file_digest(wheel, "sha256").hexdigest()
        metadata = _metadata(path, wheel)
    name, version = _field(metadata, "Name"), _field(metadata, "Version")
    distribution = path.name.partition("-")[0]
    if name is None or _normalized(name) != _normalized(distribution):
        raise _refusal(path, f"the wheel says it is {name or 'nothing'}, its file name says {distribution}")
    if version is None or not _VERSION.fullmatch(version):
        raise _refusal(path, f"its version is {version!r}")
    package = {
        "type": "pypi",
        "name": name,
        "version": version,
        "purl": pypi_purl(name, version),
        "sha256": sha256,
        "license": _license(metadata),
    }
    homepage = _homepage(metadata)
    return {**package, "homepage": homepage} if homepage else package


def _metadata(path: Path, wheel: BinaryIO) -> Message:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
            contents = [_beginning(archive, name) for name in names[:2]]
    except Exception as error:
        # A broken archive makes zipfile and the decompressors raise half a dozen kinds of error, hardly any documented.
        raise _refusal(path, str(error) or type(error).__name__) from error
    if len(contents) != 1:
        raise _refusal(path, f"it has {len(names)} files *.dist-info/METADATA")
    text = contents[0].decode(errors="replace")
    return HeaderParser().parsestr(text.replace("\r\n", "\n").partition("\n\n")[0])


def _beginning(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as member:
        return member.read(_MOST_METADATA)


def _license(metadata: Message) -> str | None:
    """The licence as an SPDX expression, from the field that says it most exactly; None where nobody knows."""
    if expression := _field(metadata, "License-Expression"):
        return read_license(expression).expression
    text = _field(metadata, "License")
    if text and len(text) <= _LONGEST:
        if read_license(text).listed:
            return read_license(text).expression
        words = [word for word in re.split(r"[^a-z0-9.+]+", text.lower()) if word and word not in _FILLERS]
        if found := _TEXTS.get(" ".join(dict.fromkeys(words))):
            return found
    classifiers = [value for value in metadata.get_all("Classifier", []) if value.startswith("License :: ")]
    # Of several nobody knows whether one may choose among them or must heed all.
    if len(classifiers) == 1:
        return _CLASSIFIERS.get(classifiers[0].strip().rpartition(" :: ")[2])
    return None


def _homepage(metadata: Message) -> str | None:
    if home := _field(metadata, "Home-page"):
        return home
    for value in metadata.get_all("Project-URL", []):
        label, _, url = value.partition(",")
        if re.sub(r"[^a-z]", "", label.lower()) == "homepage" and url.strip():
            return str(url.strip()[:_LONGEST])
    return None


def _field(metadata: Message, name: str) -> str | None:
    """A field on one line; None for what is not there, empty, or as tools of old write what they do not know."""
    value = " ".join(str(metadata.get(name, "")).split())
    return None if value in ("", "UNKNOWN") else value[: _LONGEST + 1]


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _refusal(wheel: Path, why: str) -> PipError:
    return PipError(f"cannot read what the wheel {wheel.name} is", why, _REMEDY)
