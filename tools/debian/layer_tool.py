"""Writes the layer of a set of Debian packages. Called by the build, never by people."""

import argparse
import sys
from pathlib import Path

from tools.debian.deb import read_deb
from tools.debian.errors import DebianError
from tools.debian.package_facts import package_facts
from tools.debian.rootfs import architecture, root_file_system
from tools.debian.stack import difference
from tools.image.entries import LayerError
from tools.image.layer import write_layer, write_metadata


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, fromfile_prefix_chars="@")
    parser.add_argument("--blob", type=Path, required=True, help="where the layer goes")
    parser.add_argument("--metadata", type=Path, required=True, help="where facts about it go, as JSON")
    parser.add_argument("--listing", type=Path, required=True, help="where its entries go, one JSON object a line")
    parser.add_argument("--created-by", required=True, help="what the image's history says of it")
    parser.add_argument("--exclude", action="append", default=[], help="a pattern of paths to leave out")
    parser.add_argument("--below", type=Path, action="append", default=[], help="a package of the layers below")
    parser.add_argument("packages", type=Path, nargs="*", help="package files; those of the layers below are left out")
    options = parser.parse_args(arguments)
    try:
        below = [read_deb(path) for path in options.below]
        present = {deb.sha256 for deb in below}
        debs = [deb for deb in map(read_deb, options.packages) if deb.sha256 not in present]
        whole = root_file_system([*below, *debs], options.exclude)
        entries = difference(whole, root_file_system(below, options.exclude)) if below else whole.entries()
        with options.blob.open("wb") as out, options.listing.open("wb") as listing:
            facts = write_layer(entries, out, machine=architecture([*below, *debs]), listing=listing)
    except (DebianError, LayerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write_metadata(options.metadata, facts, options.created_by, package_facts(debs, whole, below))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
