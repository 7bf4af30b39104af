"""Pushes a built image index: `bazel run :NAME_image_push -- --repository R --tag T`."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tools.image.built import read_built_index, read_built_origins
from tools.image.pulled import PulledBlobs
from tools.oci.client import RegistryClient
from tools.oci.errors import InvalidReference, OciError, TagConflict, Unanswered
from tools.oci.publication import push_index
from tools.oci.reference import Repository
from tools.oci.tags import TagOutcome, TagPolicy, check_tag, read_tag, write_tag


@click.command(
    epilog="""Examples:\n
    bazel run //apps/hello_python:hello_python_image_push -- --repository localhost:5000/hello --tag v1\n
    bazel run //apps/hello_python:hello_python_image_push -- --repository ghcr.io/me/hello --tag a --tag b"""
)
@click.option("--image", "folder", type=click.Path(path_type=Path), required=True, hidden=True)
@click.option("--repository", required=True, help="HOST[:PORT]/PATH to push to.")
@click.option("--tag", "tags", multiple=True, help="Tag to write; may be repeated. None: the index by its digest only.")
@click.option("--allow-overwrite", is_flag=True, help="Move tags that name another digest.")
@click.option("--insecure", is_flag=True, help="Allow plain HTTP to a registry that is not on this machine.")
@click.option("--retry-for", default=30.0, show_default=True, help="Seconds to go on asking a registry that fails.")
def main(
    folder: Path,
    repository: str,
    tags: tuple[str, ...],
    allow_overwrite: bool,
    insecure: bool,
    retry_for: float,
) -> None:
    """Push this image index. A tag is written once: one that names another digest is refused before anything is sent.

    Layers of a pulled base are mounted where the registry has them, and fetched from where they come from only if not.

    The digest goes to standard output. Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 the registry could not be
    asked.
    """
    policy = TagPolicy.OVERWRITE if allow_overwrite else TagPolicy.WRITE_ONCE
    try:
        target = Repository.parse(repository)
        index, files = read_built_index(folder)
        origins = read_built_origins(folder)
        references = [target.tag(tag) for tag in tags]
        with (
            RegistryClient(target.registry, insecure=insecure, retry_for=retry_for, on_wait=_say) as client,
            TemporaryDirectory(prefix="slipway-push-") as fetched,
        ):
            blobs = PulledBlobs(files, origins, Path(fetched), retry_for, _say)
            for reference in references:
                check_tag(read_tag(client, reference), index.digest, policy)
            report = push_index(client, target, index, blobs)
            click.echo(
                f"Pushed {target}@{report.digest}: {report.blobs_uploaded} blobs sent "
                f"({report.bytes_uploaded} bytes), {report.blobs_mounted} mounted, "
                f"{report.blobs_present} already there",
                err=True,
            )
            for reference in references:
                outcome = write_tag(client, reference, report.manifest, policy=policy)
                click.echo(f"Tagged {reference}{' (already)' if outcome is TagOutcome.ALREADY else ''}", err=True)
    except OciError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(_exit_code(error))
    click.echo(report.digest)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _exit_code(error: OciError) -> int:
    """What all programs of this project exit with after an error of this kind."""
    for kind, code in ((InvalidReference, 2), (TagConflict, 3), (Unanswered, 4)):
        if isinstance(error, kind):
            return code
    return 1
