"""What packages say of their licences, brought into expressions that SPDX allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_expression import get_spdx_licensing

from tools.image.license import EXCEPTIONS, LICENSES, License, read_license

SPDX = get_spdx_licensing()


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("MIT", "MIT"),
        ("mit", "MIT"),
        ("  apache-2.0 or  bsd-2-clause ", "Apache-2.0 OR BSD-2-Clause"),
        ("MIT AND (Zlib or ISC)", "MIT AND (Zlib OR ISC)"),
        ("((MIT))", "MIT"),
        ("GPL-2.0+", "GPL-2.0+"),
        ("gpl-2.0-or-later with classpath-exception-2.0", "GPL-2.0-or-later WITH Classpath-exception-2.0"),
    ],
)
def test_licences_of_the_list_are_written_as_the_list_writes_them(text: str, expression: str) -> None:
    license_ = read_license(text)
    assert license_ == License(expression)
    assert license_.listed


@pytest.mark.parametrize(
    ("text", "expression", "own"),
    [
        ("Foo", "LicenseRef-Foo", {"LicenseRef-Foo": "Foo"}),
        ("LicenseRef-Foo", "LicenseRef-Foo", {"LicenseRef-Foo": "LicenseRef-Foo"}),
        ("MIT OR Foo-1", "MIT OR LicenseRef-Foo-1", {"LicenseRef-Foo-1": "Foo-1"}),
        (
            "MIT WITH Foo",
            "LicenseRef-MIT-WITH-Foo-37066ab6",
            {"LicenseRef-MIT-WITH-Foo-37066ab6": "MIT WITH Foo"},
        ),
        (
            "BSD, see the file LICENSE",
            "LicenseRef-BSD-see-the-file-LICENSE-f014a851",
            {"LicenseRef-BSD-see-the-file-LICENSE-f014a851": "BSD, see the file LICENSE"},
        ),
    ],
)
def test_other_licences_become_references_with_the_words_of_the_package(
    text: str, expression: str, own: dict[str, str]
) -> None:
    license_ = read_license(text)
    assert (license_.expression, dict(license_.own), license_.listed) == (expression, own, False)


@pytest.mark.parametrize(
    "text",
    ["", "()", "MIT OR", "AND", "(MIT", "MIT)", "MIT MIT", "MIT WITH", "MIT WITH (X)", "ö", "(" * 40, "x" * 2000],
)
def test_what_is_no_expression_is_one_unknown_licence(text: str) -> None:
    license_ = read_license(text)
    assert license_.own == ((license_.expression, text),)
    assert license_.is_simple


def test_texts_that_only_differ_in_what_a_reference_cannot_hold_have_different_references() -> None:
    assert read_license("BSD (new)").expression != read_license("BSD [new]").expression


def test_every_name_is_one_that_the_library_of_spdx_expressions_knows_as_what_it_is() -> None:
    symbols = {symbol.key: symbol for symbol in SPDX.known_symbols.values()}
    symbols |= {alias: symbol for symbol in SPDX.known_symbols.values() for alias in symbol.aliases}
    assert [name for name in LICENSES.values() if symbols[name].is_exception] == []
    assert [name for name in EXCEPTIONS.values() if not symbols[name].is_exception] == []


WORDS = st.sampled_from(
    ["MIT", "GPL-2.0+", "Foo", "LicenseRef-a", "Classpath-exception-2.0", "AND", "or", "WITH", "(", ")"]
)


@given(st.lists(WORDS, max_size=8).map(" ".join) | st.text(max_size=30))
def test_whatever_is_read_the_library_finds_nothing_wrong_with_but_the_references(text: str) -> None:
    license_ = read_license(text)
    found = SPDX.validate(license_.expression)
    assert set(found.invalid_symbols) <= {reference for reference, _ in license_.own}
    assert all(error.startswith("Unknown license key(s)") for error in found.errors), found.errors
    assert read_license(license_.expression).expression == license_.expression
