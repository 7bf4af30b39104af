"""The test that an image_repro_test is: each layer, written again under other conditions, is the same."""

import argparse
import itertools
import sys
from pathlib import Path

from tools.image.testing.subject import Layer, Subject


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", type=Path, required=True, help="JSON that says where the image's files are")
    options = parser.parse_args(arguments)

    subject = Subject.read(options.subject)
    layers: dict[str, tuple[str, Layer]] = {}
    for platform, image in subject.images.items():
        for number, layer in enumerate(image.layers):
            # A layer that platforms share is one layer.
            layers.setdefault(layer.digest, (f"{platform}, {image.layer_name(number)}", layer))
    made = [(name, layer) for name, layer in layers.values() if layer.again is not None]
    differing = [(name, difference) for name, layer in made if (difference := compare(layer))]
    for name, layer in layers.values():
        if layer.again is None:
            print(f"not made again: {name}: it was pulled, or made by a rule that does not say how")
    for name, difference in differing:
        print(f"DIFFERENT: {name}: {difference}")
    if not made:
        print(f"{subject.label} has no layer that can be made again, so this test says nothing. Remove it.")
        return 1
    if differing:
        return 1
    print(f"{subject.label}: {len(made)} of {len(layers)} layers were made again, each the same.")
    return 0


def compare(layer: Layer) -> str:
    """How the second writing of a layer differs from the first, in words; empty where it does not."""
    assert layer.again is not None
    if layer.again["digest"] == layer.digest:
        return ""
    if layer.again["diffID"] == layer.metadata["diffID"]:
        return (
            f"the archives are equal, but they are compressed to {layer.digest} and {layer.again['digest']}. "
            "The compressor depends on something else than its input: its version, the number of threads or the CPU."
        )
    for number, (first, second) in enumerate(
        itertools.zip_longest(_lines(layer.listing), _lines(layer.again_listing)), 1
    ):
        if first != second:
            return (
                f"the first entry that differs is number {number}:\n"
                f"    first writing:  {first or 'there is none'}\n    second writing: {second or 'there is none'}\n"
                "Sort what is read from folders, and keep times, users and random names out of what goes into it."
            )
    return (
        "the entries are equal in path, kind, mode, owner and content, so the archives differ in what no listing "
        "tells: times, names of users, or the form of their headers."
    )


def _lines(listing: Path | None) -> list[str]:
    return listing.read_text(encoding="utf-8").splitlines() if listing else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
