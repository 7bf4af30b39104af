"""Finds out what a registry offers, and whether a release can go to one of its repositories.

By itself it only reads. What a registry tells only to who writes is tried under one tag of the doctor's own, with
manifests and a blob that nobody else has; they are deleted again, as far as the registry does that.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from release.doctor_report import Answer, Capability, Finding, Report
from release.errors import InvalidRequest, Refused
from release.known_registries import known_of
from tools.oci.client import Access, RegistryClient
from tools.oci.digest import digest_of
from tools.oci.errors import Forbidden, InvalidResponse, NotFound, OciError, Throttled, Unauthorized, Unavailable
from tools.oci.errors import Refused as Declined
from tools.oci.manifest import OCI_MANIFEST, Descriptor, ImageIndex, ImageManifest
from tools.oci.reference import Repository, is_tag
from tools.oci.retrying import server_words
from tools.oci.transport import Response, is_loopback

PROBE_TAG = "slipway-doctor-probe"
PROBE_TYPE = "application/vnd.slipway.doctor.probe.v1+json"
_PROBE = b'{"slipway": "a probe of what this registry can do; nothing uses it, and it may be deleted"}\n'
"""Not the empty config of the specification, which others use: what is deleted here must be nobody else's."""

_LIMIT_HEADERS = (
    *("RateLimit", "RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"),
)
_LAG_SECONDS = 3.0
_MOUNT_CANDIDATES = 20

_YES, _NO, _UNKNOWN = Answer.YES, Answer.NO, Answer.UNKNOWN


def examine(
    client: RegistryClient, repository: Repository, *, write: bool = False, mount_from: Repository | None = None
) -> Report:
    """Find out what a release to a repository will meet.

    Args:
        client: of the repository's registry.
        repository: where a release would go.
        write: try what takes a write, under PROBE_TAG.
        mount_from: another repository of the registry, out of which one blob is mounted where `write` allows it.

    Raises:
        InvalidRequest: `mount_from` is in another registry, or the repository itself.
        Refused: the tag of the probe is there and is not the doctor's.
    """
    if mount_from is not None and (mount_from.registry != repository.registry or mount_from == repository):
        raise InvalidRequest(
            f"Cannot mount from {mount_from}",
            f"blobs are mounted out of another repository of {repository.registry}",
            "Name such a repository, or leave --mount-from out.",
        )
    examination = _Examination(client, repository)
    examination.read()
    write = write and not any(finding.blocks for finding in examination.findings.values())
    if write:
        _Probe(client, repository, examination, mount_from).run()
    findings = examination.findings
    ordered = [findings.get(capability) or _untried(capability) for capability in Capability]
    known = known_of(repository.registry, examination.challenge)
    return Report(repository, ordered, known, tuple(examination.left), write, client.traffic)


def _untried(capability: Capability) -> Finding:
    return Finding(capability, _UNKNOWN, "not tried", tried=False)


