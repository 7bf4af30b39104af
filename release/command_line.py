"""The command line of `release`: publishes an app's image under the names of a release.

Standard output is for machines (`--json -`), standard error for people.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from release.caller import calling_directory, calling_workspace
from release.config import Config
from release.console import Console, standard_error
from release.errors import Exit, InvalidRequest, ReleaseError, Unasked, exit_status
from release.flow import Outside, tag_and_push_image
from release.provenance import Source
from release.record import Record
from release.request import EngineName, LatestPolicy, Request
from release.version import Version
from tools.oci.client import RegistryClient
from tools.oci.errors import OciError
from tools.oci.reference import Repository

if TYPE_CHECKING:
    from release.workshop import Workshop

LOCAL_REGISTRIES = ("127.0.0.1:5000", "localhost:5000")
"""Names of the registry that //tools/localregistry runs."""

HELP = """Publish the image of APP under the names of a release.

With --commit, the image of that commit is looked for in the registry. Where it is, it is given the tags VERSION and
latest, without a build; where it is not, it is built and pushed with all three tags. Without VERSION, only the commit's
tag is written. Without --commit, the working tree is always built and pushed, with two tags.

APP is DOMAIN-APP, DOMAIN/APP or, where that is unambiguous, APP. VERSION is vMAJOR.MINOR.PATCH[-pre].
"""

EPILOG = """\b
Examples:
  release hello_python v1.0.0 --commit $(git rev-parse HEAD)
  release hello_python --commit $GITHUB_SHA               CI, on every merge
  release hello_python v1.0.0 --commit 1f2e3d4 --dry-run  what would be done
  release hello_python v1.0.0 --commit 1f2e3d4 --checkout build another commit
  release hello_python v1.0.1 --commit 1f2e3d4 --no-build --json -

\b
Exit status:
  0  done, or already as it should be
  1  something failed
  2  the command line or the configuration is wrong
  3  refused: a guard said no, and nothing was written
  4  the registry could not be asked
  130, 143  interrupted; the same command finishes the rest
"""


class _Interrupted(BaseException):
    """Ctrl-C or SIGTERM, unwinding the stack. Not KeyboardInterrupt, on which click prints an empty line."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@click.command(help=HELP, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("app")
@click.argument("version", required=False)
@click.option("--commit", metavar="SHA", help="Commit whose image is released; its tag is written as it is given here.")
@click.option("--checkout", is_flag=True, help="Build the commit in a work tree of its own, not in this one.")
@click.option("--registry", metavar="HOST[:PORT]", help="Registry, instead of the configured one.")
@click.option("--owner", metavar="OWNER", help="Path segment after the registry [config, $GITHUB_REPOSITORY_OWNER].")
@click.option("--repository", metavar="HOST[:PORT]/PATH", help="The whole repository; the app is then not looked up.")
@click.option(
    "--engine",
    type=click.Choice([engine.value for engine in EngineName]),
    default="imagetools",
    show_default=True,
    help="What re-tags: docker buildx imagetools, or the registry's own API.",
)
@click.option("--no-build", is_flag=True, help="Only re-tag; without a complete image of the commit, exit with 3.")
@click.option("--rebuild", is_flag=True, help="Build although the image is there; if it differs, exit with 3.")
@click.option("--allow-overwrite", is_flag=True, help="Let commit and version tags move to another image.")
@click.option("--no-provenance", is_flag=True, help="Do not say in the registry where the commit's image comes from.")
@click.option(
    "--latest",
    type=click.Choice([policy.value for policy in LatestPolicy]),
    default="newest",
    show_default=True,
    help="When to move latest: forward only, always, never.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done. Builds nothing, writes nothing.")
@click.option("--json", "json_file", metavar="FILE|-", help="Write a record of the release; - is standard output.")
@click.option("--insecure", is_flag=True, help="Allow plain HTTP to a registry that is not on this machine.")
@click.option("--config", "config_file", metavar="FILE", help="Configuration [release/config.yaml of the workspace].")
@click.option("--bazel-option", "bazel_options", multiple=True, metavar="OPT", help="Option of Bazel's commands.")
@click.help_option("-h", "--help")
def command(json_file: str | None, config_file: str | None, **wishes: Any) -> None:
    """Read the command line, and release."""
    environment = dict(os.environ)
    console = standard_error()
    request = read_request(**wishes)
    config = read_config(config_file, environment)
    if json_file not in (None, "-"):
        check_record_file(str(json_file), environment)
    record = tag_and_push_image(request, config, outside_world(request, config, console, environment))
    if json_file is not None:
        write_record(record, json_file, environment)


def read_request(version: str | None, repository: str | None, engine: str, latest: str, **wishes: Any) -> Request:
    """The command line's words as a request. Raises InvalidRequest or InvalidReference."""
    return Request(
        version=Version.parse(version) if version is not None else None,
        repository=Repository.parse(repository) if repository is not None else None,
        engine=EngineName(engine),
        latest=LatestPolicy(latest),
        **wishes,
    )


