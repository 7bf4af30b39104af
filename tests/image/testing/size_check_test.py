"""An image is as large as its layers, and new is what another image does not have."""

from pathlib import Path

import pytest

from tests.image.testing.fixtures import SubjectMaker, file, layer
from tools.image.testing.size_check import main

BASE = layer(file("base", "b" * 10), name="base")
AMD64 = layer(file("bin", "amd64"), name="app for amd64")
ARM64 = layer(file("bin", "arm64"), name="app for arm64")
IMAGES = {"linux/amd64": [BASE, AMD64], "linux/arm64": [BASE, ARM64]}
SIZE = max(BASE.metadata["size"] + app.metadata["size"] for app in (AMD64, ARM64))
NEW = max(app.metadata["size"] for app in (AMD64, ARM64))


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    return SubjectMaker(tmp_path).make(IMAGES)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return SubjectMaker(tmp_path, label="//base:image").make({"linux/amd64": [BASE], "linux/arm64": [BASE]})


def test_an_image_within_its_limits_passes_and_shows_its_layers(
    subject: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(
        ["--subject", str(subject), "--max-bytes", str(SIZE), "--max-new-bytes", str(other), str(NEW)],
    )
    said = capsys.readouterr().out
    assert status == 0
    assert said.splitlines()[:3] == [
        "//app:image for linux/amd64: 0.000 MB in 2 layers, top first",
        "       0.000 MB  app for amd64",
        "       0.000 MB  base  [also in linux/arm64, //base:image]",
    ]
    assert "//app:image for linux/arm64" in said


def test_an_image_over_its_limit_fails_with_the_table_and_the_figures(
    subject: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--subject", str(subject), "--max-bytes", "1"]) == 1
    said = capsys.readouterr().out
    assert "base  [also in linux/arm64]" in said
    assert (
        "linux/amd64: 0.000 MB, and at most 0.000 MB are allowed. "
        "Take out what the largest layers do not need, or raise max_mb.\n"
    ) in said
    assert main(["--subject", str(subject), "--max-bytes", str(SIZE - 1)]) == 1


def test_new_is_what_the_other_image_of_the_same_platform_does_not_have(
    subject: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--subject", str(subject), "--max-new-bytes", str(other), str(NEW - 1)]) == 1
    assert "MB that //base:image does not have, and at most 0.000 MB are allowed." in capsys.readouterr().out
    assert main(["--subject", str(subject), "--max-new-bytes", str(subject), "0"]) == 0


def test_a_platform_that_cannot_be_compared_fails(
    tmp_path: Path, subject: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = SubjectMaker(tmp_path, label="//base:image").make({"linux/amd64": [BASE]})
    assert main(["--subject", str(subject), "--max-new-bytes", str(other), str(SIZE)]) == 1
    assert (
        "linux/arm64: //base:image has no image for it to compare with; it has linux/amd64. "
        "Compare with an index of the same platforms.\n"
    ) in capsys.readouterr().out