@dataclass(slots=True)
class _Examination:
    """One look at a repository: the questions that only read, and what all found so far."""

    client: RegistryClient
    repository: Repository
    findings: dict[Capability, Finding] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    challenge: str = ""
    limits: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    def note(self, capability: Capability, answer: Answer, found: str, means: str = "") -> None:
        """Keep an answer; a later one to the same question counts."""
        self.findings[capability] = Finding(capability, answer, found, means)

    def read(self) -> None:
        """Ask all that takes no write."""
        self.look_for_connection()
        if self.findings[Capability.CONNECTION].answer is _NO:
            return
        self.look_at_pull()
        self.look_at_push()
        if self.is_readable:
            digest = self.look_at_head(self.sample)
            self.look_for_referrers(digest or digest_of(b""))
        self.note_limits()

    @property
    def is_readable(self) -> bool:
        """Whether the repository could be read."""
        pull = self.findings.get(Capability.PULL)
        return pull is not None and pull.answer is _YES

    def look_for_connection(self) -> None:
        """Reachability and TLS."""
        started = time.monotonic()
        try:
            response = self.client.ping()
        except OciError as error:
            self.note(Capability.CONNECTION, _NO, error.why, error.remedy)
            return
        milliseconds = (time.monotonic() - started) * 1000
        self.challenge = ", ".join(response.headers.get_all("WWW-Authenticate") or ())
        self.keep_limits(response)
        tls = self.client.address.startswith("https://")
        how = "TLS with a certificate that is valid here" if tls else "plain HTTP"
        found = f"{self.client.address} answers in {milliseconds:.0f} ms, by {how}"
        if response.status in (200, 401):
            safe = tls or is_loopback(urlsplit(self.client.address).hostname or "")
            means = "" if safe else "whoever is on the way can read passwords, and change images"
            self.note(Capability.CONNECTION, _YES, found, means)
        else:
            means = "a registry answers 200 or 401 to GET /v2/: check the address, and what stands before it"
            self.note(Capability.CONNECTION, _UNKNOWN, f"{found}, with {response.status} {response.reason}", means)

    def look_at_pull(self) -> None:
        """Whether one may read, and as who."""
        access = Access.PULL
        try:
            try:
                response = self.list_tags(access)
            except Forbidden:
                # Where a repository does not exist yet, or is hidden from who only reads.
                access = Access.PUSH
                response = self.list_tags(access)
            if response.status in (401, 403) and access is Access.PULL:
                access = Access.PUSH
                response = self.list_tags(access)
            if response.status == 404:
                self.client.list_tags(self.repository, access=access)  # Raises unless that is what a registry says.
        except OciError as error:
            self.note_login_failure(error)
            return
        self.keep_limits(response)
        self.note_login(access, response)
        if response.status == 401:
            return
        only = " with a token that may push, by which a release asks" if access is Access.PUSH else ""
        if response.status == 200:
            self.tags = _read_tags(response)
            count = f"{len(self.tags)} tags" if len(self.tags) != 1 else "1 tag"
            more = " and more" if response.header("Link") else ""
            self.note(Capability.PULL, _YES, f"{count}{more}{only}")
        elif response.status == 404:
            found = f"the repository is not there yet, or hidden{only}"
            self.note(Capability.PULL, _YES, found, "a push has to be able to create it")
        else:
            found = f"a list of its tags is answered {response.status} {response.reason}"
            self.note(Capability.PULL, _NO, found, "a release has to know the tags that there are: see to its login")

    def list_tags(self, access: Access) -> Response:
        """The first of the tags."""
        return self.client.ask("GET", self.repository, "tags/list?n=100", access=access)

    def note_login(self, access: Access, response: Response) -> None:
        """Who the registry takes this client for, as its answer shows."""
        try:
            login = self.client.authorization(self.repository, access)
        except OciError as error:
            self.note_login_failure(error)
            return
        if login.scheme is None:
            found = "nobody is asked who they are to read"
            self.note(Capability.LOGIN, _YES, found)
            return
        nobody = "as anybody, since Docker's configuration has no login for it"
        if response.status == 401:
            found = f"{login.scheme}: {server_words(response)}, with the login in {login.source}"
            self.note(Capability.LOGIN, _NO, found, f"log in anew: docker login {self.repository.registry}")
            return
        who = f"by the login in {login.source}" if login.source else nobody
        granted = (
            f"; the token grants {', '.join(sorted(login.granted)) or 'nothing'}" if login.granted is not None else ""
        )
        means = "" if login.source else f"who may push has to log in first: docker login {self.repository.registry}"
        self.note(Capability.LOGIN, _YES, f"{login.scheme}, {who}{granted}", means)

    def note_login_failure(self, error: OciError) -> None:
        """The registry let nobody in, or could not be asked for it."""
        if isinstance(error, Throttled | Unavailable | InvalidResponse):
            self.note(Capability.LOGIN, _UNKNOWN, "not learnt")
            self.note(Capability.PULL, _NO, error.why, error.remedy)
        else:
            self.note(Capability.LOGIN, _NO, error.why, error.remedy)

    def look_at_push(self) -> None:
        """What a token says of pushing. Most registries tell it only to who pushes."""
        if self.findings[Capability.LOGIN].answer is not _YES:
            return
        try:
            login = self.client.authorization(self.repository, Access.PUSH)
        except OciError as error:
            self.note(Capability.PUSH, _NO, error.why, error.remedy)
            return
        if login.granted is None:
            return
        if "push" in login.granted:
            self.note(Capability.PUSH, _YES, "the token that the registry gives allows it")
        else:
            granted = ", ".join(sorted(login.granted)) or "nothing"
            found = f"asked for a token to push, the registry gives one for: {granted}"
            means = "log in as who may write to this repository, or give this login the right to"
            self.note(Capability.PUSH, _NO, found, means)

    @property
    def sample(self) -> str | None:
        """A tag to look at."""
        tags = [tag for tag in self.tags if not tag.startswith("sha256-")]
        return ("latest" if "latest" in tags else tags[-1]) if tags else None

    def look_at_head(self, tag: str | None) -> str | None:
        """Whether a HEAD tells all that a release asks of a tag; the digest that it names."""
        if tag is None:
            return None
        try:
            response = self.client.ask("HEAD", self.repository, f"manifests/{tag}")
        except OciError as error:
            self.note(Capability.DIGESTS, _UNKNOWN, error.why)
            return None
        self.keep_limits(response)
        names = ("Docker-Content-Digest", "Content-Type", "Content-Length")
        missing = [name for name in names if not response.header(name)]
        if response.status == 200 and not missing:
            found = f"HEAD of {tag} names digest, type and size"
            self.note(Capability.DIGESTS, _YES, found, "what a tag names costs one request without content")
            return response.header("Docker-Content-Digest")
        lack = f"lacks {', '.join(missing)}" if response.status == 200 else f"is answered {response.status}"
        means = "what a tag names costs a GET more, which some registries count as a pull"
        self.note(Capability.DIGESTS, _NO, f"HEAD of {tag} {lack}", means)
        return None

    def look_for_referrers(self, digest: str) -> None:
        """Whether the registry keeps lists of what refers to a manifest."""
        try:
            listed = self.client.get_referrers(self.repository, digest)
        except OciError as error:
            self.note(Capability.REFERRERS, _UNKNOWN, error.why)
            return
        if listed is None:
            self.note(Capability.REFERRERS, _NO, "there is no such list", _KEPT_LIST)
        else:
            self.note(Capability.REFERRERS, _YES, "the registry answers with a list", "provenance is listed there")

    def keep_limits(self, response: Response) -> None:
        """Remember what an answer says of limits; a later one knows better."""
        self.limits |= {name: response.header(name)[:80] for name in _LIMIT_HEADERS if response.header(name)}

    def note_limits(self) -> None:
        """What the answers so far said of limits."""
        if self.limits:
            found = ", ".join(f"{name}: {value}" for name, value in self.limits.items())
            means = "a re-tag takes about 15 requests; where they are spent, a release waits as long as it is told"
            self.note(Capability.LIMITS, _YES, found, means)
        else:
            self.note(Capability.LIMITS, _NO, "no answer told of one")


