"""The command line of `inspect`: what is in the registries.

Standard output is for machines (`--json -`), standard error for people.
"""

from __future__ import annotations

import os
from typing import Any

import click

from release.caller import read_config
from release.choice import choose_named
from release.command_line import outside_world, read_words
from release.console import standard_error
from release.errors import Exit, InvalidRequest
from release.holdings import take_stock
from release.holdings_report import exit_status, holdings_document, holdings_lines
from release.output import check_output, write_output
from release.program import run
from release.request import Question
from release.version import Version
from tools.oci.reference import Repository

HELP = """Say what every configured registry holds of APPs. Nothing is built and nothing is written.

For the commit and for VERSION, whichever is given (for latest, where neither is): whether the image is present,
absent, incomplete or unknown in each registry. Then which digests the tags of each registry name, whether those are
complete, and where registries differ.

APP is as for release: several, a domain, or `all`.
"""

EPILOG = """\b
Examples:
  inspect all --commit $GITHUB_SHA                        is the commit released everywhere?
  inspect hello_python v1.0.0
  inspect cart,checkout --tags 50 --json -
  inspect hello_python --repository ghcr.io/acme/demo-hello_python

\b
Exit status, of required registries:
  0  present everywhere, as one image
  3  absent or incomplete somewhere, or not the same image everywhere
  4  unknown: a registry could not be asked
     of several apps and registries: the worst, and 4 is worse than 3
  1  something failed
  2  the command line or the configuration is wrong
  130, 143  interrupted
"""


@click.command(help=HELP, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("words", nargs=-1, required=True, metavar="APP... [VERSION]")
@click.option("--commit", metavar="SHA", help="Commit, as it was given to the release.")
@click.option("--registry", metavar="HOST[:PORT]", help="This registry alone, instead of the configured ones.")
@click.option("--owner", metavar="OWNER", help="Path segment after the registry [config, $GITHUB_REPOSITORY_OWNER].")
@click.option("--repository", metavar="HOST[:PORT]/PATH", help="The whole repository; the app is then not looked up.")
@click.option(
    "--tags",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    help="How many versions to look at, from the newest on; each costs some requests.",
)
@click.option("--json", "json_file", metavar="FILE|-", help="Write what was found; - is standard output.")
@click.option("--insecure", is_flag=True, help="Allow plain HTTP to a registry that is not on this machine.")
@click.option("--config", "config_file", metavar="FILE", help="Configuration [release/config.yaml of the workspace].")
@click.option("--bazel-option", "bazel_options", multiple=True, metavar="OPT", help="Option of Bazel's commands.")
@click.help_option("-h", "--help")
def command(
    words: tuple[str, ...],
    repository: str | None,
    tags: int,
    json_file: str | None,
    config_file: str | None,
    **wishes: Any,
) -> Exit:
    """Read the command line, and look."""
    environment = dict(os.environ)
    console = standard_error()
    names, version = read_words(words)
    if not names:
        raise InvalidRequest("Nothing to inspect", "no app is named", "Name apps, a domain, or `all`.")
    question = Question(
        app=", ".join(names),
        version=Version.parse(version) if version is not None else None,
        repository=Repository.parse(repository) if repository is not None else None,
        **wishes,
    )
    config = read_config(config_file, environment)
    check_output(json_file, environment, "a report")
    outside = outside_world(question, config, console, environment)
    stock = take_stock(choose_named(names, question, config, outside), config, outside, tags)
    for line in holdings_lines(stock):
        console.say(line)
    if json_file is not None:
        write_output(holdings_document(stock), json_file, environment, "the report", "What was found stands above.")
    return exit_status(stock.apps)


def main(arguments: list[str]) -> int:
    """Run the program, and return its exit status."""
    return run(command, "inspect", arguments, "it only reads, so nothing has changed")
