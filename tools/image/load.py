"""Loads one platform of a built image index into a Docker engine: `bazel run :NAME_image_load`."""

import io
import json
import platform as machine
import tarfile
import tempfile
from pathlib import Path
from typing import BinaryIO

import click
import docker
import docker.errors

from tools.image.layout import blob_name, read_layout_directory
from tools.oci.blobs import FileBlobs
from tools.oci.errors import OciError
from tools.oci.manifest import Descriptor, ImageIndex, ImageManifest, Platform, parse_manifest

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@click.command(
    epilog="""Examples:\n
    bazel run //apps/hello_python:hello_python_image_load\n
    bazel run //apps/hello_python:hello_python_image_load -- --platform linux/arm64"""
)
@click.option("--layout", type=click.Path(path_type=Path), required=True, hidden=True)
@click.option("--platform", help="OS/ARCHITECTURE to load; that of this machine by default.")
@click.option("--tag", required=True, help="Name and tag that the image gets in the engine.")
def main(layout: Path, platform: str | None, tag: str) -> None:
    """Load one platform of this image into the Docker engine that the environment names (DOCKER_HOST)."""
    architecture = _ARCHITECTURES.get(machine.machine(), machine.machine())
    try:
        wanted = Platform.parse(platform or f"linux/{architecture}")
        index, blobs = read_layout_directory(layout)
        store = FileBlobs(blobs)
        image = find_image(store, index, wanted)
    except (OciError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    with tempfile.TemporaryFile() as archive:
        write_docker_archive(store, image, tag, archive)
        archive.seek(0)
        try:
            docker.from_env().images.load(archive)
        except docker.errors.DockerException as error:
            raise click.ClickException(
                f"cannot load {tag} into the Docker engine: {error}. "
                "Start the engine, or name its socket in DOCKER_HOST."
            ) from None
    click.echo(f"Loaded {tag} ({wanted})", err=True)
    click.echo(image.config.digest)


def find_image(store: FileBlobs, index: Descriptor, wanted: Platform) -> ImageManifest:
    """The manifest of one platform of an index.

    Raises:
      ValueError: the index has no such platform; names those that it has.
      OciError: the build's files are not what the index says.
    """
    document = parse_manifest(store.read(index.digest))
    assert isinstance(document, ImageIndex)
    for child in document.manifests:
        if child.platform == wanted:
            manifest = parse_manifest(store.read(child.digest))
            assert isinstance(manifest, ImageManifest)
            return manifest
    raise ValueError(
        f"this image has no platform {wanted}; it has {', '.join(map(str, document.platforms))}. "
        "Choose one of them by --platform."
    )


def write_docker_archive(store: FileBlobs, image: ImageManifest, tag: str, out: BinaryIO) -> None:
    """Writes what `docker load` takes: an OCI layout for engines with containerd's image store, with the older
    `manifest.json` beside it for all others."""
    named = image.descriptor.to_json() | {"annotations": {"io.containerd.image.name": f"docker.io/library/{tag}"}}
    older = [
        {
            "Config": blob_name(image.config.digest),
            "RepoTags": [tag],
            "Layers": [blob_name(layer.digest) for layer in image.layers],
        }
    ]
    documents = {
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
        "index.json": {"schemaVersion": 2, "manifests": [named]},
        "manifest.json": older,
    }
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, document in documents.items():
            _add(archive, name, json.dumps(document).encode())
        _add(archive, blob_name(image.digest), image.content)
        for blob in {blob.digest: blob for blob in image.blobs}.values():
            info = tarfile.TarInfo(blob_name(blob.digest))
            info.size = blob.size
            with store.open(blob.digest) as content:
                archive.addfile(info, content)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


if __name__ == "__main__":
    main()
