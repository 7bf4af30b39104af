"""The command line of `build`: builds the images of apps into an artifact, which `publish` pushes without a build."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from release.action import build_image
from release.app import App
from release.app_release import Outside
from release.artifact import AppImage, ArtifactRecord, write_artifact
from release.built_image import BuiltImage
from release.caller import calling_directory, read_config
from release.command_line import outside_world
from release.console import standard_error
from release.errors import InvalidRequest, ReleaseError, SomeFailed, exit_status
from release.output import check_output, write_output
from release.program import run
from release.request import Request
from release.selection import check_apps, choose_apps, split_names
from tools.oci.errors import OciError

HELP = """Build the images of APPs into FILE: an OCI image layout with a record of what it is.

A tar archive where FILE ends in .tar, else a folder. Nothing is asked of a registry and nothing is pushed: that does
`publish`, as often and to as many registries as you like, without another build. The same commit makes the same bytes.

APP is DOMAIN-APP, DOMAIN/APP or, where that is unambiguous, APP; a DOMAIN stands for all of its apps, and `all` for
every app. If one cannot be built, there is no FILE.
"""

EPILOG = """\b
Examples:
  build all --commit $GITHUB_SHA --out images.tar
  build cart,checkout --commit 1f2e3d4 --checkout --out images
  skopeo inspect oci-archive:images.tar:shop-cart         the layout is for every tool

\b
Exit status:
  0  done
  1  something failed
  2  the command line or the configuration is wrong
  3  refused: this working tree is not the commit
  130, 143  interrupted; there is no FILE
"""


@click.command(help=HELP, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("words", nargs=-1, required=True, metavar="APP...")
@click.option("--commit", required=True, metavar="SHA", help="Commit to build; its tag is written as it is given here.")
@click.option("--out", required=True, metavar="FILE", help="Where to: a tar archive, NAME.tar, or a folder.")
@click.option("--checkout", is_flag=True, help="Build the commit in a work tree of its own, not in this one.")
@click.option("--json", "json_file", metavar="FILE|-", help="Write the artifact's record here too; - is stdout.")
@click.option("--config", "config_file", metavar="FILE", help="Configuration [release/config.yaml of the workspace].")
@click.option("--bazel-option", "bazel_options", multiple=True, metavar="OPT", help="Option of Bazel's commands.")
@click.help_option("-h", "--help")
def command(
    words: tuple[str, ...],
    commit: str,
    out: str,
    checkout: bool,
    json_file: str | None,
    config_file: str | None,
    bazel_options: tuple[str, ...],
) -> None:
    """Read the command line, and build."""
    environment = dict(os.environ)
    console = standard_error()
    names = split_names(words)
    request = Request(", ".join(names), commit=commit, checkout=checkout, bazel_options=bazel_options)
    config = read_config(config_file, environment)
    place = check_place(out, environment)
    check_output(json_file, environment)
    outside = outside_world(request, config, console, environment)
    outside.workshop().check_may_build(commit, checkout)
    known = outside.workshop().apps(config)
    check_apps(known, config.apps)
    apps = choose_apps(names, known, config.apps)
    record, size = build(apps, commit, checkout, place, outside)
    for each in record.images:
        console.say(f"{each.app.full_name}: {each.digest}")
    console.say(f"✅ Wrote {out}: {len(record.images)} apps, {size / 1e6:.1f} MB")
    if json_file is not None:
        write_output(record.to_json(), json_file, environment, remedy="The artifact itself is there.")


def check_place(out: str, environment: Mapping[str, str]) -> Path:
    """Where an artifact is to be written. Raises InvalidRequest where it cannot be, before anything is built."""
    place = calling_directory(environment) / out
    why = None
    if not out or place.name in ("", ".."):
        why = "it has no name"
    elif not place.parent.is_dir():
        why = f"there is no folder {place.parent}"
    elif not os.access(place.parent, os.W_OK):
        why = f"{place.parent} may not be written"
    elif place.suffix == ".tar":
        if place.exists() and not place.is_file():
            why = "it is there, and is no file"
    elif place.exists() and (not place.is_dir() or any(place.iterdir())):
        why = "it is there, and is no empty folder"
    if why:
        raise InvalidRequest(f"Cannot write an artifact to {out!r}", why, "Name another --out, or remove it.")
    return place


def build(
    apps: Sequence[App], commit: str, checkout: bool, place: Path, outside: Outside
) -> tuple[ArtifactRecord, int]:
    """Build apps by one call of Bazel, and write their images. Returns the record, and the size of the blobs.

    Raises ReleaseError or OciError; then nothing is written.
    """
    with outside.workshop().builder(commit, checkout) as builder:
        source = outside.source(commit)
        outside.console.say("Building OCI image index with platform transitions...")
        built = builder.prepare([app.image for app in apps])
        images: list[BuiltImage] = []
        failed: dict[str, ReleaseError | OciError] = {}
        for app in apps:
            try:
                images.append(build_image(app.image, built, app.platforms, outside.console.about(app.full_name).say))
            except (ReleaseError, OciError) as error:
                failed[app.full_name] = error
        if failed:
            raise _not_built(failed, len(apps))
        record = ArtifactRecord(
            commit,
            source,
            tuple(AppImage(app, image.digest) for app, image in zip(apps, images, strict=True)),
        )
        return record, write_artifact(record, images, place)


def _not_built(failed: Mapping[str, ReleaseError | OciError], apps: int) -> ReleaseError:
    reasons = dict.fromkeys(f"{error.what}: {error.why}" for error in failed.values())
    error = next(iter(failed.values()))
    return SomeFailed(
        f"{len(failed)} of {apps} apps cannot be built, so there is no artifact: {', '.join(failed)}",
        "; ".join(reasons),
        error.remedy,
        exit_status(error),
    )


def main(arguments: list[str]) -> int:
    """Run the program, and return its exit status."""
    return run(command, "build", arguments, "no artifact was written")
