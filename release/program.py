"""What the verbs' command lines have in common: exit statuses, errors in three parts, and ends by a signal."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

import click

from release.console import standard_error
from release.errors import Exit, ReleaseError, exit_status
from tools.oci.errors import OciError


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM, unwinding the stack. Not KeyboardInterrupt, on which click prints an empty line."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(command: click.Command, name: str, arguments: list[str], interrupted: str) -> int:
    """Run a verb, and return its exit status: that which the command returns, if it returns one.

    `interrupted`: what to say of the state that an interruption leaves.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # As of a job that a shell started in the background.
            signal.signal(number, _interrupt)
    try:
        status = command.main(arguments, prog_name=name, standalone_mode=False)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (ReleaseError, OciError) as error:
        standard_error().fail(str(error))
        return exit_status(error)
    except _Interrupted as interruption:
        standard_error().fail(f"interrupted; {interrupted}")
        return 128 + interruption.number
    return Exit.DONE if status is None else status


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise _Interrupted(number)
