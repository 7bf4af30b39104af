"""The documents of an image: configuration, manifest, index (OCI image-spec, config.md, manifest.md, image-index.md).

Each is a function of layers and settings: no time, path, user or version of a tool goes in, so equal content has an
equal digest on every machine.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.oci.digest import digest_of
from tools.oci.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER_ZSTD, OCI_MANIFEST, Descriptor, Platform

# The one time that reproducible images have: readers of a history expect a time in each entry.
_EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as its action describes it (`LayerInfo.metadata`)."""

    descriptor: Descriptor
    diff_id: str
    created_by: str
    machine: str | None = None

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Layer":
        return cls(Descriptor.from_json(fields, "layer"), fields["diffID"], fields["createdBy"], fields.get("machine"))


@dataclass(frozen=True, slots=True)
class Settings:
    """How a container of the image runs; what is empty is left to the base."""

    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: Sequence[str] = ()
    user: str = ""
    workdir: str = ""
    stop_signal: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


def run_parameters(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The `config` object of an image configuration, put together from the bottom to the top.

    Args:
      parts: for each image of the stack `{"settings": ...}`, the fields of Settings, or the whole configuration of one
        that was pulled.
    """
    run: dict[str, Any] = {}
    for part in parts:
        if "settings" in part:
            _put_over(run, Settings(**part["settings"]))
        else:
            run = dict(part.get("config") or {})
    return dict(sorted(run.items()))


def _put_over(run: dict[str, Any], settings: Settings) -> None:
    if settings.entrypoint:
        # A new entrypoint makes the base's arguments meaningless, as in a Dockerfile.
        run["Entrypoint"] = list(settings.entrypoint)
        run.pop("Cmd", None)
    if settings.cmd:
        run["Cmd"] = list(settings.cmd)
    if settings.env:
        variables = dict(pair.split("=", 1) for pair in run.get("Env") or []) | dict(settings.env)
        run["Env"] = [f"{name}={value}" for name, value in variables.items()]
    if settings.labels:
        run["Labels"] = dict(sorted((dict(run.get("Labels") or {}) | dict(settings.labels)).items()))
    if settings.exposed_ports:
        ports = {*(run.get("ExposedPorts") or {}), *map(_port, settings.exposed_ports)}
        run["ExposedPorts"] = {port: {} for port in sorted(ports)}
    for key, value in (
        ("User", settings.user),
        ("WorkingDir", settings.workdir),
        ("StopSignal", settings.stop_signal),
    ):
        if value:
            run[key] = value


def _port(text: str) -> str:
    """PORT/PROTOCOL; TCP goes without saying, but is written."""
    return text if "/" in text else f"{text}/tcp"


def config_document(platform: Platform, layers: Sequence[Layer], run: Mapping[str, Any]) -> bytes:
    """The configuration of an image.

    Args:
      platform: what the image runs on.
      layers: all of them, the base's too, bottom first.
      run: how a container of it runs: see `run_parameters`.
    """
    return _json(
        {
            "created": _EPOCH,
            "architecture": platform.architecture,
            "os": platform.os,
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created": _EPOCH, "created_by": layer.created_by} for layer in layers],
        }
    )


def manifest_document(config: bytes, layers: Sequence[Layer], annotations: Mapping[str, str]) -> bytes:
    """The manifest of an image with this configuration and these layers, bottom first."""
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": describe(config, OCI_CONFIG).to_json(),
            "layers": [layer.descriptor.to_json() for layer in layers],
        }
        | _annotated(annotations)
    )


def index_document(manifests: Sequence[Descriptor], annotations: Mapping[str, str]) -> bytes:
    """The index of these manifests, each with its platform, in the order given."""
    return _json(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [manifest.to_json() for manifest in manifests]}
        | _annotated(annotations)
    )


def index_annotations(layers: Sequence[Layer]) -> dict[str, str]:
    """What an index says of an image with these layers beside its platform.

    skopeo and podman look for images with zstd layers by this annotation. One that lacks it they want to add, and so
    cannot copy the index as it is.
    """
    has_zstd = any(layer.descriptor.media_type == OCI_LAYER_ZSTD for layer in layers)
    return {"io.github.containers.compression.zstd": "true"} if has_zstd else {}


def _annotated(annotations: Mapping[str, str]) -> dict[str, Any]:
    return {"annotations": dict(sorted(annotations.items()))} if annotations else {}


def describe(document: bytes, media_type: str, platform: Platform | None = None) -> Descriptor:
    """The descriptor of a document."""
    return Descriptor(media_type, digest_of(document), len(document), platform)


def descriptor_document(descriptor: Descriptor) -> bytes:
    """A descriptor as a file of its own: what image rules hand to each other."""
    return _json(descriptor.to_json())


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
