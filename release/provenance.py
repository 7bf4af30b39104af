"""Where the image of a commit comes from, in the words of SLSA, kept in the registry beside the image.

An in-toto statement about the index: which commit of which source, which target, by which builder, out of which
packages. It refers to the index and changes nothing of it, so two commits with the same content stay one digest, with a
statement for each commit. Nothing that differs between two runs for one commit goes in: no time, user, run or machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from release.config import ProvenanceSettings
from release.errors import ReleaseError
from release.plan import Step
from tools.oci.client import Access, RegistryClient
from tools.oci.errors import InvalidManifest, OciError
from tools.oci.manifest import MANIFEST_TYPES, Descriptor, ImageIndex, ImageManifest, Manifest, parse_manifest
from tools.oci.parallel import run_all
from tools.oci.reference import Repository
from tools.oci.referrers import Artifact, Referrers, add_referrer, list_referrers

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:slipway:image-index:v1"
"""What `externalParameters` mean: README.md, "Provenance"."""

_IN_TOTO = "application/vnd.in-toto+json"
_SPDX = "https://spdx.dev/Document"
_MAX_SBOM_SIZE = 64 * 1024 * 1024
"""Bytes of an SBOM that is read from a registry."""

# Annotations, by which a statement is found without being read.
_PREDICATE = "in-toto.io/predicate-type"
_REVISION = "org.opencontainers.image.revision"
_BUNDLE_CONTENT, _BUNDLE_PREDICATE = "dev.sigstore.bundle.content", "dev.sigstore.bundle.predicateType"

_PURL = re.compile(r"pkg:[!-~]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")

Read = Callable[[Descriptor], bytes]
"""Reads a manifest or a blob of an image."""


@dataclass(frozen=True, slots=True)
class Source:
    """A commit by its whole name, and the repository that has it, as a URI, if that is known."""

    commit: str
    uri: str | None


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """Something that others have made and the image contains."""

    purl: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ProvenancePlan:
    """What is to be done about a commit's provenance: WRITE, or ALREADY where it is there.

    `digest` is that of the statement's manifest, None as long as it has not been made (`--dry-run`).
    """

    step: Step
    digest: str | None
    signed: bool
    artifact: Artifact | None = field(default=None, repr=False)
    referrers: Referrers | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Attestor:
    """What it takes to say where the image of one commit comes from."""

    client: RegistryClient
    repository: Repository
    settings: ProvenanceSettings
    commit: str
    target: str | None
    """The image's label; None where the app was not looked up."""
    source: Callable[[str], Source]
    """Looks a commit up. Raises Refused."""

    @property
    def signs(self) -> bool:
        """Whether the statement is to be signed."""
        return self.settings.cosign_key is not None

    def check(self) -> None:
        """See that a statement could be signed, before anything is done. Raises ReleaseError."""
        if self.settings.cosign_key is not None:
            from release.cosign import check_cosign  # As what follows: only where a key is configured.

            check_cosign(self.settings.cosign_key)

    def find(self, referrers: Referrers) -> ProvenancePlan | None:
        """The statement that is there already."""
        found = find_provenance(referrers, self.commit, signed=self.signs)
        return None if found is None else ProvenancePlan(Step.ALREADY, found.digest, _is_signed(found))

    def plan(self, index: Manifest, read: Read, referrers: Referrers | OciError | None) -> ProvenancePlan:
        """Make the statement, and sign it where that is configured, unless it is there already. Writes nothing.

        Args:
            index: the image.
            read: reads what the image consists of.
            referrers: of the image, if they have just been asked for.

        Raises:
            Refused: the commit's whole name is not known.
            ReleaseError: it cannot be signed.
            OciError: what refers to the image, or its SBOM, cannot be read.
        """
        if isinstance(referrers, OciError):
            raise referrers
        if referrers is None:
            referrers = list_referrers(self.client, self.repository, index.digest, access=Access.PUSH)
        found = self.find(referrers)
        if found is not None:
            return found
        self.check()
        source = self.source(self.commit)
        if self.settings.source is not None:
            source = Source(source.commit, self.settings.source)
        packages = read_packages(index, read)
        statement = make_statement(index, self.repository, source, self.target, self.settings.builder, packages)
        artifact = self._artifact(index, source.commit, statement)
        return ProvenancePlan(Step.WRITE, artifact.descriptor.digest, self.signs, artifact, referrers)

    def write(self, plan: ProvenancePlan) -> None:
        """Write what was planned. Raises OciError."""
        if plan.artifact is not None and plan.referrers is not None:
            add_referrer(self.client, self.repository, plan.artifact, plan.referrers)

    def read(self, part: Descriptor) -> bytes:
        """Read a part of an image from the registry."""
        if part.media_type in MANIFEST_TYPES:
            return self.client.get_manifest(self.repository.digest(part.digest), access=Access.PUSH).content
        if part.size > _MAX_SBOM_SIZE:
            raise _unreadable(part, f"it has {part.size} bytes")
        return self.client.read_blob(self.repository, part)

    def _artifact(self, index: Manifest, commit: str, statement: bytes) -> Artifact:
        notes = {_PREDICATE: PREDICATE_TYPE, _REVISION: commit}
        if self.settings.cosign_key is None:
            return Artifact(index.descriptor, _IN_TOTO, _IN_TOTO, statement, notes)
        from release.cosign import sign

        bundle = sign(statement, self.settings.cosign_key)
        # As cosign itself stores one: it is found by the type, and by these annotations.
        notes |= {_BUNDLE_CONTENT: "dsse-envelope", _BUNDLE_PREDICATE: PREDICATE_TYPE}
        return Artifact(index.descriptor, bundle.media_type, bundle.media_type, bundle.content, notes)


