"""The benchmark of images still runs: all of its scenarios once, small, without the peers that take long."""

import re

import pytest

from bench.images import main

# Two apps, so that something is shared; everything is measured in one round.
SMALL = ["--rounds=1", "--apps", "2", "--synthetic=3", "--big=16", "--peers", "floor", "crane"]


def test_every_scenario_is_measured_and_every_target_judged(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(SMALL) in (0, 1)
    rows = {row[0]: row[1:] for row in table_rows(capsys.readouterr().out)}
    seconds = r"\d+(\.\d+)? \(n=1\)"
    for row in ("W2 cold", "W2 no-op", "W2 one-line edit", "W2 wheel edit", "W2 first push", "W2 after an edit"):
        assert re.fullmatch(seconds, rows[row][0]), row
    # What does not depend on how busy the machine is.
    spawned = {row.partition(":")[0]: cells[0] for row, cells in rows.items() if row.endswith(": slipway") and cells[0]}
    assert spawned["W2 one-line edit"] == "2", "one layer and one index"
    assert 0 < int(spawned["W2 wheel edit"]) < int(spawned["W2 cold"])
    assert "met" in rows["W2 first push: at most 1.02 times the distinct bytes"]
    assert "met" in rows["W2 push after an edit: the changed blobs and manifests, and headers of at most 500 bytes"]
    assert "W2 one-line edit: at most 0.35 s more than Bazel's own no-op" in rows
    assert "analysis of 3 apps for two platforms: at most 1.5 times the py_binaries alone" in rows


def table_rows(text: str) -> list[list[str]]:
    """The cells of all lines of all tables; of two tables with a row of one name, the first."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return list(reversed([[cell.strip() for cell in line] for line in lines]))
