"""The command line of `plan`: what an event of CI starts jobs for."""

from __future__ import annotations

import os
import sys

import click

from release.caller import read_config
from release.console import standard_error
from release.matrix import MAX_JOBS, Event, Matrix, Wish, read_tag
from release.program import run
from release.selection import choose_apps, split_names
from release.version import Version
from release.workspace_apps import WorkspaceApps, describe, find_workspace, tell

HELP = """Say which apps an event of CI is about, as a matrix of jobs.

\b
push          the apps that are affected since --base, the commit before the push
pull_request  the apps that are affected since the branch left --base
tag           DOMAIN-APP.vX.Y.Z: that app and version; vX.Y.Z: every app
manual        the APPs: DOMAIN-APP, DOMAIN/APP, APP where unambiguous, DOMAIN, or all

Standard output is for machines alone. --format github writes lines for $GITHUB_OUTPUT: matrix, has_apps, apps (with
commas between them) and version. A matrix without jobs is an error to GitHub, so let the job depend on has_apps.
"""

EPILOG = """\b
Examples:
  plan --event push --base ${{ github.event.before }} --format github >> $GITHUB_OUTPUT
  plan --event pull_request --base ${{ github.event.pull_request.base.sha }} --format github
  plan --event tag --tag $GITHUB_REF
  plan --event manual demo shop-cart --version v1.2.0

\b
Exit status:
  0  done, whether or not there is an app
  1  git or Bazel failed, or does not have the commit: fetch it
  2  the command line or the configuration is wrong, or the tag is no release
  3  refused: the working tree is not the commit of --head
  130, 143  interrupted
"""


@click.command(help=HELP, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("apps", nargs=-1, metavar="[APP]...")
@click.option("--event", required=True, type=click.Choice([event.value for event in Event]), help="What happened.")
@click.option("--base", metavar="SHA", help="Commit to compare with; forty zeros: there is none.")
@click.option("--head", metavar="SHA", help="Commit to compare; the working tree has to be exactly that.")
@click.option("--tag", metavar="TAG", help="Git tag, with or without refs/tags/.")
@click.option("--version", metavar="VERSION", help="Version of the apps: vMAJOR.MINOR.PATCH[-pre].")
@click.option(
    "--format", "form", type=click.Choice(["json", "github"]), default="json", show_default=True, help="Of the output."
)
@click.option("--config", "config_file", metavar="FILE", help="Configuration [release/config.yaml of the workspace].")
@click.option("--bazel-option", "bazel_options", multiple=True, metavar="OPT", help="Option of Bazel's commands.")
@click.help_option("-h", "--help")
def command(
    apps: tuple[str, ...],
    event: str,
    base: str | None,
    head: str | None,
    tag: str | None,
    version: str | None,
    form: str,
    config_file: str | None,
    bazel_options: tuple[str, ...],
) -> None:
    """Read the command line, look for the apps, and write."""
    environment = dict(os.environ)
    # A field of a form that nobody has filled in is an empty word.
    wanted = Version.parse(version) if version else None
    wish = Wish(Event(event), base, head, tag, split_names(apps), wanted)
    config = read_config(config_file, environment)
    matrix = find_matrix(wish, find_workspace(config, config_file, bazel_options, environment))
    sys.stdout.write(matrix.to_github() if form == "github" else matrix.to_json())
    sys.stdout.flush()


def find_matrix(wish: Wish, workspace: WorkspaceApps) -> Matrix:
    """The apps of an event; people are told why. Raises ReleaseError."""
    console = standard_error()
    if wish.base is not None:
        comparison = workspace.compare(wish.base, wish.head, since_fork=wish.event is Event.PULL_REQUEST)
        tell(comparison, console)
        chosen = tuple(each.app for each in comparison.affected)
        reasons = {each.app.full_name: describe(each) for each in comparison.affected}
        matrix = Matrix(wish.event, chosen, None, comparison.base, comparison.head, reasons)
    elif wish.tag is not None:
        matrix = Matrix(wish.event, *read_tag(wish.tag, workspace.all(), workspace.config.apps))
    else:
        chosen = choose_apps(wish.names, workspace.all(), workspace.config.apps)
        matrix = Matrix(wish.event, chosen, wish.version)
    if len(matrix.apps) > MAX_JOBS:
        console.warn(f"GitHub starts at most {MAX_JOBS} jobs of a matrix, and there are {len(matrix.apps)} apps")
    return matrix


def main(arguments: list[str]) -> int:
    """Run the program, and return its exit status."""
    return run(command, "plan", arguments, "it only reads, so nothing has changed")
