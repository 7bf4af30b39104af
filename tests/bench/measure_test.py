"""What a benchmark makes of what it has measured."""

import os
import subprocess
import sys
from pathlib import Path

from bench.measure import Ledger, PeakMemory, disk_use

MEGABYTE = 1024 * 1024


def test_a_ratio_is_taken_within_each_round() -> None:
    ledger = Ledger()
    for number, (ours, theirs) in enumerate([(1, 2), (10, 10), (9, 3)]):
        ledger.add("cold", "ours", number, ours)
        ledger.add("cold", "theirs", number, theirs)
    # The ratio of the medians would be 3.
    assert str(ledger.ratio("cold", "ours", "theirs")) == "1.00 (0.50..3.00, n=3)"


def test_a_round_without_the_other_counts_for_neither_ratio_nor_difference() -> None:
    ledger = Ledger()
    ledger.add("cold", "ours", 0, 4)
    ledger.add("cold", "ours", 1, 8)
    ledger.add("cold", "theirs", 1, 2)
    ledger.add("no-op", "ours", 0, 1)
    assert str(ledger.ratio("cold", "ours", "theirs")) == "4.00 (n=1)"
    assert str(ledger.added(("cold", "ours"), ("no-op", "ours"))) == "3.00 (n=1)"
    assert ledger.ratio("no-op", "ours", "theirs") is None


def test_the_peak_of_a_process_that_has_ended_is_known() -> None:
    # A grandchild, which frees what it took before it ends.
    program = f"import time; content = b'x' * {64 * MEGABYTE}; del content; time.sleep(0.3)"
    with PeakMemory(os.getpid()) as memory:
        subprocess.run(["/bin/sh", "-c", f'"{sys.executable}" -c "{program}"; true'], check=True)
    command, size = memory.largest_below
    assert "content" in command
    assert 64 * MEGABYTE < size < 128 * MEGABYTE


def test_a_file_with_two_names_takes_its_place_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(MEGABYTE))
    once = disk_use(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/b").hardlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to("a")
    assert once >= MEGABYTE
    assert disk_use(tmp_path) < once + MEGABYTE / 2
