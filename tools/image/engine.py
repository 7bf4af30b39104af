"""Bringing an image into a Docker engine: what the engine has already is not sent."""

import itertools
import json
import platform as machine
import tarfile
from collections.abc import Iterator, Sequence

import docker
import docker.errors
import requests
from docker.models.images import Image

from tools.oci.blobs import FileBlobs
from tools.oci.layout import blob_name
from tools.oci.manifest import Descriptor, ImageManifest, Platform

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
    name, _, version = tag.rpartition(":")
    try:
        client = docker.from_env()
        by_manifest = _has_containerd_store(client)
        name_there = image.digest if by_manifest else image.config.digest
        known = _known(client, name_there)
        missing: Sequence[Descriptor] = ()
        if known is None:
            diff_ids = json.loads(store.read(image.config.digest))["rootfs"]["diff_ids"]
            # containerd's store keeps blobs, and its engine does not say which: everything is sent to it.
            missing = image.layers[0 if by_manifest else _present_layers(client, diff_ids) :]
            for answer in client.api.load_image(_archive(store, image, missing, tag)):  # type: ignore[no-untyped-call]
                if "error" in answer:
                    raise docker.errors.DockerException(answer["error"])
            known = _known(client, name_there)
        if known is None:
            raise docker.errors.DockerException("it took the image, and does not know it now")
        # Named here, since an engine that knew the image under another name may keep to that.
        known.tag(name, version)
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise EngineError(
            f"cannot load {tag} into the Docker engine: {error}. Start the engine, or name its socket in DOCKER_HOST."
        ) from None
    return sum({layer.digest: layer.size for layer in missing}.values())


def _has_containerd_store(client: docker.DockerClient) -> bool:
    """Whether the engine keeps images by their manifest, and not by their configuration."""
    return ["driver-type", "io.containerd.snapshotter.v1"] in (client.info().get("DriverStatus") or [])


def _known(client: docker.DockerClient, digest: str) -> Image | None:
    try:
        return client.images.get(digest)
    except docker.errors.ImageNotFound:
        return None


def _present_layers(client: docker.DockerClient, diff_ids: Sequence[str]) -> int:
    """How many of the image's layers, from the bottom, the engine has on top of one another."""
    most = 0
    for known in client.images.list(all=True):
        theirs = known.attrs.get("RootFS", {}).get("Layers") or []
        same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(diff_ids, theirs, strict=False))
        most = max(most, len(list(same)))
    return most


def _archive(store: FileBlobs, image: ImageManifest, layers: Sequence[Descriptor], tag: str) -> Iterator[bytes]:
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
