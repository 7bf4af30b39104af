"""What machines read: a document into the file that the command line names, `-` being standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from release.caller import calling_directory
from release.errors import InvalidRequest, ReleaseError


def check_output(
    file: str | None, environment: Mapping[str, str], what: str = "a record", option: str = "--json"
) -> None:
    """See that a document can be written there, before anything is done. Raises InvalidRequest."""
    if file in (None, "-"):
        return
    path = calling_directory(environment) / str(file)
    why = None
    if not file or path.is_dir():
        why = "it is a folder"
    elif not path.parent.is_dir():
        why = f"there is no folder {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        why = "it may not be written"
    if why:
        raise InvalidRequest(
            f"Cannot write {what} to {file or 'a file without a name'}", why, f"Name another {option}."
        )


def write_output(
    text: str | bytes,
    file: str,
    environment: Mapping[str, str],
    what: str = "the record",
    remedy: str = "The release itself is done; it can be repeated at will.",
) -> None:
    """Write a document: a regular file whole or not at all, and whatever else is there (a pipe, /dev/null) as it is.

    A file that is there keeps its permissions.
    """
    content = text.encode() if isinstance(text, str) else text
    if file == "-":
        sys.stdout.buffer.write(content)  # Whatever the locale has characters for.
        sys.stdout.buffer.flush()
        return
    path = (calling_directory(environment) / file).resolve()
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        try:
            beside.write_bytes(content)
            if path.exists():
                beside.chmod(path.stat().st_mode)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise ReleaseError(f"Cannot write {what} to {path}", str(error), remedy) from None
