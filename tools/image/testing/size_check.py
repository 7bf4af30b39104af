"""The test that an image_size_test is: how much of an image index a registry and a node have to take."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tools.image.testing.subject import Image, Layer, Subject

_MB = 1_000_000


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", type=Path, required=True, help="JSON that says where the image's metadata are")
    parser.add_argument("--max-bytes", type=int, help="of the compressed layers of each platform")
    parser.add_argument(
        "--max-new-bytes", nargs=2, action="append", default=[], metavar=("SUBJECT", "BYTES"),
        help="of the layers that the image of the same platform in another index does not have",
    )  # fmt: skip
    options = parser.parse_args(arguments)

    subject = Subject.read(options.subject)
    others = [(Subject.read(Path(path)), int(limit)) for path, limit in options.max_new_bytes]
    failures = []
    for platform, image in subject.images.items():
        print(table(subject, platform, [other for other, _ in others]))
        failures += list(_too_large(platform, image, options.max_bytes, others))
    for failure in failures:
        print(failure)
    return 1 if failures else 0


def _too_large(platform: str, image: Image, limit: int | None, others: Sequence[tuple[Subject, int]]) -> Iterator[str]:
    size = sum(layer.size for layer in image.layers)
    if limit is not None and size > limit:
        yield (
            f"{platform}: {_mb(size)} MB, and at most {_mb(limit)} MB are allowed. "
            "Take out what the largest layers do not need, or raise max_mb."
        )
    for other, new_limit in others:
        if platform not in other.images:
            yield (
                f"{platform}: {other.label} has no image for it to compare with; it has {', '.join(other.images)}. "
                "Compare with an index of the same platforms."
            )
            continue
        new = sum(layer.size for layer in image.layers if not _holds(other, platform, layer))
        if new > new_limit:
            yield (
                f"{platform}: {_mb(new)} MB that {other.label} does not have, "
                f"and at most {_mb(new_limit)} MB are allowed. "
                "Share more layers with it (base, wheels), make the others smaller, or raise max_new_mb_vs."
            )


def table(subject: Subject, platform: str, others: Sequence[Subject]) -> str:
    """The layers of one platform's image, top first: size, what it is, and who has it too."""
    image = subject.images[platform]
    total = sum(layer.size for layer in image.layers)
    lines = [f"{subject.label} for {platform}: {_mb(total)} MB in {len(image.layers)} layers, top first"]
    for layer in reversed(image.layers):
        shared = [other for other, it in subject.images.items() if other != platform and _has(it, layer)]
        shared += [other.label for other in others if _holds(other, platform, layer)]
        note = f"  [also in {', '.join(shared)}]" if shared else ""
        lines.append(f"  {_mb(layer.size):>10} MB  {layer.created_by}{note}")
    return "\n".join(lines) + "\n"


def _holds(subject: Subject, platform: str, layer: Layer) -> bool:
    """Whether the image of the same platform in another index has a layer."""
    return platform in subject.images and _has(subject.images[platform], layer)


def _has(image: Image, layer: Layer) -> bool:
    return any(other.digest == layer.digest for other in image.layers)


def _mb(size: int) -> str:
    return f"{size / _MB:.3f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
