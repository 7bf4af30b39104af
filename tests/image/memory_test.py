"""However big a layer is, the process that writes it stays small."""

import os
import re
from pathlib import Path

import pytest

from tests.image.python_process import run_python
from tools.image.compression import COMPRESSIONS

SPARSE_BYTES = 1936 << 20
NOISE_BYTES = 64 << 20
MOST_BYTES = 100 * 1000 * 1000

# The kernel's own record of the most memory that the process ever held, taken when all is done.
WRITER = """
import sys
from functools import partial
from pathlib import Path
from tools.image.entries import Entry
from tools.image.layer import write_layer

compression, threads, *paths = sys.argv[1:]
entries = [
    Entry(Path(path).name, size=Path(path).stat().st_size, open=partial(open, path, "rb"), origin="t") for path in paths
]
with open("blob", "wb") as out, open("listing", "wb") as listing:
    facts = write_layer(
        entries, out, machine="amd64", compression=compression, threads=int(threads), listing=listing
    )
print(facts.size)
print(Path("/proc/self/status").read_text())
"""


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """2 GB in two files, of which one is a hole and the other cannot be compressed."""
    folder = tmp_path_factory.mktemp("content")
    with (folder / "noise").open("wb") as noise:
        for _ in range(NOISE_BYTES >> 20):
            noise.write(os.urandom(1 << 20))
    with (folder / "sparse").open("wb") as sparse:
        sparse.truncate(SPARSE_BYTES)
    return [folder / "noise", folder / "sparse"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_layer_of_2_gb_takes_less_than_100_mb_of_memory(
    compression: str, content: list[Path], tmp_path: Path
) -> None:
    """With as many threads as are ever used."""
    found = run_python("-c", WRITER, compression, "8", *map(str, content), folder=tmp_path)
    size, _, status = found.partition("\n")
    assert int(size) == (tmp_path / "blob").stat().st_size > NOISE_BYTES
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak is not None
    assert 1024 * int(peak[1]) < MOST_BYTES
