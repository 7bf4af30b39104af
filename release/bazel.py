"""Bazel, called from a program that Bazel may have started itself.

The call has to reach the server that is already there: another output base would build everything again, and other
startup options would restart the server, whose memory of the build is what makes it fast. `bazel run` says nothing of
either, so the output base is read off the running binary's path, and the options off the server's own record.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from release.child import Finished, run_child
from release.errors import ReleaseError

# What `bazel run` and the start-up of a Python binary add to the environment, and the password of the key that the
# release signs with, which Bazel would tell to whoever hears its events: no business of another Bazel's actions.
_OURS = (
    "RUNFILES_",
    "BUILD_WORKSPACE_DIRECTORY",
    "BUILD_WORKING_DIRECTORY",
    "PYTHONSAFEPATH",
    "JAVA_RUNFILES",
    "COSIGN_PASSWORD",
)


_UNKNOWN_OPTION = 2
"""Bazel's exit status for a command line that it does not understand."""


@dataclass(frozen=True, slots=True)
class Bazel:
    """How Bazel is called in a workspace."""

    workspace: Path
    program: str = "bazel"
    startup_options: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """Options of the commands, from `--bazel-option`."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def run(self, command: str, *arguments: str) -> None:
        """Run a command of Bazel; its progress and errors go to standard error.

        Raises ReleaseError when it does not succeed.
        """
        self._checked([command, *self.options, *arguments])

    def query(self, expression: str, *wishes: str) -> str:
        """The targets of an expression, one JSON document a line. Raises ReleaseError when that fails, even in part.

        `wishes` are further options, of this query.
        """
        arguments = ["--output=streamed_jsonproto", "--noshow_progress", *wishes, expression]
        if self.options:
            found = self._call(["query", *self.options, *arguments], show_errors=False)
            if found.status != _UNKNOWN_OPTION:
                return found.output if found.status == 0 else self._checked(["query", *self.options, *arguments])
        # A --config that only builds have, for example, is nothing to a query.
        return self._checked(["query", *arguments])

    def _checked(self, arguments: Sequence[str]) -> str:
        finished = self._call(arguments, show_errors=True)
        if finished.status != 0:
            raise ReleaseError(
                f"{self._name(arguments)} failed in {self.workspace}",
                f"it ended with status {finished.status}, and said why above",
                "Correct that, and run the same command again.",
            )
        return finished.output

    def _call(self, arguments: Sequence[str], *, show_errors: bool) -> Finished:
        call = [self.program, *self.startup_options, *arguments]
        try:
            return run_child(call, environment=self.environment, directory=self.workspace, show_errors=show_errors)
        except OSError as error:
            raise ReleaseError(
                f"Cannot run {self._name(arguments)}",
                str(error),
                "Install Bazel or Bazelisk, or name one in $BAZEL.",
            ) from None

    def _name(self, arguments: Sequence[str]) -> str:
        """The call for messages: without the options, which may hold a password."""
        return f"{Path(self.program).name} {arguments[0]} {arguments[-1]}"


def find_bazel(workspace: Path, options: Sequence[str], environment: Mapping[str, str]) -> Bazel:
    """The Bazel that this program was started by, as far as can be told: `$BAZEL`, else one on PATH, else bazelw."""
    output_base = output_base_of(Path(__file__))
    return Bazel(
        workspace=workspace,
        program=environment.get("BAZEL") or _program_on_path() or _program_of(workspace) or "bazel",
        startup_options=startup_options(output_base, workspace) if output_base else (),
        options=tuple(options),
        environment=clean_environment(environment),
    )


def _program_on_path() -> str | None:
    return shutil.which("bazel") or shutil.which("bazelisk")


def _program_of(workspace: Path) -> str | None:
    """The workspace's own bazelw, where the machine has nothing else."""
    own = workspace / "bazelw"
    return str(own) if os.access(own, os.X_OK) else None


def output_base_of(file: Path) -> Path | None:
    """The output base that a file of a built binary's runfiles lies in.

    `<output base>/execroot/<workspace>/bazel-out/.../release.runfiles/...`, reached directly or by `bazel-bin`. The
    file itself may be a link to the source, so only the folder of the runfiles is resolved.
    """
    runfiles = next((folder for folder in file.absolute().parents if folder.name.endswith(".runfiles")), None)
    if runfiles is None:
        return None
    for folder in runfiles.resolve().parents:
        if folder.name == "execroot":
            return folder.parent
    return None


def startup_options(output_base: Path, workspace: Path) -> tuple[str, ...]:
    """The startup options that reach the server of an output base, if it is this workspace's.

    The server's record names all options in force, and of each one where it came from. Those from an rc file come from
    there again; passing them twice would be another list of options, and so a restart.
    """
    try:
        if Path((output_base / "DO_NOT_BUILD_HERE").read_text().strip()) != workspace:
            return ()
        recorded = (output_base / "server" / "cmdline").read_text().split("\0")
    except OSError:
        return ()
    sources = next((line for line in recorded if line.startswith("--option_sources=")), "")
    typed = {name for name, source in _sources(sources.partition("=")[2]) if not source} - {"output_base"}
    options = [option for option in recorded if not typed.isdisjoint(_names(option))]
    return (f"--output_base={output_base}", *options)


def _names(option: str) -> set[str]:
    """What an option may be called in the record of sources, which leaves out the `no` of a switch."""
    name = option.partition("=")[0].removeprefix("--")
    return {name, name.removeprefix("no")} if option.startswith("--") else set()


def _sources(text: str) -> list[tuple[str, str]]:
    """Pairs of option and rc file, from `name:file:name:file`, where `_U` is an underscore and `_C` a colon."""
    parts = [part.replace("_C", ":").replace("_U", "_") for part in text.split(":")]
    return list(zip(parts[::2], parts[1::2], strict=False))


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what the start-up of this program put there."""
    cleaned = {name: value for name, value in environment.items() if not name.startswith(_OURS)}
    if path := cleaned.pop("PYTHONPATH", ""):
        kept = [entry for entry in path.split(os.pathsep) if entry and ".runfiles" not in entry]
        if kept:
            cleaned["PYTHONPATH"] = os.pathsep.join(kept)
    return cleaned
