"""The command line of `changes`: lists the apps that a range of commits affects."""

from __future__ import annotations

import json
import os
import sys

import click

from release.caller import read_config
from release.console import standard_error
from release.program import run
from release.workspace_apps import Comparison, describe, find_workspace, tell

SCHEMA = 1

HELP = """List the apps that a range of commits affects: those made from something that has changed.

Asks git what is not the same at --base and --head, and Bazel by one query what is made from it. Without --head the
working tree is compared as it is, with what is not committed. What cannot be attributed affects more rather than less;
standard error says of every app why it is there. A failure is never an empty list.
"""

EPILOG = """\b
Examples:
  changes --base HEAD~1                       what the last commit affects, and what is not committed
  changes --base origin/main --merge-base     what this branch affects
  changes --base 1f2e3d4 --head $GITHUB_SHA --format json
  changes --base 0000000000000000000000000000000000000000     every app: there is no earlier commit

\b
Exit status:
  0  done, whether or not an app is affected
  1  git or Bazel failed, or does not have the commit: fetch it
  2  the command line or the configuration is wrong
  3  refused: the working tree is not the commit of --head
  130, 143  interrupted
"""


@click.command(help=HELP, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.option("--base", required=True, metavar="SHA", help="Commit to compare with; forty zeros: there is none.")
@click.option("--head", metavar="SHA", help="Commit to compare; the working tree has to be exactly that.")
@click.option("--merge-base", "since_fork", is_flag=True, help="Compare with the commit where --head left --base.")
@click.option(
    "--format", "form", type=click.Choice(["lines", "json"]), default="lines", show_default=True, help="Of the output."
)
@click.option("--config", "config_file", metavar="FILE", help="Configuration [release/config.yaml of the workspace].")
@click.option("--bazel-option", "bazel_options", multiple=True, metavar="OPT", help="Option of Bazel's commands.")
@click.help_option("-h", "--help")
def command(
    base: str,
    head: str | None,
    since_fork: bool,
    form: str,
    config_file: str | None,
    bazel_options: tuple[str, ...],
) -> None:
    """Read the command line, compare, and write."""
    environment = dict(os.environ)
    console = standard_error()
    config = read_config(config_file, environment)
    comparison = find_workspace(config, config_file, bazel_options, environment).compare(
        base, head, since_fork=since_fork
    )
    tell(comparison, console)
    sys.stdout.write(document(comparison) if form == "json" else lines(comparison))
    sys.stdout.flush()


def lines(comparison: Comparison) -> str:
    """The names of the affected apps, one a line, sorted."""
    return "".join(f"{each.app.full_name}\n" for each in comparison.affected)


def document(comparison: Comparison) -> str:
    """What is affected, and why, for machines."""
    return (
        json.dumps(
            {
                "schema": SCHEMA,
                "base": comparison.base,
                "head": comparison.head,
                "changed_files": comparison.changed_files,
                "apps": [describe(each) for each in comparison.affected],
            },
            indent=2,
        )
        + "\n"
    )


def main(arguments: list[str]) -> int:
    """Run the program, and return its exit status."""
    return run(command, "changes", arguments, "it only reads, so nothing has changed")
