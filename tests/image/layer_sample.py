"""Writes one layer of what comes with any Python, in a process of its own, so that a test can choose how that runs.

Prints a line for each compression: its name, digest, diffID, size, and the hash of the listing.
"""

import argparse
import hashlib
import io
import random
import sys
import sysconfig
from pathlib import Path

import zstandard

from tools.image.compression import COMPRESSIONS
from tools.image.entries import Entry, Tree, bytes_entry
from tools.image.layer import write_layer

_PACKAGES = ("asyncio", "email", "json", "unittest")
_PROGRAM_BYTES = 4 << 20


def sample() -> list[Entry]:
    """Text, a piece of a program, noise and zeros: more than one block of each compression."""
    library = Path(sysconfig.get_path("stdlib"))
    sources = sorted(source for package in _PACKAGES for source in library.glob(f"{package}/*.py"))
    with next(Path(zstandard.__file__).parent.glob("backend_c*.so")).open("rb") as program:
        return [
            *(bytes_entry(f"lib/{source.relative_to(library)}", source.read_bytes(), origin="t") for source in sources),
            bytes_entry("lib/program.so", program.read(_PROGRAM_BYTES), origin="t"),
            bytes_entry("noise", random.Random(0).randbytes(300_000), origin="t"),
            bytes_entry("zeros", bytes(300_000), origin="t"),
            Entry("lib/link", "symlink", 0o777, target="größe", origin="t"),
        ]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shuffle", type=int, help="seed of the order that the entries come in")
    options = parser.parse_args(arguments)
    entries = sample()
    if options.shuffle is not None:
        random.Random(options.shuffle).shuffle(entries)
    for compression in COMPRESSIONS:
        listing = io.BytesIO()
        facts = write_layer(
            Tree(entries).entries(),
            io.BytesIO(),
            machine=None,
            compression=compression,
            threads=options.threads,
            listing=listing,
        )
        print(compression, facts.digest, facts.diff_id, facts.size, hashlib.sha256(listing.getvalue()).hexdigest())


if __name__ == "__main__":
    main(sys.argv[1:])
