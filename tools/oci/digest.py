"""Content digests (image-spec, descriptor.md, "Digests"): `sha256:` or `sha512:` and the hash in lower-case hex."""

from __future__ import annotations

import hashlib
import re

_LENGTHS = {"sha256": 64, "sha512": 128}
_DIGEST = re.compile(r"(sha256|sha512):([0-9a-f]+)", re.ASCII)


def is_digest(text: str) -> bool:
    """Whether `text` is a digest of one of the two registered algorithms, with the right number of digits."""
    match = _DIGEST.fullmatch(text)
    return match is not None and len(match[2]) == _LENGTHS[match[1]]


def digest_of(content: bytes, algorithm: str = "sha256") -> str:
    """The digest of `content`."""
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def matches(content: bytes, digest: str) -> bool:
    """Whether `content` has this digest, by the digest's own algorithm."""
    return is_digest(digest) and digest_of(content, digest.partition(":")[0]) == digest
