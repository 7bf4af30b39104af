"""SBOMs beside an image in its index, stored as BuildKit stores them (moby/buildkit, docs/attestations).

For each platform the index names one more manifest, of the platform unknown/unknown so that nobody runs it. Its layers
are in-toto statements about the image's digest: one holds the SPDX document, one the CycloneDX document. Being in the
index they go wherever it goes: a copy, a promotion or another tag keeps them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.image.sbom import cyclonedx_document, own_files, spdx_document
from tools.oci.digest import digest_of
from tools.oci.manifest import OCI_CONFIG, OCI_MANIFEST, Descriptor, Platform

IN_TOTO = "application/vnd.in-toto+json"
SPDX_PREDICATE = "https://spdx.dev/Document"
CYCLONEDX_PREDICATE = "https://cyclonedx.org/bom"

_PREDICATE_TYPE = "in-toto.io/predicate-type"
_REFERENCE_TYPE = "vnd.docker.reference.type"
_REFERENCE_DIGEST = "vnd.docker.reference.digest"
_NOBODYS_PLATFORM = Platform("unknown", "unknown")


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """What the SBOM of an image is made from, of one layer.

    `metadata` is the layer's JSON, of which only `packages` is read. `listing` is what its listing says, one object an
    entry; it is read only where there are no packages, and may be None where nobody knows.
    """

    metadata: Mapping[str, Any]
    listing: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Attestation:
    """The SBOMs of one platform's image, and what carries them.

    `spdx` and `cyclonedx` are the documents by themselves, for people. What a registry needs are the blobs `config`
    and `statements`, then `manifest`; `descriptor` is the entry of the index, to stand after the runnable images.
    """

    spdx: bytes
    cyclonedx: bytes
    statements: tuple[bytes, ...]
    config: bytes
    manifest: bytes
    descriptor: Descriptor


def attest(image: Descriptor, platform: Platform, layers: Sequence[LayerRecord]) -> Attestation:
    """The attestation of the image with this manifest.

    Args:
      image: of the platform's image manifest.
      platform: what the image runs on.
      layers: all of them, bottom first.
    """
    packages = [package for layer in layers for package in layer.metadata.get("packages", ())]
    files = own_files(layer.listing for layer in layers if layer.listing and not layer.metadata.get("packages"))
    spdx = spdx_document(image.digest, platform, packages, files)
    cyclonedx = cyclonedx_document(image.digest, platform, packages, files)
    by_predicate = {SPDX_PREDICATE: spdx, CYCLONEDX_PREDICATE: cyclonedx}
    statements = {kind: _statement(image.digest, kind, document) for kind, document in by_predicate.items()}
    config = _config(list(statements.values()))
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": Descriptor(OCI_CONFIG, digest_of(config), len(config)).to_json(),
            "layers": [
                Descriptor(IN_TOTO, digest_of(statement), len(statement), annotations={_PREDICATE_TYPE: kind}).to_json()
                for kind, statement in statements.items()
            ],
        }
    )
    return Attestation(
        spdx,
        cyclonedx,
        tuple(statements.values()),
        config,
        manifest,
        Descriptor(
            OCI_MANIFEST,
            digest_of(manifest),
            len(manifest),
            _NOBODYS_PLATFORM,
            {_REFERENCE_DIGEST: image.digest, _REFERENCE_TYPE: "attestation-manifest"},
        ),
    )


def _statement(digest: str, predicate_type: str, predicate: bytes) -> bytes:
    algorithm, _, value = digest.partition(":")
    head = {
        "_type": "https://in-toto.io/Statement/v0.1",
        # The image has no name of its own: BuildKit writes "_" then.
        "subject": [{"name": "_", "digest": {algorithm: value}}],
        "predicateType": predicate_type,
    }
    # The document goes in as it is: nobody has to parse what was just written.
    return _json(head)[:-1] + b',"predicate":' + predicate + b"}"


def _config(statements: Sequence[bytes]) -> bytes:
    """Without meaning: a manifest must have one, and some registries look into it."""
    return _json(
        {
            "architecture": _NOBODYS_PLATFORM.architecture,
            "os": _NOBODYS_PLATFORM.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(statement) for statement in statements]},
        }
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
