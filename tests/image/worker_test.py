"""Tools of the build run once, or answer one request after the other."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

TOOL = """
import sys
from tools.image.worker import run_tool

def tool(arguments):
    print("said on standard output")
    print(*arguments, file=sys.stderr)
    if "crash" in arguments:
        raise RuntimeError("broken")
    if "exit" in arguments:
        sys.exit(7)
    return 1 if "fail" in arguments else 0

sys.exit(run_tool(tool, sys.argv[1:]))
"""


def run(*arguments: str, requests: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", TOOL, *arguments],
        input=requests,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path)},
    )


def ask(*requests: dict[str, Any]) -> list[Any]:
    finished = run("--persistent_worker", requests="".join(json.dumps(request) + "\n" for request in requests))
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]


def test_a_worker_answers_each_request_with_its_status_and_what_was_printed() -> None:
    first, second = ask({"arguments": ["a", "@b"]}, {"arguments": ["fail"], "requestId": 3})
    assert first == {"exitCode": 0, "output": "said on standard output\na @b\n", "requestId": 0}
    assert second == {"exitCode": 1, "output": "said on standard output\nfail\n", "requestId": 3}


def test_a_request_that_breaks_the_tool_does_not_end_the_worker() -> None:
    crashed, left, fine = ask({"arguments": ["crash"]}, {"arguments": ["exit"]}, {"arguments": []})
    assert crashed["exitCode"] == 1
    assert "RuntimeError: broken" in crashed["output"]
    assert (left["exitCode"], fine["exitCode"]) == (7, 0)


def test_without_a_worker_arguments_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "arguments").write_text("one\ntwo\u2028words\n", encoding="utf-8")
    finished = run("zero", f"@{tmp_path}/arguments")
    assert (finished.returncode, finished.stderr) == (0, "zero one two\u2028words\n")
    assert run("fail").returncode == 1
