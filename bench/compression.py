"""What each compressor makes of a layer: how fast, how small, in how much memory, and whether the same on every CPU.

`bazel run //bench:compression` makes an archive of the running Python's library, the packages beside it and the
programs loaded with it, and compresses it twice with each: the compressor alone, by its CPU time, and as layers are
written, by two threads, while a third one reads and hashes. Standard output is Markdown. Times depend on the machine:
compare them with gzip -6 of the same run. Each measurement is a process of its own, one compressor after the other in
each round, and the best round counts.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import deflate
import zstandard
from isal import isal_zlib
from zlib_ng import zlib_ng

from tests.support.tools import tool
from tools.image.compression import COMPRESSIONS, CompressedWriter, Compression
from tools.image.entries import Entry
from tools.image.tar_header import archive_end, padding, tar_header

MIN_SPEED, MAX_SIZE = 3.0, 1.05
"""Of our gzip, by those of gzip -6: bytes a CPU second, and bytes that come out."""

CPUS = ("qemu64", "Nehalem", "Haswell-noTSX")
"""As qemu calls them: one with SSE3 at most, one with SSE4.2 at most, one with AVX2 and BMI2 but no AVX-512."""

_GZIP = zlib.MAX_WBITS | 16
_MIB = 1 << 20
_SAMPLE = 2 * _MIB
_FROM_ONE_FOLDER = 48 * _MIB


@dataclass(frozen=True, slots=True)
class Cost:
    """What it took to compress the archive once.

    Attributes:
      seconds: by the clock.
      cpu_seconds: of all threads.
      size: bytes that came out.
      memory: the most bytes that the process held.
    """

    seconds: float
    cpu_seconds: float
    size: int
    memory: int


def _zlib(level: int, block: bytes) -> bytes:
    return zlib.compress(block, level, _GZIP)


def _libdeflate(level: int, block: bytes) -> bytes:
    return bytes(deflate.gzip_compress(block, level))


def _isal(level: int, block: bytes) -> bytes:
    return isal_zlib.compress(block, level, _GZIP)


def _zlib_ng(level: int, block: bytes) -> bytes:
    return zlib_ng.compress(block, level, _GZIP)


def _zstd(level: int, block: bytes) -> bytes:
    return zstandard.ZstdCompressor(level, write_checksum=False).compress(block)


CANDIDATES: dict[str, tuple[Callable[[int, bytes], bytes], list[int], list[float]]] = {
    "zlib": (_zlib, [1, 6], [1]),
    "libdeflate": (_libdeflate, [1, 2, 3, 4, 5, 6], [1]),
    "libdeflate ": (_libdeflate, [5], [0.25, 4]),
    "isal": (_isal, [0, 1, 3], [1]),
    "zlib-ng": (_zlib_ng, [1, 2, 4, 6], [1]),
    "zstd": (_zstd, [1, 2, 3, 4, 5, 7], [2]),
    "zstd ": (_zstd, [3], [0.5, 1, 8]),
}
"""Compressors, the levels in question, and blocks in MiB."""


def ways() -> dict[str, Compression]:
    """What is compared, by name."""
    found = {f"**ours: {name}**": compression for name, compression in COMPRESSIONS.items()}
    for name, (compress, levels, blocks) in CANDIDATES.items():
        for level in levels:
            for block in blocks:
                found[f"{name.strip()} -{level}, {block:g} MiB"] = Compression(
                    "", int(block * _MIB), partial(compress, level)
                )
    return found


def measure(name: str, threads: int, archive: Path) -> Cost:
    """Compresses the archive in this process, which does nothing else: its memory is Python's and the compressor's.

    Args:
      name: of a way, or "gzip -6".
      threads: 0: the compressor alone; more: as a layer is written.
      archive: what is compressed.
    """
    start, cpu_start = time.perf_counter(), time.process_time()
    with archive.open("rb") as source, Path(os.devnull).open("wb") as out:
        if name == "gzip -6":
            stream = zlib.compressobj(6, wbits=_GZIP)
            size = _alone(source, _MIB, stream.compress) + len(stream.flush())
        elif threads == 0:
            size = _alone(source, ways()[name].block, ways()[name].compress)
        else:
            with CompressedWriter(out, ways()[name], threads) as blob:
                while chunk := source.read(_MIB):
                    blob.write(chunk)
            size = blob.size
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return Cost(seconds, cpu_seconds, size, int(peak[1]) * 1024 if peak else 0)


def _alone(source: BinaryIO, block: int, compress: Callable[[bytes], bytes]) -> int:
    size = 0
    while chunk := source.read(block):
        size += len(compress(chunk))
    return size


def digests(archive: Path) -> dict[str, str]:
    """Of what each makes of the beginning and the end of the archive, on the CPU that this process sees."""
    with archive.open("rb") as source:
        sample = source.read(_SAMPLE)
        source.seek(-_SAMPLE, os.SEEK_END)
        sample += source.read()
    return {name: hashlib.sha256(way.compress(sample)).hexdigest() for name, way in ways().items()}


def write_archive(archive: Path) -> None:
    """Sources first, programs last."""
    with archive.open("wb") as out:
        for number, path in enumerate(_files()):
            content = path.read_bytes()
            out.write(tar_header(Entry(f"{number}/{path.name}", size=len(content))))
            out.write(content + padding(len(content)))
        out.write(archive_end(out.tell()))


def _files() -> Iterator[Path]:
    for folder in [sysconfig.get_path("stdlib"), *(path for path in sys.path if path.endswith("-packages"))]:
        left = _FROM_ONE_FOLDER
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and not {"__pycache__", "test", "site-packages"} & set(path.relative_to(folder).parts):
                left -= path.stat().st_size
                if left < 0:
                    break
                yield path
    loaded = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line}
    yield from (path for path in map(Path, sorted(loaded)) if path.is_file())


def in_a_process_of_its_own(*arguments: str, emulator: tuple[str, ...] = ()) -> dict[str, object]:
    """What this program says when it is called so."""
    done = subprocess.run(
        [*emulator, sys.executable, str(Path(__file__).resolve()), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="measure only what has this in its name")
    parser.add_argument("--measure", nargs=3, metavar=("NAME", "THREADS", "ARCHIVE"), help=argparse.SUPPRESS)
    parser.add_argument("--digests", type=Path, metavar="ARCHIVE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, threads, archive = options.measure
        print(json.dumps(asdict(measure(name, int(threads), Path(archive)))))
        return 0
    if options.digests:
        print(json.dumps(digests(options.digests)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "archive.tar")
        write_archive(archive)
        return compare(archive, options.rounds, options.only)


def compare(archive: Path, rounds: int, only: str) -> int:
    names = ["gzip -6", *(name for name in ways() if only in name)]
    best: dict[tuple[str, int], Cost] = {}
    for number in range(rounds):
        for name in names:
            for threads in (0,) if name == "gzip -6" else (0, 1, 2):
                print(f"round {number + 1}: {name}, {threads} threads", file=sys.stderr)
                cost = Cost(**in_a_process_of_its_own("--measure", name, str(threads), str(archive)))  # type: ignore[arg-type]
                known = best.get((name, threads), cost)
                best[name, threads] = replace(
                    cost,
                    seconds=min(cost.seconds, known.seconds),
                    cpu_seconds=min(cost.cpu_seconds, known.cpu_seconds),
                )
    native = in_a_process_of_its_own("--digests", str(archive))
    emulated = [
        in_a_process_of_its_own("--digests", str(archive), emulator=(*tool("qemu-x86_64"), "-cpu", cpu)) for cpu in CPUS
    ]
    size = archive.stat().st_size
    reference = best["gzip -6", 0]
    print(f"An archive of {size / 1e6:.0f} MB, best of {rounds} rounds:\n")
    columns = ["", "MB a CPU second", "by gzip -6", "size by gzip -6", "MB/s, 1 thread", "MB/s, 2 threads", "memory"]
    print(f"| {' | '.join([*columns, 'same on every CPU'])} |\n{'|---' * (len(columns) + 1)}|")
    for name in names:
        alone, layers = best[name, 0], [best[name, threads] for threads in (1, 2) if (name, threads) in best]
        cells = [
            name,
            f"{size / alone.cpu_seconds / 1e6:.0f}",
            f"{reference.cpu_seconds / alone.cpu_seconds:.1f}",
            f"{alone.size / reference.size - 1:+.1%}",
            *([f"{size / layer.seconds / 1e6:.0f}" for layer in layers] or ["", ""]),
            f"{(layers or [alone])[-1].memory / 1e6:.0f} MB",
            "" if name not in native else "yes" if all(cpu[name] == native[name] for cpu in emulated) else "**no**",
        ]
        print(f"| {' | '.join(cells)} |")
    ours = best["**ours: gzip**", 0]
    speed, growth = reference.cpu_seconds / ours.cpu_seconds, ours.size / reference.size
    targets = {
        f"our gzip at least {MIN_SPEED:g} times as fast as gzip -6": (speed >= MIN_SPEED, f"{speed:.1f} times"),
        f"at most {MAX_SIZE - 1:.0%} larger": (growth <= MAX_SIZE, f"{growth - 1:+.1%}"),
        "the same bytes of ours on every CPU": (
            all(cpu[name] == native[name] for cpu in emulated for name in native if "ours" in name),
            "",
        ),
    }
    print("\n| target | |\n|---|---|")
    for target, (met, found) in targets.items():
        print(f"| {target} | {'met' if met else 'missed'}{': ' if found else ''}{found} |")
    return 0 if all(met for met, _ in targets.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
