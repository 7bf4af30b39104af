"""Image indexes made in a folder, out of layers that this project's own writer, or another one, has written."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.image.entries import Entry, Tree, bytes_entry
from tools.image.layer import write_layer
from tools.oci.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST

ORIGIN = "test"


@dataclass(frozen=True, slots=True)
class MadeLayer:
    """A layer: its blob, what is known of it, and its listing unless somebody else has made it."""

    blob: bytes
    metadata: Mapping[str, Any]
    listing: bytes | None


def file(path: str, content: str = "", mode: int = 0o644, uid: int = 0, gid: int = 0) -> Entry:
    return bytes_entry(path, content.encode(), mode=mode, uid=uid, gid=gid, origin=ORIGIN)


def directory(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, "directory", mode, origin=ORIGIN)


def symlink(path: str, target: str) -> Entry:
    return Entry(path, "symlink", 0o777, target=target, origin=ORIGIN)


def hardlink(path: str, target: str) -> Entry:
    return Entry(path, "hardlink", target=target, origin=ORIGIN)


def layer(*entries: Entry, name: str = "files", compression: str = "gzip") -> MadeLayer:
    """A layer as this project's rules write it."""
    blob, listing = io.BytesIO(), io.BytesIO()
    facts = write_layer(Tree(entries).entries(), blob, machine=None, compression=compression, listing=listing)
    metadata = {
        "mediaType": facts.media_type,
        "digest": facts.digest,
        "size": facts.size,
        "diffID": facts.diff_id,
        "createdBy": name,
    }
    return MadeLayer(blob.getvalue(), metadata, listing.getvalue())


def foreign_layer(*members: tuple[tarfile.TarInfo, bytes], name: str = "pulled") -> MadeLayer:
    """A layer as it comes from a registry: an archive of whatever form, without a listing."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    blob = content.getvalue()
    metadata = {
        "mediaType": OCI_LAYER,
        "digest": _digest(blob),
        "size": len(blob),
        "diffID": _digest(blob),
        "createdBy": name,
    }
    return MadeLayer(blob, metadata, None)


@dataclass(slots=True)
class SubjectMaker:
    """Writes image indexes, and for each the JSON by which the rules name its files."""

    folder: Path
    label: str = "//app:image"
    config: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    index_annotations: Mapping[str, str] = field(default_factory=dict)

    def make(self, images: Mapping[str, Sequence[MadeLayer]], again: Mapping[str, MadeLayer] | None = None) -> Path:
        """The index of these images.

        Args:
            images: layers by platform, bottom first.
            again: second writings of layers, by the names of the first ones.
        """
        described, children = {}, []
        for platform, layers in images.items():
            os, architecture = platform.split("/")
            config = {
                "os": os,
                "architecture": architecture,
                "config": dict(self.config),
                "rootfs": {"type": "layers", "diff_ids": [layer.metadata["diffID"] for layer in layers]},
            }
            config_blob = json.dumps(config).encode()
            manifest = {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": _descriptor(config_blob, OCI_CONFIG),
                "layers": [{key: layer.metadata[key] for key in ("mediaType", "digest", "size")} for layer in layers],
                "annotations": dict(self.annotations),
            }
            manifest_blob = json.dumps(manifest).encode()
            children.append(
                {**_descriptor(manifest_blob, OCI_MANIFEST), "platform": {"os": os, "architecture": architecture}}
            )
            described[platform] = {
                "config": self._write(config_blob),
                "manifest": self._write(manifest_blob),
                "layers": [self._layer(layer, (again or {}).get(layer.metadata["createdBy"])) for layer in layers],
            }
        index = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": children,
            "annotations": dict(self.index_annotations),
        }
        fields = {"label": self.label, "index": self._write(json.dumps(index).encode()), "images": described}
        return Path(self._write(json.dumps(fields).encode()))

    def _layer(self, made: MadeLayer, again: MadeLayer | None) -> dict[str, str]:
        fields = {"metadata": self._write(json.dumps(made.metadata).encode()), "blob": self._write(made.blob)}
        if made.listing is not None:
            fields["listing"] = self._write(made.listing)
        if again is not None and again.listing is not None:
            fields["again"] = self._write(json.dumps(again.metadata).encode())
            fields["again_listing"] = self._write(again.listing)
        return fields

    def _write(self, content: bytes) -> str:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / hashlib.sha256(content).hexdigest()
        path.write_bytes(content)
        return str(path)


def _descriptor(content: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
