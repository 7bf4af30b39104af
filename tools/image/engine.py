"""Bringing an image into a Docker engine: what the engine has already is not sent."""

import json
import platform as machine
import tarfile
from collections.abc import Iterator
from typing import Any

import docker
import docker.errors
import requests

from tools.image.layout import blob_name
from tools.oci.blobs import FileBlobs
from tools.oci.manifest import ImageManifest, Platform

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CHUNK = 1 << 20


class EngineError(Exception):
    """The engine cannot be reached, or refuses. The message says what failed, why, and what to do."""


def host_platform() -> Platform:
    """The platform of this machine."""
    return Platform("linux", _ARCHITECTURES.get(machine.machine(), machine.machine()))


def load(store: FileBlobs, image: ImageManifest, tag: str) -> int:
    """Makes an image known to the engine that the environment names (DOCKER_HOST), under `tag`.

    Returns:
      How many bytes of layers were sent.

    Raises:
      EngineError: there is no engine, or it does not take the image.
      OciError: the build's files are not what the manifest says.
    """
    try:
        client = docker.from_env()
        if _is_there(client, image):
            client.api.tag(_id(client, image), *tag.rsplit(":", 1))
            return 0
        present = _present_layers(client, json.loads(store.read(image.config.digest))["rootfs"]["diff_ids"])
        missing = [layer for number, layer in enumerate(image.layers) if number >= present]
        for answer in client.api.load_image(_archive(store, image, missing, tag)):
            if "error" in answer:
                raise docker.errors.DockerException(answer["error"])
        if not _is_there(client, image):
            raise docker.errors.DockerException("it took the image, and does not know it now")
        # An engine that knew the image under another name may have kept to that.
        client.api.tag(_id(client, image), *tag.rsplit(":", 1))
        return sum({layer.digest: layer.size for layer in missing}.values())
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise EngineError(
            f"cannot load {tag} into the Docker engine: {error}. Start the engine, or name its socket in DOCKER_HOST."
        ) from None


def _has_containerd_store(client: docker.DockerClient) -> bool:
    return ["driver-type", "io.containerd.snapshotter.v1"] in (client.info().get("DriverStatus") or [])


def _id(client: docker.DockerClient, image: ImageManifest) -> str:
    """What the engine calls the image: by its manifest with containerd's store, by its configuration otherwise."""
    return image.digest if _has_containerd_store(client) else image.config.digest


def _is_there(client: docker.DockerClient, image: ImageManifest) -> bool:
    try:
        client.api.inspect_image(_id(client, image))
    except docker.errors.ImageNotFound:
        return False
    return True


def _present_layers(client: docker.DockerClient, diff_ids: list[str]) -> int:
    """How many of the image's layers, from the bottom, the engine has on top of one another.

    containerd's store keeps blobs, and its engine does not say which: everything is sent to it.
    """
    if _has_containerd_store(client):
        return 0
    most = 0
    for known in client.api.images(all=True):
        layers = client.api.inspect_image(known["Id"]).get("RootFS", {}).get("Layers") or []
        same = 0
        for ours, theirs in zip(diff_ids, layers, strict=False):
            if ours != theirs:
                break
            same += 1
        most = max(most, same)
    return most


def _archive(store: FileBlobs, image: ImageManifest, layers: list[Any], tag: str) -> Iterator[bytes]:
    """What `docker load` takes, as a stream: an OCI layout for engines with containerd's image store, with the older
    `manifest.json` beside it for all others. A layer that is left out is one that the engine has."""
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
    for name, document in documents.items():
        yield from _member(name, json.dumps(document).encode())
    yield from _member(blob_name(image.digest), image.content)
    yield from _member(blob_name(image.config.digest), store.read(image.config.digest))
    for layer in {layer.digest: layer for layer in layers}.values():
        yield _header(blob_name(layer.digest), layer.size)
        with store.open(layer.digest) as content:
            while chunk := content.read(_CHUNK):
                yield chunk
        yield bytes(-layer.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content))
    yield content + bytes(-len(content) % tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT)
