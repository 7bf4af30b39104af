"""Programs that a release runs."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from release.child import run_child


def test_output_and_errors_are_captured() -> None:
    finished = run_child(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (finished.status, finished.output, finished.errors) == (3, "out\n", "err\n")


def test_errors_are_let_through_where_they_are_to_be_seen(capfd: pytest.CaptureFixture[str]) -> None:
    finished = run_child(["sh", "-c", "echo out; echo err >&2"], show_errors=True)
    assert (finished.output, finished.errors) == ("out\n", "")
    assert capfd.readouterr() == ("", "err\n")


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        run_child(["no-such-program"])


def test_a_program_reads_what_it_is_given() -> None:
    assert run_child(["cat"], given="words\n").output == "words\n"
    assert run_child(["cat"]).output == ""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # It may go while it is read.
        return False


def test_a_program_that_takes_too_long_is_ended_with_all_it_has_started(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"^sh was ended, since it took longer than 0.5 s$"):
        run_child(["sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"], limit=0.5)
    assert time.monotonic() - begun < 10
    child = int((tmp_path / "pid").read_text())
    while is_running(child) and time.monotonic() - begun < 10:
        time.sleep(0.01)
    assert not is_running(child)


def test_a_program_with_a_limit_has_no_terminal() -> None:
    script = "import os; print(os.getsid(0) == os.getpid())"
    assert run_child([sys.executable, "-c", script], limit=60).output == "True\n"
    assert run_child([sys.executable, "-c", script]).output == "False\n"


@pytest.mark.parametrize("limit", [None, 50], ids=["without a limit", "with a limit"])
@pytest.mark.parametrize("stubborn", [False, True], ids=["ends on SIGINT", "ends on SIGTERM"])
def test_an_interruption_ends_the_program_first(
    tmp_path: Path, stubborn: bool, limit: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("release.child._PATIENCE", 0.5)
    pid = tmp_path / "pid"
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN)" if stubborn else ""
    script = (
        f"import os, pathlib, signal, time; {ignored}\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(60)"
    )

    def interrupt() -> None:
        while not pid.exists() or not pid.read_text():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_child([sys.executable, "-c", script], limit=limit)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
