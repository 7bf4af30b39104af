"""What the repository of a base image is made of: its documents, out of a registry, and facts about its layers.

Runs when the repository is made, on the machine's own Python: the standard library and tools/oci only. No layer is
fetched. On standard output goes what is in the files that it wrote, as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tools.image.purl import oci_purl
from tools.oci.client import RegistryClient
from tools.oci.digest import is_digest
from tools.oci.errors import InvalidManifest, NotFound, OciError
from tools.oci.manifest import (
    MAX_MANIFEST_SIZE,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    Descriptor,
    ImageIndex,
    ImageManifest,
    Platform,
)
from tools.oci.parallel import run_all
from tools.oci.reference import Repository

Result = TypeVar("Result")

_CONFIG_TYPES = (OCI_CONFIG, "application/vnd.docker.container.image.v1+json")

_LAYER_TYPES = {
    OCI_LAYER: OCI_LAYER,
    OCI_LAYER_GZIP: OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD: OCI_LAYER_ZSTD,
    "application/vnd.docker.image.rootfs.diff.tar": OCI_LAYER,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": OCI_LAYER_GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.zstd": OCI_LAYER_ZSTD,
}
"""The OCI's name of what a layer is; Docker's names mean the same bytes."""

_MAX_CONFIG_SIZE = MAX_MANIFEST_SIZE


@dataclass(frozen=True, slots=True)
class Pull:
    """What `images.pull` asks for.

    Attributes:
        name: of the pull, for errors.
        repository: where the image is.
        digest: of an index, or of one platform's manifest.
        platforms: those that are wanted.
    """

    name: str
    repository: Repository
    digest: str
    platforms: tuple[Platform, ...]

    def __str__(self) -> str:
        return f'cannot pull "{self.name}": {self.repository}@{self.digest}'


@dataclass(frozen=True, slots=True)
class PulledImage:
    """One platform's image.

    Attributes:
        platform: what it runs on.
        config: the configuration, byte for byte.
        layers: what `LayerInfo.metadata` says of each, bottom first.
    """

    platform: Platform
    config: bytes = field(repr=False)
    layers: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class _Config:
    """A configuration, as far as it is about platform and layers. `created_by` is empty where nobody knows."""

    content: bytes
    platform: Platform
    diff_ids: Sequence[str]
    created_by: Sequence[str]


def pull(client: RegistryClient, wanted: Pull) -> tuple[PulledImage, ...]:
    """Fetch and check what describes an image: a request for each document.

    Raises:
        OciError: as the client's methods.
        NotFound: the image is not there for a wanted platform.
        InvalidManifest: its documents contradict each other, or describe no container image.
    """
    top = client.get_manifest(wanted.repository.digest(wanted.digest))
    manifests = [top] if isinstance(top, ImageManifest) else _children(client, wanted, top)
    configs = _at_once(client, [partial(_config, client, wanted, manifest) for manifest in manifests])
    if isinstance(top, ImageManifest):
        _require(wanted, [configs[0].platform], "it is no index, but the manifest of one image")
    for config, platform in zip(configs, wanted.platforms, strict=True):
        if config.platform != platform:
            raise _unusable(
                wanted, f"the image that its index has for {platform} says that it is for {config.platform}"
            )
    uses = Counter(digest for manifest in manifests for digest in {layer.digest for layer in manifest.layers})
    shared = frozenset(digest for digest, count in uses.items() if count > 1)
    base = {
        "type": "oci",
        "name": wanted.repository.path,
        "version": wanted.digest,
        "purl": oci_purl(str(wanted.repository), wanted.digest),
        "sha256": top.digest.removeprefix("sha256:"),
        "license": None,
    }
    return tuple(
        PulledImage(
            config.platform,
            config.content,
            tuple(
                {
                    **_layer(wanted, manifest, config, number),
                    "machine": None if layer.digest in shared else config.platform.architecture,
                    # The base as a whole, once: what is in it, nobody has said.
                    "packages": [] if number else [base],
                    "origin": str(wanted.repository),
                }
                for number, layer in enumerate(manifest.layers)
            ),
        )
        for manifest, config in zip(manifests, configs, strict=True)
    )


def _at_once(client: RegistryClient, tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    return run_all(tasks, at_once=client.max_connections)


def _children(client: RegistryClient, wanted: Pull, index: ImageIndex) -> list[ImageManifest]:
    """The manifests of the wanted platforms, in their order."""
    children: dict[Platform, Descriptor] = {}
    for child in index.manifests:
        if child.platform is not None and not child.is_attestation:
            children.setdefault(child.platform.normalized, child)
    _require(wanted, children, "its index names no such platform")
    references = [wanted.repository.digest(children[platform].digest) for platform in wanted.platforms]
    manifests = _at_once(client, [partial(client.get_manifest, reference) for reference in references])
    for platform, manifest in zip(wanted.platforms, manifests, strict=True):
        if not isinstance(manifest, ImageManifest):
            raise _unusable(wanted, f"what its index has for {platform} is an index again")
    return [manifest for manifest in manifests if isinstance(manifest, ImageManifest)]


def _require(wanted: Pull, present: Iterable[Platform], why: str) -> None:
    """Raise NotFound unless all wanted platforms are present."""
    there = [str(platform) for platform in present]
    missing = [str(platform) for platform in wanted.platforms if str(platform) not in there]
    if missing:
        known = [platform for platform in there if platform not in missing]
        raise NotFound(
            f"{wanted} is not there for {' and '.join(missing)}",
            f"{why}; there is {', '.join(known) or 'none'}",
            f'Change `platforms` of images.pull(name = "{wanted.name}"), or its `digest` to that of an index that has '
            f"{' and '.join(missing)}.",
        )


def _config(client: RegistryClient, wanted: Pull, manifest: ImageManifest) -> _Config:
    """Fetch and check a configuration (OCI image-spec, config.md)."""
    blob = manifest.config
    if blob.media_type not in _CONFIG_TYPES:
        raise _unusable(wanted, f"it is no container image: its configuration is {blob.media_type}")
    if blob.size > _MAX_CONFIG_SIZE:
        raise _unusable(wanted, f"its configuration has {blob.size} bytes, and {_MAX_CONFIG_SIZE} are allowed")
    content = client.read_blob(wanted.repository, blob)
    try:
        fields = json.loads(content)
        platform = Platform(fields["os"], fields["architecture"], fields.get("variant") or "").normalized
        diff_ids = list(fields["rootfs"]["diff_ids"])
        history = [entry for entry in fields.get("history") or () if not entry.get("empty_layer")]
        created_by = [entry.get("created_by") or "" for entry in history]
        texts = [platform.os, platform.architecture, platform.variant, *created_by]
        usable = all(is_digest(diff_id) for diff_id in diff_ids)
        "".join(texts).encode()  # texts all, and without half a character
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        usable = False
    if not usable:
        raise _unusable(wanted, f"its configuration {blob.digest} is not one of a container image")
    if len(diff_ids) != len(manifest.layers):
        raise _unusable(wanted, f"it has {len(manifest.layers)} layers, and its configuration names {len(diff_ids)}")
    # A history may be missing, or leave layers out.
    return _Config(content, platform, diff_ids, created_by if len(created_by) == len(diff_ids) else ())


def _layer(wanted: Pull, manifest: ImageManifest, config: _Config, number: int) -> dict[str, Any]:
    """What a manifest and a configuration of ours need to know of a layer."""
    layer = manifest.layers[number]
    media_type = _LAYER_TYPES.get(layer.media_type)
    if media_type is None:
        raise _unusable(wanted, f"its layer {layer.digest} is {layer.media_type}, which no registry can be given")
    created_by = config.created_by[number] if config.created_by else ""
    return {
        "mediaType": media_type,
        "digest": layer.digest,
        "size": layer.size,
        "diffID": config.diff_ids[number],
        "createdBy": created_by or f"{wanted.repository}@{wanted.digest}",
    }


def _unusable(wanted: Pull, why: str) -> InvalidManifest:
    return InvalidManifest(str(wanted), why, f'Change `digest` of images.pull(name = "{wanted.name}").')


def write(images: Iterable[PulledImage], folder: Path) -> list[dict[str, Any]]:
    """Write the documents of images into a folder; return where they are, and the digests and sizes of layers."""
    described = []
    for image in images:
        place = Path(str(image.platform).replace("/", "_"))
        (folder / place).mkdir(parents=True, exist_ok=True)
        config = place / "config.json"
        (folder / config).write_bytes(image.config)
        layers = []
        for number, layer in enumerate(image.layers):
            metadata = place / f"layer_{number}.json"
            (folder / metadata).write_text(json.dumps(layer, ensure_ascii=False), encoding="utf-8")
            layers.append({"digest": layer["digest"], "metadata": str(metadata), "size": layer["size"]})
        described.append({"platform": str(image.platform), "config": str(config), "layers": layers})
    return described


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--repository", required=True)
    parser.add_argument("--digest", required=True)
    parser.add_argument("--platform", type=Platform.parse, action="append", required=True)
    parser.add_argument("--insecure", action="store_true", help="allow plain HTTP")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    try:
        repository = Repository.parse(options.repository)
        wanted = Pull(options.name, repository, options.digest, tuple(options.platform))
        with RegistryClient(repository.registry, insecure=options.insecure) as client:
            images = pull(client, wanted)
    except OciError as error:
        what = error.what if error.what.startswith("cannot pull") else f'cannot pull "{options.name}": {error.what}'
        print(f"{what}\n  Why: {error.why}\n  What to do: {error.remedy}", file=sys.stderr)
        return 1
    print(json.dumps(write(images, options.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
