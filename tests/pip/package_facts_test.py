"""What an SBOM says of a wheel, read from the wheel itself."""

import contextlib
import hashlib
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pip.wheels import write_wheel
from tools.image.license import LICENSES
from tools.pip.errors import PipError
from tools.pip.package_facts import _CLASSIFIERS, _TEXTS, wheel_package

HEAD = "Metadata-Version: 2.4\nName: Some.Name\nVersion: 1.0\n"


def wheel(folder: Path, *members: tuple[str, str | bytes], name: str = "some_name-1.0-py3-none-any.whl") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for member, content in members:
            out.writestr(zipfile.ZipInfo(member), content, zipfile.ZIP_DEFLATED)
    return path


def facts(folder: Path, fields: str) -> dict[str, Any]:
    return wheel_package(wheel(folder, ("some_name-1.0.dist-info/METADATA", HEAD + fields)))


def test_a_wheel_says_what_it_is_and_has_a_hash(tmp_path: Path) -> None:
    path = write_wheel(tmp_path, "some-name", "1!2.0+local")
    assert wheel_package(path) == {
        "type": "pypi",
        "name": "some-name",
        "version": "1!2.0+local",
        "purl": "pkg:pypi/some-name@1%212.0%2Blocal",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "license": None,
    }


@pytest.mark.parametrize(
    ("fields", "expression"),
    [
        ("License-Expression: mit or apache-2.0\n", "MIT OR Apache-2.0"),
        ("License-Expression: LicenseRef-Own\n", "LicenseRef-Own"),
        ("License-Expression: MIT\nLicense: GPL\nClassifier: License :: OSI Approved :: ISC License (ISCL)\n", "MIT"),
        ("License: MIT\n", "MIT"),
        ("License: The MIT License (MIT)\n", "MIT"),
        ("License: Apache License, Version 2.0\n", "Apache-2.0"),
        ("License: Apache-2.0 OR BSD-2-Clause\n", "Apache-2.0 OR BSD-2-Clause"),
        ("License: 3-Clause BSD License\n", "BSD-3-Clause"),
        ("License: BSD\n", None),
        ("License: Apache\n", None),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n", "MIT"),
        ("License: see LICENSE\nClassifier: License :: OSI Approved :: MIT License\n", "MIT"),
        (
            "License: Copyright (c)\n  "
            + "all the words " * 200
            + "\nClassifier: License :: OSI Approved :: MIT License\n",
            "MIT",
        ),
        ("Classifier: License :: OSI Approved\n", None),
        ("Classifier: License :: OSI Approved :: BSD License\n", None),
        ("Classifier: License :: OSI Approved :: MIT License\nClassifier: License :: Public Domain\n", None),
        ("\nLicense: MIT\n", None),
        ("", None),
    ],
)
def test_the_licence_is_an_expression_or_unknown_but_never_guessed(
    tmp_path: Path, fields: str, expression: str | None
) -> None:
    assert facts(tmp_path, fields)["license"] == expression


def test_what_the_tables_of_licences_lead_to_is_on_the_list_of_spdx() -> None:
    assert {*_TEXTS.values(), *_CLASSIFIERS.values()} <= set(LICENSES.values())


@pytest.mark.parametrize(
    ("fields", "homepage"),
    [
        ("Home-page: https://example.org\nProject-URL: Homepage, https://example.com\n", "https://example.org"),
        (
            "Home-page: UNKNOWN\nProject-URL: Source, https://x\nProject-URL: home-page , https://example.com\n",
            "https://example.com",
        ),
        ("Project-URL: Source, https://example.com\n", None),
        ("Project-URL: Homepage\n", None),
    ],
)
def test_the_homepage_is_the_one_that_is_called_so(tmp_path: Path, fields: str, homepage: str | None) -> None:
    assert facts(tmp_path, fields).get("homepage") == homepage


def test_windows_line_ends_and_other_encodings_do_no_harm(tmp_path: Path) -> None:
    text = (HEAD + "Author: Ä\nLicense: MIT\n\nText").replace("\n", "\r\n").encode("latin-1")
    assert wheel_package(wheel(tmp_path, ("some_name-1.0.dist-info/METADATA", text)))["license"] == "MIT"


def test_of_endless_metadata_only_the_beginning_is_read(tmp_path: Path) -> None:
    text = (HEAD + "License: MIT\n\n").encode() + b"x" * 50_000_000
    path = wheel(tmp_path, ("some_name-1.0.dist-info/METADATA", text))
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    try:
        assert wheel_package(path)["license"] == "MIT"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([], "it has 0 files"),
        ([("some_name/METADATA", HEAD), ("vendored/x.dist-info/METADATA", HEAD)], "it has 0 files"),
        ([("a.dist-info/METADATA", HEAD), ("b.dist-info/METADATA", HEAD)], "it has 2 files"),
        ([("a.dist-info/METADATA", "")], "says it is nothing"),
        (
            [("a.dist-info/METADATA", "Name: other\nVersion: 1.0\n")],
            "says it is other, its file name says some_name",
        ),
        ([("a.dist-info/METADATA", "Name: some-name\n")], "its version is None"),
        ([("a.dist-info/METADATA", "Name: some-name\nVersion: 1.0 ; rm\n")], "its version is '1.0 ; rm'"),
    ],
)
def test_a_wheel_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, members: list[tuple[str, str]], why: str
) -> None:
    with pytest.raises(PipError, match=r"what the wheel some_name-1\.0-py3-none-any\.whl is") as error:
        wheel_package(wheel(tmp_path, *members))
    assert why in error.value.why
    assert error.value.remedy


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.booleans())
def test_broken_wheels_are_refused_and_nothing_else_happens(
    tmp_path: Path, noise: bytes, position: int, cut: bool
) -> None:
    path = wheel(tmp_path, ("some_name-1.0.dist-info/METADATA", HEAD + "License: MIT\n"))
    content = path.read_bytes()
    path.write_bytes(content[:position] + noise + (b"" if cut else content[position + len(noise) :]))
    with contextlib.suppress(PipError):
        assert wheel_package(path)["type"] == "pypi"
