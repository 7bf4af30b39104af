"""One layer has one digest, whatever the process that writes it is like."""

from pathlib import Path

import pytest

from tests.image import layer_sample
from tests.image.python_process import run_python
from tools.image.compression import COMPRESSIONS

SAMPLE = str(Path(layer_sample.__file__).resolve())


@pytest.fixture(scope="module")
def reference() -> str:
    found = run_python(SAMPLE)
    assert [line.split()[0] for line in found.splitlines()] == list(COMPRESSIONS)
    return found


@pytest.mark.parametrize("threads", [2, 5])
def test_the_number_of_threads_changes_nothing(reference: str, threads: int) -> None:
    assert run_python(SAMPLE, f"--threads={threads}") == reference


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_the_entries_changes_nothing(reference: str, seed: int) -> None:
    assert run_python(SAMPLE, f"--shuffle={seed}", "--threads=2") == reference


def test_the_folder_changes_nothing(reference: str, tmp_path: Path) -> None:
    assert run_python(SAMPLE, folder=tmp_path) == reference


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=oct)
def test_the_umask_changes_nothing(reference: str, umask: int) -> None:
    assert run_python(SAMPLE, umask=umask) == reference


@pytest.mark.parametrize(
    "environment",
    [
        {"TZ": "Asia/Kathmandu"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "tr_TR.UTF-8"},
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "4711"},
        {"PYTHONOPTIMIZE": "2"},
    ],
    ids=str,
)
def test_the_environment_changes_nothing(reference: str, environment: dict[str, str]) -> None:
    assert run_python(SAMPLE, environment=environment) == reference
