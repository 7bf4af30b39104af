"""The command line of `publish`: pushes the images of an artifact under the names of a release, without a build."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from release.app import App
from release.app_release import Outside
from release.artifact import Artifact, open_artifact
from release.caller import calling_directory, read_config
from release.choice import LATER, choose
from release.command_line import conclude, outside_world
from release.config import Config
from release.console import standard_error
from release.destination import Destination
from release.errors import InvalidRequest
from release.flow import release_apps
from release.git_tags import GitTags
from release.output import check_output, write_output
from release.program import run
from release.record import records_document
from release.request import LatestPolicy, Request, VersionWish
from release.selection import ALL
from release.version import Version
from tools.oci.reference import Repository, check_registry

HELP = """Push the images of an artifact, which `build` has made, under the names of a release.

FILE is read whole before anything is asked of a registry. Then each image gets the tags that a release of its commit
would write, by the same rules: commit, VERSION and latest, or only the commit's without VERSION. Nothing is built, and
no Bazel, git or workspace is needed. Where a registry has another image of the commit, that is refused.
"""

EPILOG = """\b
Examples:
  publish images.tar v1.0.0                               to the registries of the configuration
  publish images.tar v1.0.0 --to ghcr.io/acme --to registry.example:5000
  publish images.tar v1.0.0 --dry-run                     what would be done
  publish images.tar --versions versions.yaml --json -

\b
Exit status:
  0  done, or already as it should be
  1  something failed, or the artifact is not whole
  2  the command line or the configuration is wrong
  3  refused: a guard said no, and nothing was written
  4  the registry could not be asked
     of several apps: that of those that failed, or 1 where they differ
  130, 143  interrupted; the same command finishes the rest
"""


@click.command(help=HELP, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("file", metavar="FILE")
@click.argument("version", required=False, metavar="[VERSION]")
@click.option("--versions", "versions_file", metavar="FILE", help="Versions by app, YAML or JSON, instead of VERSION.")
@click.option(
    "--to",
    "places",
    multiple=True,
    metavar="HOST[:PORT][/OWNER]",
    help="Registry, instead of the configured ones; several get the same.",
)
@click.option("--allow-overwrite", is_flag=True, help="Let commit and version tags move to another image.")
@click.option("--no-provenance", is_flag=True, help="Do not say in the registry where the images come from.")
@click.option(
    "--latest",
    type=click.Choice([policy.value for policy in LatestPolicy]),
    default="newest",
    show_default=True,
    help="When to move latest: forward only, always, never.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done. Writes nothing.")
@click.option("--json", "json_file", metavar="FILE|-", help="Write a record of the release; - is standard output.")
@click.option("--insecure", is_flag=True, help="Allow plain HTTP to a registry that is not on this machine.")
@click.option("--config", "config_file", metavar="FILE", help="Configuration [release/config.yaml of the workspace].")
@click.help_option("-h", "--help")
def command(
    file: str,
    version: str | None,
    versions_file: str | None,
    places: tuple[str, ...],
    latest: str,
    json_file: str | None,
    config_file: str | None,
    **wishes: Any,
) -> None:
    """Read the command line and the artifact, and publish."""
    environment = dict(os.environ)
    console = standard_error()
    wish = VersionWish(
        version=Version.parse(version) if version is not None else None,
        file=calling_directory(environment) / versions_file if versions_file is not None else None,
    )
    config = send_to(read_config(config_file, environment), places)
    check_output(json_file, environment)
    artifact = open_artifact(find(file, environment))
    request = Request(
        app=ALL,
        version=LATER if wish.by_app else wish.version,
        commit=artifact.record.commit,
        latest=LatestPolicy(latest),
        **wishes,
    )
    outside = of_artifact(artifact, outside_world(request, config, console, environment))
    outcomes = release_apps(wanted(artifact, request, wish, config, outside), config, outside)
    if json_file is not None:
        write_output(records_document(outcomes), json_file, environment)
    conclude(outcomes, console)


def find(file: str, environment: Mapping[str, str]) -> Path:
    """The artifact's place. Raises InvalidRequest where nothing is."""
    path = calling_directory(environment) / file
    if not file or not path.exists():
        raise InvalidRequest(
            f"Cannot publish {file!r}", f"there is no {path}", "Make it: bazel run //release:build -- ... --out FILE"
        )
    return path


def send_to(config: Config, places: Sequence[str]) -> Config:
    """The configuration with these registries, HOST[:PORT][/OWNER], in place of its own, if there are any.

    Raises InvalidReference for what is none, and InvalidRequest for one that is named twice.
    """
    if not places:
        return config
    found = [_destination(place) for place in places]
    if len(set(found)) != len(found):
        raise InvalidRequest("Invalid --to", "a registry is named twice", "Name each of them once.")
    first, *further = found
    return replace(config, registry=first.registry, owner=first.owner, further=tuple(further))


def _destination(text: str) -> Destination:
    registry, slash, owner = text.partition("/")
    if not slash:
        return Destination(check_registry(registry))
    place = Repository(registry, owner.lower())
    return Destination(place.registry, place.path)


def of_artifact(artifact: Artifact, outside: Outside) -> Outside:
    """The outside where an artifact stands for the workspace, with Bazel and git."""
    return replace(outside, workshop=lambda: artifact, source=artifact.source)


def wanted(
    artifact: Artifact, request: Request, wish: VersionWish, config: Config, outside: Outside
) -> list[tuple[Request, App | None]]:
    """The release of each app of the artifact. Raises InvalidRequest where the versions are wrong."""
    scope = replace(config, apps=str(artifact.layout.path))
    # The tags of git are for versions that follow others, which publish does not offer.
    chosen = choose((ALL,), request, wish, scope, outside, lambda: GitTags(artifact.layout.path.parent, None))
    return [(replace(each, artifact_digest=artifact.digest(app)), app) for each, app in chosen if app is not None]


def main(arguments: list[str]) -> int:
    """Run the program, and return its exit status."""
    return run(command, "publish", arguments, "nothing misleading is left, and the same command finishes the rest")
