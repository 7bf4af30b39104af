"""Every request of a release x every fault, and a kill at every request: nothing misleading is ever left, and the same
command finishes the rest. What has to hold is said in tests/fault_registry/matrix.py.
"""

from pathlib import Path

import pytest

from tests.fault_registry.matrix import KINDS, run_faults, run_kills
from tests.release.fault_flows import FLOWS, KILLED


@pytest.mark.parametrize("name", FLOWS)
def test_no_fault_at_any_request_misleads_anybody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    report = run_faults(FLOWS[name], tmp_path)
    with capsys.disabled():
        print(f"\n{report}")
    report.check()
    never = {kind.name for kind in KINDS} - report.cases.keys()
    assert never <= {"expired token"}, "these kinds of fault never happened"


@pytest.mark.parametrize("name", KILLED)
def test_a_kill_at_any_request_misleads_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    report = run_kills(KILLED[name], tmp_path)
    with capsys.disabled():
        print(f"\n{report}")
    report.check()
    assert report.cases.total() == 2 * report.requests
