"""Loads one platform of a built image index into a Docker engine: `bazel run :NAME_image_load`."""

from pathlib import Path

import click

from tools.image.built import find_image, read_built_index
from tools.image.engine import EngineError, host_platform, load
from tools.oci.errors import OciError
from tools.oci.manifest import Platform


@click.command(
    epilog="""Examples:\n
    bazel run //apps/hello_python:hello_python_image_load\n
    bazel run //apps/hello_python:hello_python_image_load -- --platform linux/arm64"""
)
@click.option("--image", "folder", type=click.Path(path_type=Path), required=True, hidden=True)
@click.option("--platform", help="OS/ARCHITECTURE to load; that of this machine by default.")
@click.option("--tag", required=True, help="Name and tag that the image gets in the engine.")
def main(folder: Path, platform: str | None, tag: str) -> None:
    """Load one platform of this image into the Docker engine that the environment names (DOCKER_HOST).

    Layers that the engine has are not sent. The image's ID goes to standard output.
    """
    try:
        wanted = Platform.parse(platform) if platform else host_platform()
        index, blobs = read_built_index(folder)
        image = find_image(blobs, index, wanted)
        sent = load(blobs, image, tag)
    except (OciError, EngineError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Loaded {tag} ({wanted}), {sent / 1e6:.1f} MB of layers sent", err=True)
    click.echo(image.config.digest)
