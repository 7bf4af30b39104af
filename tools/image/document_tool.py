"""Writes the documents and layouts of images. Called by the build, never by people."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tools.image.documents import (
    Layer,
    Settings,
    config_document,
    describe,
    descriptor_document,
    index_document,
    manifest_document,
)
from tools.image.layout import write_layout_archive, write_layout_directory
from tools.oci.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, Platform


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, fromfile_prefix_chars="@")
    commands = parser.add_subparsers(required=True)

    manifest = commands.add_parser("manifest", help="the configuration and the manifest of an image")
    manifest.set_defaults(run=_manifest)
    manifest.add_argument("--platform", type=Platform.parse, required=True)
    manifest.add_argument("--layer", type=Path, action="append", default=[], help="metadata of a layer, bottom first")
    manifest.add_argument("--base-config", type=Path)
    for name in ("--entrypoint", "--cmd", "--env", "--label"):
        manifest.add_argument(name, action="append", default=[])
    manifest.add_argument("--user", default="")
    manifest.add_argument("--workdir", default="")
    for name in ("--config", "--manifest", "--descriptor"):
        manifest.add_argument(name, type=Path, required=True, help="where it goes")

    index = commands.add_parser("index", help="the index of several images")
    index.set_defaults(run=_index)
    index.add_argument("--image", type=Path, action="append", required=True, help="descriptor of a platform's manifest")
    for name in ("--index", "--descriptor"):
        index.add_argument(name, type=Path, required=True, help="where it goes")

    for name in ("layout", "tarball"):
        layout = commands.add_parser(name, help=f"an image layout, as a {name}")
        layout.set_defaults(run=_layout if name == "layout" else _tarball)
        layout.add_argument("--descriptor", type=Path, required=True, help="of the index")
        layout.add_argument("--blob", type=Path, action="append", required=True)
        layout.add_argument("--out", type=Path, required=True, help="where it goes")

    options = parser.parse_args(arguments)
    options.run(options)


def _manifest(options: argparse.Namespace) -> None:
    layers = [Layer.from_json(_read(path)) for path in options.layer]
    settings = Settings(options.entrypoint, options.cmd, options.env, options.label, options.user, options.workdir)
    base = _read(options.base_config) if options.base_config else {}
    config = config_document(options.platform, layers, settings, base)
    manifest = manifest_document(config, layers)
    options.config.write_bytes(config)
    options.manifest.write_bytes(manifest)
    options.descriptor.write_bytes(descriptor_document(describe(manifest, OCI_MANIFEST, options.platform)))


def _index(options: argparse.Namespace) -> None:
    index = index_document([Descriptor.from_json(_read(path)) for path in options.image])
    options.index.write_bytes(index)
    options.descriptor.write_bytes(descriptor_document(describe(index, OCI_INDEX)))


def _layout(options: argparse.Namespace) -> None:
    write_layout_directory(Descriptor.from_json(_read(options.descriptor)), options.blob, options.out)


def _tarball(options: argparse.Namespace) -> None:
    with options.out.open("wb") as out:
        write_layout_archive(Descriptor.from_json(_read(options.descriptor)), options.blob, out)


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:])
