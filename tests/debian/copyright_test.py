"""Licences are told where a copyright file says them for certain, and never guessed."""

import pytest
from license_expression import get_spdx_licensing

from tools.debian.copyright import spdx_license

HEADER = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: x\n"


def _copyright(*licenses: str, header: str = HEADER) -> str:
    paragraphs = [f"Files: {number}/*\nCopyright: somebody\nLicense: {each}\n" for number, each in enumerate(licenses)]
    return "\n".join([header, *paragraphs, "License: of-nothing\n Its text.\n .\n And more.\n"])


@pytest.mark.parametrize(
    ("licenses", "expression"),
    [
        (["Expat"], "MIT"),
        (["Expat\n Permission is hereby granted\n .\n and so on"], "MIT"),
        (["GPL-2"], "GPL-2.0-only"),
        (["GPL-2+"], "GPL-2.0-or-later"),
        (["GPL-2.0+"], "GPL-2.0-or-later"),
        (["LGPL-2.1"], "LGPL-2.1-only"),
        (["gpl-3.0-or-later"], "GPL-3.0-or-later"),
        (["GFDL-NIV-1.3+"], "GFDL-1.3-no-invariants-or-later"),
        (["BSD-3-clause"], "BSD-3-Clause"),
        (["Apache-2"], "Apache-2.0"),
        (["zlib"], "Zlib"),
        (["CC0"], "CC0-1.0"),
        (["GPL-2+", "Expat", "GPL-2+"], "GPL-2.0-or-later AND MIT"),
        (["GPL-2+ or Expat"], "GPL-2.0-or-later OR MIT"),
        (["GPL-2+ or Expat", "ISC"], "(GPL-2.0-or-later OR MIT) AND ISC"),
        (["GPL-2 or Expat and ISC"], "GPL-2.0-only OR (MIT AND ISC)"),
        (["GPL-2 or Expat, and ISC"], "(GPL-2.0-only OR MIT) AND ISC"),
        (["Expat and  ISC", "ISC"], "ISC AND MIT"),
    ],
)
def test_what_is_certain_becomes_an_expression_of_spdx(licenses: list[str], expression: str) -> None:
    found = spdx_license(_copyright(*licenses))

    assert found is not None
    licensing = get_spdx_licensing()
    assert licensing.validate(found, strict=True).errors == []
    assert licensing.is_equivalent(licensing.parse(found), licensing.parse(expression))


@pytest.mark.parametrize(
    "license_name",
    [
        "GPL",
        "GPL-2+ with OpenSSL exception",
        "MIT",
        "X11",
        "Artistic",
        "Artistic-1",
        "BSD",
        "public-domain",
        "something-else",
        "MPL-1.1, GPL-2+, or LGPL-2.1+",
        "Expat and",
        "",
        "\n The text without a name.",
    ],
)
def test_one_that_is_not_certain_makes_the_whole_unknown(license_name: str) -> None:
    assert spdx_license(_copyright("Expat", license_name)) is None


def test_a_licence_of_the_whole_package_counts() -> None:
    assert spdx_license(_copyright("Expat", header=f"{HEADER}License: GPL-2\n")) == "GPL-2.0-only AND MIT"
    assert spdx_license(f"{HEADER}License: GPL-2\n") == "GPL-2.0-only"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "This package was debianized by hand.\n",
        "This package was debianized by hand.\nLicense: Expat\n",
        HEADER,
        _copyright("Expat", header="Format: https://localhost/other/2.0/\n"),
        " a continuation of nothing\n",
    ],
)
def test_a_file_of_another_form_says_nothing(text: str) -> None:
    assert spdx_license(text) is None
