"""The documents of an image: configuration, manifest, index (OCI image-spec, config.md, manifest.md, image-index.md).

Each is a function of layers and settings: no time, path, user or version of a tool goes in, so equal content has an
equal digest on every machine.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.oci.digest import digest_of
from tools.oci.manifest import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Descriptor, Platform

# The one time that reproducible images have: readers of a history expect a time in each entry.
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as its action describes it (`LayerInfo.metadata`)."""

    descriptor: Descriptor
    diff_id: str
    created_by: str

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Layer":
        return cls(Descriptor.from_json(fields, "layer"), fields["diffID"], fields["createdBy"])


@dataclass(frozen=True, slots=True)
class Settings:
    """How a container of the image runs; what is empty is left to the base."""

    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Sequence[str] = ()
    labels: Sequence[str] = ()
    user: str = ""
    workdir: str = ""


def config_document(platform: Platform, layers: Sequence[Layer], settings: Settings, base: Mapping[str, Any]) -> bytes:
    """The configuration of an image.

    Args:
      platform: what the image runs on.
      layers: all of them, the base's too, bottom first.
      settings: what this image says itself.
      base: the configuration document of the base; empty where there is none.
    """
    run = dict(base.get("config", {}))
    if settings.entrypoint:
        # A new entrypoint makes the base's arguments meaningless, as in a Dockerfile.
        run["Entrypoint"] = list(settings.entrypoint)
        run.pop("Cmd", None)
    if settings.cmd:
        run["Cmd"] = list(settings.cmd)
    if settings.env:
        variables = dict(pair.split("=", 1) for pair in [*run.get("Env", []), *settings.env])
        run["Env"] = [f"{name}={value}" for name, value in variables.items()]
    if settings.labels:
        labels = dict(run.get("Labels", {})) | dict(pair.split("=", 1) for pair in settings.labels)
        run["Labels"] = dict(sorted(labels.items()))
    if settings.user:
        run["User"] = settings.user
    if settings.workdir:
        run["WorkingDir"] = settings.workdir
    return _json(
        {
            "created": _EPOCH,
            "architecture": platform.architecture,
            "os": platform.os,
            "config": dict(sorted(run.items())),
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": _EPOCH, "created_by": layer.created_by} for layer in layers],
        }
    )


def manifest_document(config: bytes, layers: Sequence[Layer]) -> bytes:
    """The manifest of an image with this configuration and these layers, bottom first."""
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": describe(config, OCI_CONFIG).to_json(),
            "layers": [layer.descriptor.to_json() for layer in layers],
        }
    )


def index_document(images: Sequence[Descriptor]) -> bytes:
    """The index of these manifests, each with its platform, in the order given."""
    return _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [image.to_json() for image in images]})


def describe(document: bytes, media_type: str, platform: Platform | None = None) -> Descriptor:
    """The descriptor of a document."""
    return Descriptor(media_type, digest_of(document), len(document), platform)


def descriptor_document(descriptor: Descriptor) -> bytes:
    """A descriptor as a file of its own: what image rules hand to each other."""
    return _json(descriptor.to_json())


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
