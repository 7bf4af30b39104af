"""Writes the layer of a set of Debian packages. Called by the build, never by people."""

import argparse
import sys
from pathlib import Path

from tools.debian.deb import read_deb
from tools.debian.errors import DebianError
from tools.debian.rootfs import architecture, root_file_system
from tools.image.entries import LayerError
from tools.image.layer import write_layer, write_metadata


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, fromfile_prefix_chars="@")
    parser.add_argument("--blob", type=Path, required=True, help="where the layer goes")
    parser.add_argument("--metadata", type=Path, required=True, help="where its descriptor and diffID go, as JSON")
    parser.add_argument("--created-by", required=True, help="what the image's history says of it")
    parser.add_argument("--exclude", action="append", default=[], help="a pattern of paths to leave out")
    parser.add_argument("packages", type=Path, nargs="+", help="package files")
    options = parser.parse_args(arguments)
    try:
        debs = [read_deb(path) for path in options.packages]
        tree = root_file_system(debs, options.exclude)
        with options.blob.open("wb") as out:
            facts = write_layer(tree.entries(), out, machine=architecture(debs))
    except (DebianError, LayerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_metadata(options.metadata, facts, options.created_by)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
