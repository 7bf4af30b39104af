"""Tools of the build as persistent workers: one process for many actions (bazel.build/remote/creating, JSON protocol).

Starting Python and importing takes longer than most actions of an image. Where Bazel does not use workers (remote
execution, `--spawn_strategy=sandboxed`), the same tool is started with the same arguments once for each action.
"""

import contextlib
import io
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

Tool = Callable[[list[str]], int]
"""Does the work: takes the arguments of one action, returns its exit status, and complains on standard error."""


def run_tool(tool: Tool, arguments: list[str]) -> int:
    """Runs `tool` as Bazel asks for it: once with these arguments, or for each request on standard input."""
    if arguments == ["--persistent_worker"]:
        serve(tool, sys.stdin, sys.stdout)
        return 0
    return tool(expanded(arguments))


def serve(tool: Tool, requests: TextIO, responses: TextIO) -> None:
    """Answers requests, a JSON object a line, until there are no more."""
    for line in requests:
        request = json.loads(line)
        status, output = _answer(tool, request.get("arguments", []))
        response = {"exitCode": status, "output": output, "requestId": request.get("requestId", 0)}
        responses.write(json.dumps(response) + "\n")
        responses.flush()


def _answer(tool: Tool, arguments: list[str]) -> tuple[int, str]:
    # Whatever is printed belongs to this request: on the worker's own output it would break the protocol.
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            status = tool(arguments)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except Exception:
            traceback.print_exc()
            status = 1
    return status, output.getvalue()


def expanded(arguments: list[str]) -> list[str]:
    """The arguments with `@FILE` replaced by the lines of the file. In a worker's requests Bazel has done so."""
    result = []
    for argument in arguments:
        if argument.startswith("@"):
            # Not splitlines(): names may hold what Unicode calls the end of a line, and Bazel does not.
            result += Path(argument[1:]).read_bytes().decode().removesuffix("\n").split("\n")
        else:
            result.append(argument)
    return result
