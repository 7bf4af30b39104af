"""The tests that the rules declare: what `bazel test` starts, started here where it is expected to fail."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def started(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a test target with the arguments that its macro gives it, here in the folder of the runfiles."""
    return subprocess.run([str(HERE / name), *arguments], capture_output=True, text=True, check=False)


def subject(name: str) -> str:
    return f"{HERE}/{name}_subject/subject.json"


def test_an_image_test_fails_with_all_that_is_wrong() -> None:
    result = started(
        "wrong_contents",
        f"--subject={subject('wrong_contents')}",
        f"--spec={HERE}/wrong.yaml",
        "--spec-name=wrong.yaml",
    )
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout == (HERE / "wrong.txt").read_text(encoding="utf-8")


def test_an_image_size_test_fails_with_the_layers_and_the_limit() -> None:
    result = started(
        "wrong_size",
        f"--subject={subject('wrong_size')}",
        "--max-bytes=100",
        "--max-new-bytes",
        f"{HERE}/wrong_size_subject_0/subject.json",
        "0",
    )
    assert (result.returncode, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "//tests/image/testing:image for linux/amd64: 0.000 MB in 2 layers, top first"
    assert lines[1].endswith(" MB  files of top  [also in linux/arm64]")
    assert lines[2].endswith(" MB  files of bottom  [also in linux/arm64, //tests/image/testing:other_image]")
    assert "linux/amd64: 0.000 MB, and at most 0.000 MB are allowed." in result.stdout
    assert "MB that //tests/image/testing:other_image does not have, and at most 0.000 MB are allowed." in result.stdout


def test_an_image_repro_test_fails_with_the_layer_and_the_entry_that_differs() -> None:
    result = started("wrong_writing", f"--subject={subject('wrong_writing')}")
    assert (result.returncode, result.stderr) == (1, "")
    assert "layer 2 of 2 (files of first_writing): the first entry that differs is number 1:\n" in result.stdout
    assert '    first writing:  {"path":"etc/changing",' in result.stdout
    assert result.stdout.count("DIFFERENT") == 1
