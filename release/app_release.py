"""The release of one app: inspect -> plan -> act -> verify -> record.

Each step is a module of its own. What they read and change outside of this program is handed to them in `Outside`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from release.action import TagResult, build_image, push_image_with_tags, retag
from release.app import App, choose_app
from release.config import Config
from release.console import Console
from release.destination import CopyResult, NotConfigured, RepositoryBlobs
from release.engine import Engine, RegistryApi, choose_engine
from release.errors import Refused, ReleaseError, TaggingError
from release.inspection import Inspector, Names, Observation, observe
from release.plan import Plan, Step, TagPlan, Way, make_plan, plan_tags, survey_tags
from release.provenance import Attestor, ProvenancePlan, Source, not_written
from release.record import Record
from release.request import EngineName, Request
from release.verification import settle_latest
from tools.oci.client import Access, RegistryClient
from tools.oci.errors import OciError, TagConflict, Unanswered
from tools.oci.inspection import Inspection, Verdict
from tools.oci.manifest import Manifest
from tools.oci.parallel import run_all
from tools.oci.publication import rehearse_push
from tools.oci.reference import Reference, Repository

if TYPE_CHECKING:
    # Neither Bazel nor git is needed to re-tag.
    from release.builder import Builder
    from release.built_image import BuiltImage
    from release.workshop import Workshop


def connections(apps: int) -> int:
    """How many requests go to a registry at the same time."""
    return 32 if apps > 1 else 8


@dataclass(frozen=True, slots=True)
class Outside:
    """All that a release reads and changes outside of this program."""

    console: Console
    connect: Callable[[str, int], RegistryClient]
    """Makes the client of a registry, HOST[:PORT], with so many connections."""
    workshop: Callable[[], Workshop]
    """Called only when an app has to be looked up or built."""
    source: Callable[[str], Source]
    """Looks a commit up in git; called only when its provenance is written. Raises Refused."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class AppRelease:
    """The release of one app under way: begun, and finished once its image is built, if that is needed."""

    request: Request
    config: Config
    outside: Outside
    repository: Repository
    names: Names
    client: RegistryClient
    app: App | None
    """None as long as the app did not have to be looked up, since the repository was given."""
    others: tuple[Other, ...] = ()
    """The further registries."""

    def begin(self) -> Record | BuildNeeded:
        """Inspect, plan, and act as far as nothing has to be built for that."""
        # A token that may push serves the questions and the writes.
        observation = self.observe(Access.PULL if self.request.dry_run else Access.PUSH)
        found = observation.commit
        if self.app is None and found and found.verdict is Verdict.INCOMPLETE and not self.request.no_build:
            # What the configuration says of platforms is a guess; the app knows, and may find the image complete.
            app = look_up(self.request.app, self.config, self.outside)
            return replace(self, app=app).begin()
        plan = make_plan(self.request, self.names, observation)
        if self.request.dry_run:
            return self.rehearse(plan, observation)
        if plan.way is Way.PUBLISH:
            return self.need_build(plan.way, observation)
        self.announce(plan, found)
        if plan.way is Way.RETAG and found:
            return self.retag(found, plan.tags, observation)
        return self.need_build(Way.BUILD, observation)

    def announce(self, plan: Plan, found: Inspection | None) -> None:
        """Say what was found, and what that leads to."""
        if plan.warning:
            self.outside.console.warn(f"{plan.warning}; will build")
        elif found and found.verdict is Verdict.PRESENT:
            self.say(f"✅ Found existing image for commit {self.request.short_commit}: {found.reference}")
        elif found:
            self.say(f"No existing image found for commit {self.request.short_commit}, will build")

    def retag(self, found: Inspection, tags: tuple[TagPlan, ...], observation: Observation) -> Record | BuildNeeded:
        """See that the image that was found has its provenance, then give it its other tags."""
        if self.request.version is not None:
            self.say("Optimizing: Re-tagging existing image instead of rebuilding")
        if not self.others:
            return self.retag_first(found, tags, observation)
        import tempfile  # Neither is needed to re-tag.

        from release.built_image import BuiltImage

        assert found.manifest is not None, "an image that is present has been read"
        with tempfile.TemporaryDirectory(prefix="slipway-copy-") as folder:
            blobs = RepositoryBlobs(self.client, self.repository, Path(folder))
            copies = self.prepare_copies(BuiltImage(str(found.reference), found.manifest, blobs))
            record = self.retag_first(found, tags, observation)
            return record if isinstance(record, BuildNeeded) else self.write_copies(record, copies)

    def retag_first(
        self, found: Inspection, tags: tuple[TagPlan, ...], observation: Observation
    ) -> Record | BuildNeeded:
        """Re-tag in the first registry."""
        provenance = self.attest_present(found)
        record: Record | BuildNeeded
        if self.request.version is not None:
            record = self.retag_version(found, tags, observation)
            if isinstance(record, BuildNeeded):
                return record
        else:
            if provenance is None or provenance.step is not Step.WRITE:
                self.say("Nothing to do: without a version, the commit's tag is the only one")
            record = self.tag_with(RegistryApi(self.client), found, tags, observation)
        return replace(record, provenance=provenance or record.provenance)

    def attest_present(self, found: Inspection) -> ProvenancePlan | None:
        """Add the provenance that the image of the commit lacks.

        Where the registry does not take it that is a warning: the image is published, as of that commit, and another
        name for it is all that was asked for. A key that cannot be used is an error, of this machine's settings.
        """
        attestor = self.attestor
        if attestor is None or found.manifest is None:
            return None
        try:
            plan = attestor.plan(found.manifest, attestor.read, found.referrers)
            self.attest(attestor, plan)
        except (OciError, Refused) as error:
            self.outside.console.warn(
                f"The provenance of commit {self.request.short_commit} is missing, and tagging goes on: "
                f"{error.what}: {error.why}"
            )
            return None
        return plan

    def attest(self, attestor: Attestor, plan: ProvenancePlan) -> None:
        """Write the provenance, if it is not there. Raises OciError."""
        attestor.write(plan)
        if plan.step is Step.WRITE:
            signed = "signed provenance" if plan.signed else "provenance"
            self.say(f"✅ Added {signed} of commit {self.request.short_commit}")

    def retag_version(
        self, found: Inspection, tags: tuple[TagPlan, ...], observation: Observation
    ) -> Record | BuildNeeded:
        """Tag by the engine that was asked for, or answer its failure."""
        say, request = self.say, self.request
        engine = choose_engine(request.engine, self.client, found.manifest, insecure=request.insecure, say=say)
        try:
            record = self.tag_with(engine, found, tags, observation)
        except TaggingError as error:
            if engine.name is EngineName.REGISTRY:
                raise  # A build would be pushed by the same client.
            return self.fall_back(error, found, observation)
        say(f"Successfully tagged {self.title} from existing commit image")
        return record

    def fall_back(self, error: TaggingError, found: Inspection, first: Observation) -> Record | BuildNeeded:
        """imagetools has failed: build again where this tree may build the commit, else ask the registry itself."""
        with contextlib.suppress(Unanswered):
            # It may have written the version tag first, or somebody else has: another image there ends the matter.
            plan_tags(self.request, self.names, self.observe(Access.PUSH), str(found.digest))
        try:
            if self.request.no_build:
                raise Refused("Refused to build", "--no-build is given", "Leave it out.")
            self.outside.workshop().check_may_build(self.request.commit, self.request.checkout)
        except ReleaseError as refusal:
            return self.last_resort(error, refusal, found)
        self.say(f"Failed to tag existing image, falling back to rebuild: {error.why}")
        return self.need_build(Way.FALLBACK, first)

    def last_resort(self, error: TaggingError, refusal: ReleaseError, found: Inspection) -> Record:
        """imagetools has failed, and nothing may be built here."""
        self.say(f"Failed to tag existing image: {error.why}")
        self.say(f"No rebuild, since {refusal.why}; asking the registry itself instead")
        try:
            observation = self.observe(Access.PUSH)
            tags = plan_tags(self.request, self.names, observation, str(found.digest))
            record = self.tag_with(RegistryApi(self.client, found.manifest), found, tags, observation)
        except (Refused, TagConflict):
            raise
        except (ReleaseError, OciError) as second:
            raise ReleaseError(
                f"Cannot tag {self.title}",
                f"{error.what}: {error.why}; the registry itself: {second.what}: {second.why}",
                second.remedy,
            ) from None
        self.say(f"Successfully tagged {self.title} from existing commit image")
        return record

    def tag_with(
        self, engine: Engine, found: Inspection, tags: tuple[TagPlan, ...], observation: Observation
    ) -> Record:
        """Re-tag by digest: what is tagged is what was inspected, whatever becomes of the commit's tag meanwhile."""
        source = self.repository.digest(str(found.digest))
        results = retag(source, tags, engine, self.client, self.settle(observation), self.say)
        record = self.record(Way.RETAG, observation, results)
        return replace(record, manifest=found.manifest, engine=engine.name if self.request.version else None)

    def need_build(self, way: Way, first: Observation) -> BuildNeeded:
        """What a build has to make; `first` is what led to that. Raises ReleaseError where it would be in vain."""
        app = self.app or look_up(self.request.app, self.config, self.outside)
        known = replace(self, app=app)
        if known.attestor is not None:
            known.attestor.check()
        return BuildNeeded(known, app, way, first)

    def push(self, needed: BuildNeeded, builder: Builder) -> Record:
        """Build the image, or take it from a builder that has, and push it with all its tags."""
        if needed.way is Way.PUBLISH:
            image = builder.build(needed.app.image)  # Its platforms were compared when the artifact was read.
        else:
            image = build_image(needed.app.image, builder, needed.app.platforms, self.say)
        publication = self.prepare(image)
        copies = self.prepare_copies(image)
        record = publication.write(needed.way, needed.first)
        after_fallback = " (after fallback)" if needed.way is Way.FALLBACK else ""
        self.say(f"Successfully pushed {self.title}{after_fallback}")
        return self.write_copies(record, copies)

    def prepare(self, image: BuiltImage) -> Publication:
        """Ask what has to be known to push an image, and make what goes with it. Nothing is written."""
        # Asked anew: a build may take long, and what was unknown before has to be known now.
        observation = self.observe(Access.PUSH)
        tags = plan_tags(self.request, self.names, observation, image.digest)
        # Made and signed before anything is written.
        return Publication(self, image, observation, tags, self.plan_provenance(image, observation))

    # Further registries

    def prepare_copies(self, image: BuiltImage) -> list[Copy]:
        """Ask the further registries. Raises the error of a required one: then nothing has been written anywhere."""
        copies = run_all([partial(other.prepare, image) for other in self.others])
        for copy in copies:
            if isinstance(copy.publication, Publication):
                continue
            if copy.other.required:
                raise copy.publication
            self.warn_of(copy.other, copy.publication)
        return copies

    def write_copies(self, record: Record, copies: Sequence[Copy]) -> Record:
        """Copy what was released to the further registries, each whatever becomes of another."""
        return replace(record, copies=tuple(run_all([partial(self.write_copy, copy) for copy in copies])))

    def write_copy(self, copy: Copy) -> CopyResult:
        """Push an image to one further registry."""
        publication, other = copy.publication, copy.other
        if not isinstance(publication, Publication):
            return CopyResult(other.name, other.required, None, publication)
        try:
            written = publication.write(Way.COPY, publication.observation)
        except (ReleaseError, OciError) as error:
            self.warn_of(other, error)
            return CopyResult(other.name, other.required, None, error)
        self.say(f"✅ Copied to {written.repository}")
        return CopyResult(other.name, other.required, written, None)

    def warn_of(self, other: Other, error: ReleaseError | OciError) -> None:
        """Say that a further registry does not get the image."""
        kind = "required" if other.required else "optional"
        self.outside.console.warn(f"not published to the {kind} registry {other.name}: {error.what}: {error.why}")

    def plan_provenance(self, image: BuiltImage, observation: Observation) -> ProvenancePlan | None:
        """Make the provenance of an image that was built."""
        found = observation.commit
        if self.attestor is None:
            return None
        referrers = found.referrers if found and found.digest == image.digest else None
        try:
            return self.attestor.plan(image.manifest, lambda part: image.blobs.read(part.digest), referrers)
        except OciError as error:
            error.remedy += " Or release without provenance: --no-provenance."
            raise

    def attest_built(self, plan: ProvenancePlan | None) -> None:
        """Write the provenance of an image that was just pushed. Raises ReleaseError: then it gets no tag."""
        if self.attestor is None or plan is None:
            return
        try:
            self.attest(self.attestor, plan)
        except OciError as error:
            raise not_written(self.request.short_commit, error) from None

    def rehearse(self, plan: Plan, observation: Observation) -> Record:
        """Say what would be done (`--dry-run`)."""
        found, request = observation.commit, self.request
        self.say("Dry run: nothing is built and nothing is written")
        if found:
            state = found.digest if found.verdict is Verdict.PRESENT else found.reason
            self.say(f"Image of commit {request.short_commit}: {found.verdict.value} ({state})")
        tags = plan.tags or survey_tags(request, self.names, observation)
        for tag in tags:
            self.say(f"  {tag.reference}: {tag.before or 'not there'}; {_intention(tag, plan.digest)}")
        same = found if found and found.digest == plan.digest else None
        provenance = self.rehearse_provenance(same)
        source = same.manifest if same and same.verdict is Verdict.PRESENT else None
        copies = self.rehearse_copies(plan, source)
        if plan.way is Way.BUILD:
            self.outside.workshop().check_may_build(request.commit, request.checkout)
            self.say(f"Would build {self.title}, push it and write these tags")
            self.say("What would be sent is not known before the build")
        elif plan.way is Way.PUBLISH:
            self.say(f"Would push {self.title} out of the artifact and write these tags")
        else:
            self.say(f"Would re-tag {self.title} through {request.engine.value}")
        results = tuple(TagResult(tag.kind, tag.tag, tag.before, _after(tag, plan.digest), tag.step) for tag in tags)
        record = self.record(plan.way, observation, results)
        manifest = same.manifest if same else None
        return replace(record, manifest=manifest, provenance=provenance, copies=copies)

    def rehearse_copies(self, plan: Plan, source: Manifest | None) -> tuple[CopyResult, ...]:
        """Say what would be done in the further registries; `source` is the image, if the first one has it."""
        if not self.others:
            return ()
        import tempfile  # Not needed to re-tag.

        with tempfile.TemporaryDirectory(prefix="slipway-copy-") as folder:
            blobs = RepositoryBlobs(self.client, self.repository, Path(folder), Access.PULL)
            return tuple(run_all([partial(self.rehearse_copy, other, plan, source, blobs) for other in self.others]))

    def rehearse_copy(self, other: Other, plan: Plan, source: Manifest | None, blobs: RepositoryBlobs) -> CopyResult:
        """Say what would be done in one further registry, or why nothing would be."""
        try:
            record = other.configured.rehearse_publication(plan, source, blobs)
        except (ReleaseError, OciError) as error:
            self.warn_of(other, error)
            return CopyResult(other.name, other.required, None, error)
        return CopyResult(other.name, other.required, record, None)

    def rehearse_publication(self, plan: Plan, source: Manifest | None, blobs: RepositoryBlobs) -> Record:
        """Say what a copy to this registry would send and write. Raises ReleaseError or OciError as the copy would."""
        observation, digest = self.observe(Access.PULL), plan.digest
        if digest:
            tags = plan_tags(self.request, self.names, observation, digest)
        else:
            tags = survey_tags(self.request, self.names, observation)
        push = rehearse_push(self.client, self.repository, source.descriptor, blobs) if source else None
        for tag in tags:
            self.say(f"  {tag.reference}: {tag.before or 'not there'}; {_intention(tag, digest)}")
        if push:
            self.say(
                f"  {self.repository}: {push.blobs_present} blobs are there, {push.blobs_mounted} would be mounted and "
                f"{push.blobs_uploaded} sent ({push.bytes_uploaded} bytes), by {push.requests} requests"
            )
        results = tuple(TagResult(tag.kind, tag.tag, tag.before, _after(tag, digest), tag.step) for tag in tags)
        return replace(self.record(Way.COPY, observation, results), manifest=source, push=push)

    def rehearse_provenance(self, found: Inspection | None) -> ProvenancePlan | None:
        """Say what would become of the provenance of an image that was found, or is to be built."""
        attestor, what = self.attestor, f"  provenance of commit {self.request.short_commit}"
        if attestor is None:
            return None
        referrers = found.referrers if found else None
        if isinstance(referrers, OciError):
            self.say(f"{what}: cannot be asked for ({referrers.what}: {referrers.why})")
            return None
        there = attestor.find(referrers) if referrers else None
        if there is not None:
            self.say(f"{what}: {there.digest}; stays")
            return there
        attestor.check()
        self.say(f"{what}: not there; would be {'signed and ' if attestor.signs else ''}written")
        return ProvenancePlan(Step.WRITE, None, attestor.signs)

    # What the steps share

    @property
    def title(self) -> str:
        """What is released, as people call it."""
        name = self.app.name if self.app else self.request.app
        return f"{name} {self.request.version or f'at commit {self.request.short_commit}'}"

    @property
    def attestor(self) -> Attestor | None:
        """What says where the commit's image comes from; None where nothing is to be said."""
        commit, settings = self.request.commit, self.config.provenance
        if commit is None or self.request.no_provenance or not settings.enabled:
            return None
        target = self.app.image if self.app else None
        return Attestor(self.client, self.repository, settings, commit, target, self.outside.source)

    def say(self, line: str) -> None:
        """A line of the log."""
        self.outside.console.say(line)

    def observe(self, access: Access) -> Observation:
        """Ask the registry all that there is to know, anew."""
        platforms = self.app.platforms if self.app else self.config.platforms
        inspector = Inspector(self.client, platforms, access, referrers=self.attestor is not None)
        return observe(self.request, self.names, inspector)

    def settle(self, observation: Observation) -> Callable[[Reference, str], str]:
        """What sees to `latest` after it was written."""

        def settle(latest: Reference, digest: str) -> str:
            version, seen = self.request.version, observation.versions
            assert version is not None, "only a version's release writes `latest`"
            assert not isinstance(seen, Unanswered), "whether `latest` moves was decided by the versions there are"
            return settle_latest(self.client, self.names, latest, digest, version, seen, self.say)

        return settle

    def record(self, way: Way, observation: Observation, tags: tuple[TagResult, ...]) -> Record:
        """The record of what was done; the image is added by who knows it."""
        return Record(
            request=self.request,
            app=self.app.name if self.app else self.request.app,
            repository=self.repository,
            verdict=observation.commit.verdict.value if observation.commit else None,
            way=way,
            manifest=None,
            tags=tags,
        )


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to be written of an image to one repository."""

    release: AppRelease
    image: BuiltImage
    observation: Observation
    tags: tuple[TagPlan, ...]
    provenance: ProvenancePlan | None

    def write(self, way: Way, first: Observation) -> Record:
        """Push the image with its provenance and all its tags. Raises ReleaseError or OciError."""
        release, image = self.release, self.image
        settle = release.settle(self.observation)
        attest = partial(release.attest_built, self.provenance)
        report, results = push_image_with_tags(image, self.tags, release.client, settle, release.say, attest)
        record = release.record(way, first, results)
        return replace(record, manifest=image.manifest, provenance=self.provenance, push=report)


@dataclass(frozen=True, slots=True)
class Other:
    """A further registry of a release; `release` is None where it is not configured."""

    name: str
    required: bool
    release: AppRelease | None

    @property
    def configured(self) -> AppRelease:
        """The release there. Raises NotConfigured."""
        if self.release is None:
            raise NotConfigured(
                f"The registry {self.name} is not configured",
                "a variable of its name is not set in the environment",
                "Set it, or make the registry optional.",
            )
        return self.release

    def prepare(self, image: BuiltImage) -> Copy:
        """Ask it all that has to be known before an image is copied there."""
        try:
            return Copy(self, self.configured.prepare(image))
        except (ReleaseError, OciError) as failure:
            return Copy(self, failure)


@dataclass(frozen=True, slots=True)
class Copy:
    """What is to be written to a further registry, or why nothing can be."""

    other: Other
    publication: Publication | ReleaseError | OciError


@dataclass(frozen=True, slots=True)
class BuildNeeded:
    """A release that cannot go on before its image is built."""

    release: AppRelease
    app: App
    way: Way
    first: Observation
    """What led to that."""

    def finish(self, builder: Builder) -> Record:
        """Go on with the image that the builder has. Raises ReleaseError or OciError."""
        return self.release.push(self, builder)


def look_up(name: str, config: Config, outside: Outside) -> App:
    """The app of that name in the workspace. Raises ReleaseError."""
    return choose_app(name, outside.workshop().apps(config), config.apps)


def _intention(tag: TagPlan, digest: str | None) -> str:
    if tag.step is Step.ALREADY:
        return "stays, since it is the image to release"
    if tag.step is Step.STAY:
        return tag.note
    return f"would be written as {digest}" if digest else "would be written, or refused if it may not move"


def _after(tag: TagPlan, digest: str | None) -> str | None:
    return tag.before if tag.step is Step.STAY else digest