_KEPT_LIST = "provenance is listed under the tag sha256-HEX instead, which must not be cleaned away"


def _read_tags(response: Response) -> tuple[str, ...]:
    try:
        tags = json.loads(response.body).get("tags") or ()
        return tuple(tag for tag in tags if is_tag(tag))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return ()


@dataclass(frozen=True, slots=True)
class _Document:
    """A manifest of the probe."""

    name: str
    subject: Descriptor | None = None

    @property
    def content(self) -> bytes:
        """Its bytes: the same each time, so that a repository that deletes nothing keeps one of each."""
        blob = {"digest": digest_of(_PROBE), "size": len(_PROBE)}
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": PROBE_TYPE,
            "config": {"mediaType": PROBE_TYPE, **blob},
            "layers": [{"mediaType": PROBE_TYPE, **blob}],
            "annotations": {PROBE_TYPE: self.name},
        }
        if self.subject is not None:
            document["subject"] = self.subject.to_json()
        return json.dumps(document, separators=(",", ":")).encode()

    @property
    def descriptor(self) -> Descriptor:
        """What names it elsewhere."""
        return Descriptor(OCI_MANIFEST, digest_of(self.content), len(self.content))


@dataclass(slots=True)
class _Probe:
    """What takes a write: one tag, three manifests, a blob, and one that is mounted."""

    client: RegistryClient
    repository: Repository
    examination: _Examination
    mount_from: Repository | None
    manifests: dict[str, None] = field(default_factory=dict)
    """Digests that were written, those that refer to others last."""
    uploaded: bool = False
    tagged: bool = False

    def run(self) -> None:
        """Write, look, and delete again; also when interrupted."""
        first, second = _Document("first"), _Document("second")
        try:
            present = self.find_tag()
        except (Unauthorized, Forbidden) as error:
            self.note(Capability.PUSH, _NO, error.why, error.remedy)
            return
        except OciError as error:
            self.note(Capability.PUSH, _UNKNOWN, f"not tried, since {PROBE_TAG} cannot be read: {error.why}")
            return
        if present == first.descriptor.digest:
            first, second = second, first
        if present is not None:
            self.manifests[present] = None
        try:
            if self.upload():
                self.mount()
                self.write_manifests(first, second, present)
        except OciError as error:
            self.note(Capability.IMMUTABILITY, _UNKNOWN, error.why)
        finally:
            self.clean()

    def note(self, capability: Capability, answer: Answer, found: str, means: str = "") -> None:
        """See _Examination."""
        self.examination.note(capability, answer, found, means)

    def find_tag(self) -> str | None:
        """What a former probe could not delete. Raises Refused: it is somebody else's; and OciError."""
        found = self.client.find_manifest(self.repository.tag(PROBE_TAG), access=Access.PUSH)
        if found is None:
            return None
        if not isinstance(found, ImageManifest) or PROBE_TYPE not in found.annotations:
            raise Refused(
                f"Cannot probe {self.repository}",
                f"the tag {PROBE_TAG} is there, and is not what a probe has left",
                "Delete that tag, or leave --write out.",
            )
        return found.digest

    def upload(self) -> bool:
        """Push the probe's blob."""
        blob = Descriptor(PROBE_TYPE, digest_of(_PROBE), len(_PROBE))
        self.uploaded = True
        try:
            self.client.upload_blob(self.repository, blob, lambda: io.BytesIO(_PROBE), known_missing=True)
        except (Throttled, Unavailable, InvalidResponse) as error:
            self.note(Capability.UPLOAD, _NO, error.why, error.remedy)
            return False
        except OciError as error:
            means = f"{error.remedy} Some registries want a repository to be created first."
            self.note(Capability.PUSH, _NO, error.why, means)
            self.uploaded = False
            return False
        self.note(Capability.PUSH, _YES, "the probe's blob was taken")
        self.note(Capability.UPLOAD, _YES, f"{blob.size} bytes by POST and PUT")
        return True

    def mount(self) -> None:
        """Mount a blob that another repository has and this one lacks."""
        capability, origin = Capability.MOUNT, self.mount_from
        if origin is None:
            self.note(capability, _UNKNOWN, "not tried; --mount-from REGISTRY/REPOSITORY names what to mount from")
            return
        try:
            digest = next(
                (digest for digest in self.blobs_of(origin) if not self.client.blob_exists(self.repository, digest)),
                None,
            )
            if digest is None:
                self.note(capability, _UNKNOWN, f"{origin} has no blob that is not in {self.repository} too")
                return
            mounted = self.client.mount_blob(self.repository, digest, origin)
        except OciError as error:
            self.note(capability, _UNKNOWN, error.why)
            return
        if mounted:
            # Not deleted: somebody may push an image of it meanwhile.
            self.examination.left.append(f"blob {digest} of {origin}, for the registry to collect")
            self.note(capability, _YES, f"a blob of {origin} was mounted", "layers that apps share are sent once")
        else:
            found = f"the registry does not mount a blob of {origin}"
            self.note(capability, _NO, found, "layers that apps share are sent to each repository")

    def blobs_of(self, origin: Repository) -> Iterator[str]:
        """Some blobs of another repository, small ones first."""
        for tag in self.client.list_tags(origin)[-3:]:
            manifest = self.client.get_manifest(origin.tag(tag))
            if isinstance(manifest, ImageIndex):
                if not manifest.manifests:
                    continue
                manifest = self.client.get_manifest(origin.digest(manifest.manifests[0].digest))
            if isinstance(manifest, ImageManifest):
                blobs = sorted(manifest.blobs, key=lambda blob: blob.size)
                yield from (blob.digest for blob in blobs[:_MOUNT_CANDIDATES])

    def write_manifests(self, first: _Document, second: _Document, present: str | None) -> None:
        """Write the probe's tag, again, and differently; then something that refers to it."""
        refusal = self.put(first)
        if refusal is not None and present is None:
            self.note(Capability.PUSH, _UNKNOWN, f"blobs are taken; the probe's manifest is not: {refusal}")
            return
        kept = first
        if refusal is not None:
            # The tag of a former probe.
            self.note_immutable(refusal, same=None)
            self.client.put_manifest(self.repository.digest(first.descriptor.digest), first.content, OCI_MANIFEST)
        else:
            same, other = self.put(first), self.put(second)
            moved = other is None and self.names(second)
            if moved:
                means = "latest can move; nothing but the release itself keeps a version's tag from moving"
                self.note(Capability.IMMUTABILITY, _NO, "the probe's tag could be overwritten", means)
                kept = second
            else:
                self.note_immutable(other or "the tag did not move", same)
        if self.examination.look_at_head(PROBE_TAG) is not None:
            self.read_back(kept)
        self.refer_to(kept)

    def put(self, document: _Document) -> str | None:
        """Write the probe's tag; the registry's words where it declines. Raises Unanswered."""
        self.tagged = True
        self.manifests[document.descriptor.digest] = None
        try:
            self.client.put_manifest(self.repository.tag(PROBE_TAG), document.content, OCI_MANIFEST)
        except (Declined, Forbidden) as error:
            return error.why
        return None

    def names(self, document: _Document) -> bool:
        """Whether the probe's tag comes to name that manifest."""
        found = self.client.poll(
            lambda: self.client.head_manifest(self.repository.tag(PROBE_TAG), access=Access.PUSH),
            lambda found: found is not None and found.digest == document.descriptor.digest,
            f"{PROBE_TAG} does not name yet what was written",
            _LAG_SECONDS,
        )
        return found is not None and found.digest == document.descriptor.digest

    def note_immutable(self, words: str, same: str | None) -> None:
        """The registry keeps tags as they are."""
        again = "; the same digest again is refused, too" if same is not None else ""
        means = "latest cannot move: the registry makes tags immutable; leave latest out with --latest never"
        self.note(Capability.IMMUTABILITY, _YES, f"{words}{again}", means)

    def read_back(self, document: _Document) -> None:
        """See that the digest names what was written."""
        try:
            self.client.get_manifest(self.repository.digest(document.descriptor.digest), access=Access.PUSH)
        except OciError as error:
            self.note(Capability.DIGESTS, _NO, f"what was written cannot be read by its digest: {error.why}")

    def refer_to(self, subject: _Document) -> None:
        """Write a manifest that refers to the probe, and see whether the registry lists it."""
        document = _Document("referrer", subject.descriptor)
        digest = document.descriptor.digest
        reference = self.repository.digest(digest)
        capability = Capability.REFERRERS
        self.manifests[digest] = None
        try:
            told = self.client.put_referrer(reference, document.content, OCI_MANIFEST, subject.descriptor.digest)
            listed = self.client.poll(
                lambda: self.client.get_referrers(self.repository, subject.descriptor.digest, access=Access.PUSH),
                lambda found: found is None or any(each.digest == digest for each in found),
                "what was just written is not listed yet",
                _LAG_SECONDS,
            )
        except Declined as error:
            self.note(
                capability, _NO, f"a manifest with a subject is refused: {error.why}", "release with --no-provenance"
            )
            return
        except OciError as error:
            self.note(capability, _UNKNOWN, error.why)
            return
        if listed is None:
            self.note(capability, _NO, "there is no such list", _KEPT_LIST)
        elif not any(each.digest == digest for each in listed):
            found = "the registry answers with a list that lacks what was just written"
            self.note(capability, _NO, found, _KEPT_LIST if not told else "provenance would not be found there")
        elif not told:
            self.note(capability, _YES, "listed, but the write was not answered with OCI-Subject", _KEPT_LIST)
        else:
            self.note(capability, _YES, "what was written was listed at once", "provenance is listed there")

    def clean(self) -> None:
        """Delete what was written, and find out by it what can be deleted."""
        if self.tagged:
            self.delete_tag()
        for digest in reversed(self.manifests):
            self.delete_manifest(digest)
        if self.tagged and self.has_tag():
            self.examination.left.append(f"tag {self.repository.tag(PROBE_TAG)}")
        if self.uploaded and not self.delete_blob():
            self.examination.left.append(f"blob {digest_of(_PROBE)}, for the registry to collect")

    def delete_tag(self) -> None:
        """Delete the probe's tag."""
        capability, tag = Capability.TAG_DELETION, self.repository.tag(PROBE_TAG)
        try:
            named = self.client.head_manifest(tag, access=Access.PUSH)
            if named is None:
                return
            self.client.delete_manifest(tag)
            if self.has_tag():
                self.note(capability, _NO, "the registry says that it has deleted the tag, and has it still")
                return
            kept = self.client.head_manifest(self.repository.digest(named.digest), access=Access.PUSH)
        except OciError as error:
            means = "a tag cannot be taken back by this program's means, only by the registry's own"
            self.note(capability, _NO, error.why, means)
            return
        if kept is not None:
            self.note(capability, _YES, "the tag alone; its manifest stays")
        else:
            means = "who deletes a tag deletes the image with all its other tags"
            self.note(capability, _YES, "together with the manifest that it names", means)

    def delete_manifest(self, digest: str) -> None:
        """Delete a manifest of the probe, by digest."""
        capability, reference = Capability.MANIFEST_DELETION, self.repository.digest(digest)
        try:
            if not self.client.manifest_exists(reference, access=Access.PUSH):
                return
            self.client.delete_manifest(reference)
        except OciError as error:
            self.examination.left.append(f"manifest {reference}")
            self.note(capability, _NO, error.why, "old images go only by the registry's own means")
        else:
            self.note(capability, _YES, "by digest, with the tags that name it")

    def has_tag(self) -> bool:
        """Whether the probe's tag is there still, as far as one can know."""
        try:
            return self.client.manifest_exists(self.repository.tag(PROBE_TAG), access=Access.PUSH)
        except OciError:
            return True

    def delete_blob(self) -> bool:
        """Delete the probe's blob, and tell whether it is gone."""
        try:
            self.client.delete_blob(self.repository, digest_of(_PROBE))
        except NotFound:
            return True
        except OciError:
            return False
        return True
