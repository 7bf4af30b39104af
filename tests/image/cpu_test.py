"""One layer has one digest on every CPU: compressors choose their code by what the CPU can do, and it must not show.

The same interpreter and wheels run on this machine's CPU and on CPUs that qemu makes up.
"""

from pathlib import Path

import pytest

from tests.image import layer_sample
from tests.image.python_process import run_python
from tests.support.tools import tool
from tools.image.compression import COMPRESSIONS

SAMPLE = str(Path(layer_sample.__file__).resolve())

# The digest of what isal makes of some text: of the wheels that we know, the one whose bytes do depend on the CPU.
ISAL = """
import hashlib, pathlib
from isal import isal_zlib
print(hashlib.sha256(isal_zlib.compress(pathlib.Path(hashlib.__file__).read_bytes() * 3, 1)).hexdigest())
"""


def run_on(cpu: str, *arguments: str) -> str:
    return run_python(*arguments, emulator=[*tool("qemu-x86_64"), "-cpu", cpu])


@pytest.fixture(scope="module")
def native() -> str:
    found = run_python(SAMPLE)
    assert [line.split()[0] for line in found.splitlines()] == list(COMPRESSIONS)
    return found


@pytest.mark.parametrize(
    "cpu",
    ["qemu64", "Nehalem", "SandyBridge", "Haswell-noTSX"],
    ids=["SSE3", "SSE4.2", "AVX", "AVX2 and BMI2"],
)
def test_a_cpu_without_the_instructions_of_newer_ones_writes_the_same_bytes(cpu: str, native: str) -> None:
    assert run_on(cpu, SAMPLE) == native


def test_a_difference_between_two_cpus_would_be_seen() -> None:
    assert run_on("Conroe", "-c", ISAL) != run_on("Nehalem", "-c", ISAL)