def find_provenance(referrers: Referrers, commit: str, *, signed: bool) -> Descriptor | None:
    """The provenance of a commit among what refers to an image, by annotations alone.

    Args:
        referrers: of the image.
        commit: its name, which may be abbreviated.
        signed: whether only a signed one will do. By whose key is for those to check who rely on it.
    """
    for each in referrers.descriptors:
        notes = each.annotations
        is_provenance = PREDICATE_TYPE in (notes.get(_PREDICATE), notes.get(_BUNDLE_PREDICATE))
        of_commit = notes.get(_REVISION, "").lower().startswith(commit.lower())
        if is_provenance and of_commit and (not signed or _is_signed(each)):
            return each
    return None


def _is_signed(referrer: Descriptor) -> bool:
    return _BUNDLE_CONTENT in referrer.annotations


def make_statement(
    index: Manifest,
    repository: Repository,
    source: Source,
    target: str | None,
    builder: str,
    packages: tuple[Package, ...],
) -> bytes:
    """The in-toto statement (Statement v1, SLSA provenance v1) that an index was built from a commit."""
    algorithm, _, value = index.digest.partition(":")
    origin: dict[str, Any] = {"digest": {"gitCommit": source.commit}}
    if source.uri is not None:
        origin = {"uri": source.uri, **origin}
    parameters: dict[str, Any] = {"source": origin}
    if target is not None:
        parameters["target"] = target
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": str(repository), "digest": {algorithm: value}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "resolvedDependencies": [
                    origin,
                    *({"uri": package.purl, "digest": {"sha256": package.sha256}} for package in packages),
                ],
            },
            "runDetails": {"builder": {"id": builder}},
        },
    }
    return json.dumps(statement, separators=(",", ":")).encode()


def read_packages(index: Manifest, read: Read) -> tuple[Package, ...]:
    """The packages of the SBOMs in an index, of all platforms, in order; none where there is no SBOM.

    Raises OciError: an SBOM cannot be read, or is none.
    """
    carriers = [child for child in index.manifests if child.is_attestation] if isinstance(index, ImageIndex) else []
    found = run_all([partial(_carried, carrier, read) for carrier in carriers])
    return tuple(sorted({package for packages in found for package in packages}))


def _carried(carrier: Descriptor, read: Read) -> frozenset[Package]:
    """The packages that an attestation manifest tells of."""
    manifest = parse_manifest(read(carrier), carrier.media_type, f"attestation {carrier.digest}")
    layers = manifest.layers if isinstance(manifest, ImageManifest) else ()
    return frozenset(
        package
        for layer in layers
        if layer.media_type == _IN_TOTO and layer.annotations.get(_PREDICATE, _SPDX) == _SPDX
        for package in _packages(layer, read(layer))
    )


def _packages(layer: Descriptor, statement: bytes) -> Iterator[Package]:
    """The packages with a purl and a hash in an in-toto statement that holds an SPDX document."""
    try:
        document = json.loads(statement)
        if document["predicateType"] != _SPDX:
            return
        for element in document["predicate"].get("packages", ()):
            purls = {
                reference["referenceLocator"]
                for reference in element.get("externalRefs", ())
                if reference["referenceType"] == "purl"
            }
            hashes = {
                checksum["checksumValue"].lower()
                for checksum in element.get("checksums", ())
                if checksum["algorithm"] == "SHA256"
            }
            for purl in purls:
                for value in hashes:
                    if not (_PURL.fullmatch(purl) and _SHA256.fullmatch(value)):
                        raise ValueError(f"{purl!r} with {value!r} is no package")
                    yield Package(purl, value)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(
            layer, f"it is no statement with an SPDX document ({type(error).__name__}: {error})"
        ) from None


def _unreadable(part: Descriptor, why: str) -> OciError:
    return InvalidManifest(
        f"cannot read the SBOM {part.digest} of the image",
        why,
        "Build the image again, or release it without provenance (--no-provenance).",
    )


def not_written(commit: str, error: OciError) -> ReleaseError:
    """The failure of a release whose image is there, and whose provenance is not."""
    return ReleaseError(
        f"Cannot write the provenance of commit {commit}; no tag was written",
        f"{error.what}: {error.why}",
        f"{error.remedy} Or release without it: --no-provenance.",
    )
