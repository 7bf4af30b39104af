"""Runs pytest on the files named on the command line, under `bazel test`."""

import os
import sys
from pathlib import Path

import pytest


def arguments(argv: list[str], environment: dict[str, str]) -> list[str]:
    """pytest's arguments out of Bazel's: the test filter, the folder for temporary files, and where the report goes."""
    options = ["-p", "no:cacheprovider", "--rootdir", str(Path.cwd()), "--import-mode=importlib"]
    options += ["-ra", "--strict-markers", "-W", "error::pytest.PytestUnhandledThreadExceptionWarning"]
    if temporary := environment.get("TEST_TMPDIR"):
        options += ["--basetemp", f"{temporary}/pytest"]
    if report := environment.get("XML_OUTPUT_FILE"):
        options += ["--junitxml", report]
    if chosen := environment.get("TESTBRIDGE_TEST_ONLY"):
        options += ["-k", chosen]
    return [*options, *argv]


if __name__ == "__main__":
    sys.exit(pytest.main(arguments(sys.argv[1:], dict(os.environ))))
