"""Two writings of a layer are compared, and a difference is told by the first entry that differs."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.image.testing.fixtures import MadeLayer, SubjectMaker, file, foreign_layer, layer
from tools.image.testing.repro_check import main

FIRST = layer(file("a", "one"), file("b", "two"), name="app")
PULLED = foreign_layer(name="pulled")


def compared(folder: Path, again: MadeLayer) -> int:
    subject = SubjectMaker(folder).make({"linux/amd64": [PULLED, FIRST]}, again={"app": again})
    return main(["--subject", str(subject)])


def test_an_image_whose_layers_are_the_same_again_passes_and_names_those_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(tmp_path, FIRST) == 0
    assert capsys.readouterr().out == (
        "not made again: linux/amd64, layer 1 of 2 (pulled): it was pulled, or made by a rule that does not say how\n"
        "//app:image: 1 of 2 layers were made again, each the same.\n"
    )


def test_a_layer_with_another_content_is_told_by_its_first_entry_that_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(tmp_path, layer(file("a", "one"), file("b", "TWO"), name="app")) == 1
    said = capsys.readouterr().out
    assert "DIFFERENT: linux/amd64, layer 2 of 2 (app): the first entry that differs is number 2:\n" in said
    assert '    first writing:  {"path":"b",' in said
    assert '    second writing: {"path":"b",' in said


def test_a_layer_that_lacks_an_entry_the_second_time_is_different(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compared(tmp_path, layer(file("a", "one"), name="app")) == 1
    assert "    second writing: there is none\n" in capsys.readouterr().out


def test_a_layer_that_is_only_compressed_in_another_way_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = layer(file("a", "one"), file("b", "two"), name="app", compression="zstd")
    assert compared(tmp_path, again) == 1
    assert "the archives are equal, but they are compressed to sha256:" in capsys.readouterr().out


def test_a_layer_with_other_headers_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metadata = {**FIRST.metadata, "digest": f"sha256:{'0' * 64}", "diffID": f"sha256:{'1' * 64}"}
    assert compared(tmp_path, replace(FIRST, metadata=metadata)) == 1
    assert "so the archives differ in what no listing tells: times" in capsys.readouterr().out


def test_an_image_without_a_layer_of_this_build_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subject = SubjectMaker(tmp_path).make({"linux/amd64": [PULLED]})
    assert main(["--subject", str(subject)]) == 1
    assert "has no layer that can be made again, so this test says nothing" in capsys.readouterr().out
