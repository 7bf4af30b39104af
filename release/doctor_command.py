"""The command line of `doctor`: what a registry offers, and what that means for a release.

Standard output is for machines (`--json -`), standard error for people.
"""

from __future__ import annotations

import os

import click

from release.console import standard_error
from release.doctor import PROBE_TAG, examine
from release.errors import Exit
from release.output import check_output, write_output
from release.program import run
from tools.oci.client import RegistryClient
from tools.oci.reference import Repository

RETRY_SECONDS = 10.0
"""How long a question is asked again. Shorter than for a release: that a registry does not answer is an answer."""

HELP = f"""Find out whether a release can go to REPOSITORY (REGISTRY/PATH), and what it will meet there.

By itself, nothing is written. With --write, what a registry tells only to who writes is tried: a blob of 92 bytes, some
manifests and the tag {PROBE_TAG}, which nobody else has. They are deleted again as far as the registry does that, and
what stays is said. No other tag is touched.
"""

EPILOG = """\b
Examples:
  doctor ghcr.io/acme/demo-hello_python
  doctor ghcr.io/acme/demo-hello_python --write
  doctor registry.example/demo/app --write --mount-from registry.example/demo/other --json -

\b
Exit status:
  0  nothing was found that would stop a release
  1  a release would fail: no login, or it may not pull or push
  2  the command line is wrong
  3  refused: the tag of the probe is there and is somebody else's; nothing was written
  4  the registry could not be asked
  130, 143  interrupted
"""


@click.command(help=HELP, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("repository")
@click.option("--write", is_flag=True, help=f"Try what takes a write, under the tag {PROBE_TAG}.")
@click.option("--mount-from", metavar="REGISTRY/PATH", help="With --write: mount a blob that this repository has.")
@click.option("--json", "json_file", metavar="FILE|-", help="Write what was found; - is standard output.")
@click.option("--insecure", is_flag=True, help="Allow plain HTTP to a registry that is not on this machine.")
@click.help_option("-h", "--help")
def command(repository: str, write: bool, mount_from: str | None, json_file: str | None, insecure: bool) -> Exit:
    """Read the command line, and look."""
    environment = dict(os.environ)
    console = standard_error()
    target = Repository.parse(repository)
    origin = Repository.parse(mount_from) if mount_from is not None else None
    check_output(json_file, environment, "a report")
    registry = target.registry
    with RegistryClient(registry, insecure=insecure, retry_for=RETRY_SECONDS, on_wait=console.say) as client:
        report = examine(client, target, write=write, mount_from=origin)
    for line in report.lines():
        console.say(line)
    if json_file is not None:
        write_output(report.to_json(), json_file, environment, "the report", "What was found stands above.")
    return report.exit_status


def main(arguments: list[str]) -> int:
    """Run the program, and return its exit status."""
    return run(command, "doctor", arguments, f"a tag {PROBE_TAG} may be left, which the same command deletes")
