"""The OCI's own JSON schemas of the documents of an image (image-spec, schema/), out of Debian's package of them."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from jsonschema import Draft4Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from tests.support.tools import devroot_files
from tools.oci.manifest import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST

_FOLDER = "/usr/share/gocode/src/github.com/opencontainers/image-spec/schema"
_FORMATS = FormatChecker(["date-time", "uri"])
_BY_MEDIA_TYPE = {
    OCI_CONFIG: "config-schema.json",
    OCI_INDEX: "image-index-schema.json",
    OCI_MANIFEST: "image-manifest-schema.json",
}


def check_document(content: bytes, media_type: str) -> Any:
    """Raises jsonschema.ValidationError unless it is what the OCI calls `media_type`; returns the parsed document."""
    document = json.loads(content)
    _validator(_BY_MEDIA_TYPE[media_type]).validate(document)
    return document


def check_layout_marker(content: bytes) -> None:
    """The same for the file `oci-layout`."""
    _validator("image-layout-schema.json").validate(json.loads(content))


def check_index(index: bytes, blob: Callable[[str], bytes]) -> list[str]:
    """Checks an index and all documents that it leads to; returns their media types in the order of the visit.

    Args:
      index: its content.
      blob: gives the content of a digest.
    """
    visited = [OCI_INDEX]
    for child in check_document(index, OCI_INDEX)["manifests"]:
        _validator("content-descriptor.json").validate(child)
        content = blob(child["digest"])
        visited.append(child["mediaType"])
        if child["mediaType"] == OCI_INDEX:
            visited += check_index(content, blob)[1:]
            continue
        manifest = check_document(content, child["mediaType"])
        for part in (manifest["config"], *manifest["layers"]):
            _validator("content-descriptor.json").validate(part)
        check_document(blob(manifest["config"]["digest"]), manifest["config"]["mediaType"])
        visited.append(manifest["config"]["mediaType"])
    return visited


@functools.cache
def _schemas() -> Mapping[str, Any]:
    return {name: json.loads(content) for name, content in devroot_files(_FOLDER, ".json").items()}


@functools.cache
def _validator(name: str) -> Draft4Validator:
    # The schemas refer to each other by file name, relative to whatever id they stand below.
    registry: Registry[Any] = Registry(retrieve=_resource)  # type: ignore[call-arg]  # attrs' alias of _retrieve
    return Draft4Validator(_schemas()[name], registry=registry, format_checker=_FORMATS)


def _resource(uri: str) -> Resource[Any]:
    return Resource.from_contents(_schemas()[uri.rpartition("/")[2]], default_specification=DRAFT4)