def read_config(file: str | None, environment: Mapping[str, str]) -> Config:
    """The configuration that was named, else that of the calling workspace, else the defaults."""
    if file is not None:
        path = calling_directory(environment) / file
    else:
        workspace = calling_workspace(environment)
        path = (workspace or Path()) / "release" / "config.yaml"
        if workspace is None or not path.is_file():
            return Config()
    from release.config_file import load_config  # Parsing YAML takes a while to import.

    return load_config(path)


def outside_world(request: Request, config: Config, console: Console, environment: Mapping[str, str]) -> Outside:
    """The real registry, workspace and console."""

    def connect(registry: str) -> RegistryClient:
        if registry == config.registry and registry in LOCAL_REGISTRIES:
            start_local_registry(registry, console)
        return RegistryClient(registry, insecure=request.insecure, retry_for=config.retry_seconds, on_wait=console.say)

    @cache
    def workshop() -> Workshop:
        from release.bazel import find_bazel  # None of this is needed to re-tag.
        from release.workshop import BazelWorkshop

        workspace = calling_workspace(environment)
        if workspace is None:
            raise InvalidRequest(
                f"Cannot look for {request.app}",
                f"{calling_directory(environment)} is not in a Bazel workspace",
                "Call it in one; to re-tag an image from anywhere, name its --repository.",
            )
        return BazelWorkshop(find_bazel(workspace, request.bazel_options, environment), environment)

    def source(commit: str) -> Source:
        from release.source_tree import source_of

        return source_of(commit, calling_workspace(environment) or calling_directory(environment))

    return Outside(console, connect, workshop, source, environment)


def start_local_registry(registry: str, console: Console) -> None:
    """Start the registry of this machine when nothing listens there. Raises Unasked when that fails."""
    host, _, port = registry.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        from tools.localregistry.server import LocalRegistryError, ensure_running

        try:
            ensure_running(int(port), report=console.say)
        except LocalRegistryError as error:
            why, _, remedy = str(error).partition("\n")
            raise Unasked(f"Cannot ask {registry}, the registry of this machine", why, remedy) from None
    except OSError:
        return  # The client tries again, and says what is wrong.


def check_record_file(file: str, environment: Mapping[str, str]) -> None:
    """See that a record can be written there, before anything is released. Raises InvalidRequest."""
    path = calling_directory(environment) / file
    why = None
    if not file or path.is_dir():
        why = "it is a folder"
    elif not path.parent.is_dir():
        why = f"there is no folder {path.parent}"
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        why = "it may not be written"
    if why:
        raise InvalidRequest(f"Cannot write a record to {file or 'a file without a name'}", why, "Name another --json.")


def write_record(record: Record, file: str, environment: Mapping[str, str]) -> None:
    """Write the record: a regular file whole or not at all, and whatever else is there (a pipe, /dev/null) as it is."""
    if file == "-":
        sys.stdout.write(record.to_json())
        sys.stdout.flush()
        return
    path = (calling_directory(environment) / file).resolve()
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():
            path.write_text(record.to_json(), encoding="utf-8")
            return
        try:
            beside.write_text(record.to_json(), encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise ReleaseError(
            f"Cannot write the record to {path}", str(error), "The release itself is done; it can be repeated at will."
        ) from None


def main(arguments: list[str]) -> int:
    """Run the program, and return its exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # As of a job that a shell started in the background.
            signal.signal(number, _interrupt)
    try:
        command.main(arguments, prog_name="release", standalone_mode=False)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (ReleaseError, OciError) as error:
        standard_error().fail(str(error))
        return exit_status(error)
    except _Interrupted as interruption:
        standard_error().fail("interrupted; nothing misleading is left, and the same command finishes the rest")
        return 128 + interruption.number
    return Exit.DONE


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise _Interrupted(number)
