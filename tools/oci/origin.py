"""Where blobs come from that a build has not made: the layers of a base image, which its registry has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tools.oci.digest import is_digest
from tools.oci.errors import InvalidManifest
from tools.oci.reference import Repository


@dataclass(frozen=True, slots=True)
class Origin:
    """The repository that has a blob. `insecure`: plain HTTP is allowed there."""

    repository: Repository
    size: int
    insecure: bool


def read_origins(content: str | bytes) -> Mapping[str, Origin]:
    """Read what an image_index says of pulled layers: origins by digest. Raises InvalidManifest."""
    try:
        return {digest: _origin(digest, fields) for digest, fields in json.loads(content).items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidManifest(
            "cannot read where pulled layers come from", " ".join(str(error).split()), "Build the image again."
        ) from None


def _origin(digest: str, fields: Mapping[str, Any]) -> Origin:
    size, insecure = fields["size"], fields["insecure"]
    if not is_digest(digest) or type(size) is not int or size < 0 or type(insecure) is not bool:
        raise ValueError(f"{digest!r}: {fields}")
    return Origin(Repository.parse(fields["repository"]), size, insecure)
