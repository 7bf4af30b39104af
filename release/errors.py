"""Why a release did not happen: what failed, why, what to do next, and the exit status that says which kind it was."""

from __future__ import annotations

import enum

from tools.oci.errors import InvalidReference, OciError, TagConflict, Unanswered


class Exit(enum.IntEnum):
    """The exit statuses of `release`."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    """A guard said no; nothing was written."""
    UNASKED = 4
    """The registry could not be asked."""


class ReleaseError(Exception):
    """Base of the errors of this folder: something failed."""

    exit_status: Exit = Exit.FAILED

    def __init__(self, what: str, why: str, remedy: str) -> None:
        super().__init__(what, why, remedy)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.why}\n{self.remedy}"


class InvalidRequest(ReleaseError, ValueError):
    """The command line or the configuration asks for something that cannot be."""

    exit_status = Exit.USAGE


class Refused(ReleaseError):
    """A guard said no."""

    exit_status = Exit.REFUSED


class Unasked(ReleaseError):
    """The registry could not be asked, so that nothing may be concluded or written."""

    exit_status = Exit.UNASKED


class TaggingError(ReleaseError):
    """A tool did not give an existing image another tag."""


class SomeFailed(ReleaseError):
    """Of several apps some failed."""

    def __init__(self, what: str, why: str, remedy: str, status: Exit) -> None:
        super().__init__(what, why, remedy)
        self.exit_status = status


def exit_status(error: ReleaseError | OciError) -> Exit:
    """The exit status that an error ends the program with."""
    if isinstance(error, ReleaseError):
        return error.exit_status
    if isinstance(error, TagConflict):
        return Exit.REFUSED
    if isinstance(error, Unanswered):
        return Exit.UNASKED
    return Exit.USAGE if isinstance(error, InvalidReference) else Exit.FAILED
