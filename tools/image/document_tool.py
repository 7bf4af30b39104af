"""Writes the documents and layouts of images. Called by the build, never by people."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tools.image.attestation import Attestation, LayerRecord, attest
from tools.image.checks import ImageError, check_entrypoint, check_machines
from tools.image.documents import (
    Layer,
    config_document,
    describe,
    descriptor_document,
    index_annotations,
    index_document,
    manifest_document,
    run_parameters,
)
from tools.image.worker import run_tool
from tools.oci.digest import digest_of
from tools.oci.layout import Open, opened, write_layout_archive, write_layout_directory
from tools.oci.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, Platform


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    index = commands.add_parser("index", help="the index of an image, and all documents that it names")
    index.set_defaults(run=_index)
    for name in ("--index", "--descriptor", "--blob-map"):
        index.add_argument(name, type=Path, required=True, help="where it goes")
    index.add_argument("--label", required=True, help="of the target, for errors")
    index.add_argument("--annotations", type=json.loads, default={}, help="of the index, a JSON object")
    index.add_argument("images", nargs="+", type=json.loads, help="a JSON object for each: see image_index.bzl")

    for name, write in (("layout", _layout), ("tarball", _tarball)):
        layout = commands.add_parser(name, help=f"an image layout, as a {name}")
        layout.set_defaults(run=write)
        layout.add_argument("--descriptor", type=Path, required=True, help="of the index")
        layout.add_argument("--blob-map", type=Path, required=True)
        layout.add_argument("--blob", action="append", required=True, help="NAME=FILE, by the names of the blob map")
        layout.add_argument("--out", type=Path, required=True, help="where it goes")

    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True, slots=True)
class _Image:
    """One platform's image: what names it, its blobs' names by digest, and its attestation."""

    descriptor: Descriptor
    names: Mapping[str, str]
    attestation: Attestation | None


def _index(options: argparse.Namespace) -> None:
    images = [_image(options.label, request) for request in options.images]
    # As BuildKit does it: what runs first, then what is said of it.
    attestations = [image.attestation.descriptor for image in images if image.attestation]
    document = index_document([image.descriptor for image in images] + attestations, options.annotations)
    descriptor = describe(document, OCI_INDEX)
    names = {descriptor.digest: "index"}
    for image in images:
        names = {**image.names, **names}  # The first platform's name stays: the others share its blob.
    options.index.write_bytes(document)
    options.descriptor.write_bytes(descriptor_document(descriptor))
    options.blob_map.write_text(json.dumps(names, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _image(label: str, request: Mapping[str, Any]) -> _Image:
    """Makes the documents of one platform's image and writes them."""
    platform = Platform.parse(request["platform"])
    records = [_read(layer["metadata"]) for layer in request["layers"]]
    layers = [Layer.from_json(record) for record in records]
    listings = [Path(layer["listing"]).read_bytes() if layer["listing"] else None for layer in request["layers"]]
    parts = [_read(part["config"]) if "config" in part else part for part in request["settings"]]
    run = run_parameters(parts)
    check_machines(label, platform, layers)
    check_entrypoint(label, platform, run, listings)

    config = config_document(platform, layers, run)
    annotations = parts[-1].get("settings", {}).get("annotations", {}) if parts else {}
    manifest = manifest_document(config, layers, annotations)
    descriptor = replace(describe(manifest, OCI_MANIFEST, platform), annotations=index_annotations(layers))
    documents = {"config": config, "manifest": manifest}
    outputs: Mapping[str, str] = request["outputs"]
    attestation = None
    if "attestation_manifest" in outputs:
        attestation = attest(descriptor, platform, _layer_records(records, listings))
        documents |= {
            "attestation_config": attestation.config,
            "attestation_manifest": attestation.manifest,
            "cyclonedx": attestation.cyclonedx,
            "cyclonedx_statement": attestation.statements[1],
            "spdx": attestation.spdx,
            "spdx_statement": attestation.statements[0],
        }
    for name, content in documents.items():
        Path(outputs[name]).write_bytes(content)

    folder = str(platform).replace("/", "_")
    names = {layer.descriptor.digest: each["blob"] for layer, each in zip(layers, request["layers"], strict=True)}
    # Those of the documents last: the plain SBOMs are no blobs.
    names |= {
        digest_of(content): f"{folder}/{name}"
        for name, content in documents.items()
        if name not in ("spdx", "cyclonedx")
    }
    return _Image(descriptor, names, attestation)


def _layer_records(records: Sequence[Mapping[str, Any]], listings: Sequence[bytes | None]) -> list[LayerRecord]:
    """What an SBOM is made of: the packages of a layer, or its files where it has none."""
    return [
        LayerRecord(
            record,
            None if listing is None or record["packages"] else [json.loads(line) for line in listing.splitlines()],
        )
        for record, listing in zip(records, listings, strict=True)
    ]


def _layout(options: argparse.Namespace) -> None:
    write_layout_directory([_descriptor(options)], _blobs(options), options.out)


def _tarball(options: argparse.Namespace) -> None:
    with options.out.open("wb") as out:
        write_layout_archive([_descriptor(options)], _blobs(options), out)


def _descriptor(options: argparse.Namespace) -> Descriptor:
    return Descriptor.from_json(_read(options.descriptor))


def _blobs(options: argparse.Namespace) -> dict[str, Open]:
    """The blobs by digest: the map knows the digests, so that no blob is read to find its own."""
    files = dict(pair.split("=", 1) for pair in options.blob)
    return opened({digest: Path(files[name]) for digest, name in _read(options.blob_map).items()})


def _read(path: str | Path) -> Any:
    return json.loads(Path(path).read_bytes())


if __name__ == "__main__":
    sys.exit(run_tool(main, sys.argv[1:]))
