"""Releases from the request to the record: request -> app -> inspect -> plan -> act -> verify -> record.

All apps go through each stretch side by side: first as far as they come without a build, then one build of all that
need one, then their pushes. One that fails stops no other.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial

from release.app import App, repository_of
from release.app_release import AppRelease, BuildNeeded, Other, Outside, connections, look_up
from release.config import Config
from release.errors import ReleaseError
from release.inspection import names_of
from release.plan import Way
from release.record import Outcome, Record
from release.request import Request
from tools.oci.client import RegistryClient
from tools.oci.errors import OciError
from tools.oci.parallel import run_all
from tools.oci.reference import Repository
from tools.oci.retrying import Meter, metered


def tag_and_push_image(request: Request, config: Config, outside: Outside) -> Record:
    """Release an app: give the image of its commit the release's tags, building it first where there is none.

    Raises ReleaseError or OciError; `errors.exit_status` tells the kinds apart.
    """
    app = None
    if request.repository is None:
        app = look_up(request.app, config, outside)
    (outcome,) = release_apps([(request, app)], config, outside)
    if outcome.error is not None:
        raise outcome.error
    assert outcome.record is not None, "a release has a record or an error"
    return outcome.record


def release_apps(wanted: Sequence[tuple[Request, App | None]], config: Config, outside: Outside) -> tuple[Outcome, ...]:
    """Release apps side by side, in one process and with one build at most.

    Args:
        wanted: what to release, all of one commit; and the app, unless the repository is given.
        config: the settings.
        outside: all that is read and changed outside of this program.

    Returns:
        What became of each, in the order of `wanted`.
    """
    many = len(wanted) > 1
    at_once = connections(len(wanted))
    with contextlib.ExitStack() as stack:
        # A client of each registry, with one pace and one pool of connections for all apps.
        connect = cache(lambda registry: stack.enter_context(outside.connect(registry, at_once)))
        journeys = [_depart(request, app, config, outside, connect, many=many) for request, app in wanted]
        begun = run_all([partial(journey.go, journey.release.begin) for journey in journeys], at_once=at_once)
        stages: dict[_Journey, Stage] = dict(zip(journeys, begun, strict=True))
        waiting = {journey: stage for journey, stage in stages.items() if isinstance(stage, BuildNeeded)}
        if waiting:
            stages |= _build_and_push(waiting, outside, at_once)
        return tuple(journey.arrive(stage) for journey, stage in stages.items())


_BUILDING = {
    Way.BUILD: "Building OCI image index with platform transitions...",
    Way.FALLBACK: "Rebuilding image...",
    Way.PUBLISH: "Publishing the artifact's image...",
}

Stage = Record | BuildNeeded | ReleaseError | OciError
"""How far a release has come."""


@dataclass(frozen=True, slots=True, eq=False)
class _Journey:
    """A release on its way, and what is measured of it."""

    release: AppRelease
    meter: Meter = field(default_factory=Meter)
    started: float = field(default_factory=time.monotonic)

    def go(self, stretch: Callable[[], Record | BuildNeeded]) -> Stage:
        """Go one stretch, and return its error rather than raise it."""
        with metered(self.meter):
            try:
                return stretch()
            except (ReleaseError, OciError) as error:
                return error

    def arrive(self, stage: Stage) -> Outcome:
        """What became of it."""
        assert not isinstance(stage, BuildNeeded), "whatever needs a build has been built, or has failed"
        release = self.release
        name = release.app.full_name if release.app else release.request.app
        traffic, seconds = self.meter.traffic, time.monotonic() - self.started
        if not isinstance(stage, Record):
            return Outcome(release.request, name, release.repository, None, stage, traffic, seconds)
        record = replace(stage, app=name, traffic=traffic, seconds=seconds)
        failed = next((copy.error for copy in record.copies if copy.required and copy.error), None)
        return Outcome(release.request, name, release.repository, record, failed)


def _depart(
    request: Request,
    app: App | None,
    config: Config,
    outside: Outside,
    connect: Callable[[str], RegistryClient],
    *,
    many: bool,
) -> _Journey:
    repository = request.repository
    if repository is None:
        assert app is not None, "where the repository is not given, the app has been looked up"
        repository = repository_of(app, request, config, outside.environment)
    if many:
        outside = replace(outside, console=outside.console.about(app.full_name if app else request.app))

    def release_to(place: Repository, others: tuple[Other, ...] = ()) -> AppRelease:
        names = names_of(request, place, config.tags)
        return AppRelease(request, config, outside, place, names, connect(place.registry), app, others)

    others = []
    if app is not None and not request.one_registry:
        for each in config.further:
            place = each.resolve(app.full_name, outside.environment)
            others.append(Other(each.registry, each.required, release_to(place) if place else None))
    return _Journey(release_to(repository, tuple(others)))


def _build_and_push(waiting: Mapping[_Journey, BuildNeeded], outside: Outside, at_once: int) -> dict[_Journey, Stage]:
    """Build all that is needed in one go, and push it. Returns how far each has come."""
    request = next(iter(waiting)).release.request
    try:
        with outside.workshop().builder(request.commit, request.checkout) as builder:
            for journey, needed in waiting.items():
                journey.release.say(_BUILDING[needed.way])
            built = builder.prepare([needed.app.image for needed in waiting.values()])
            pushed = run_all(
                [partial(journey.go, partial(needed.finish, built)) for journey, needed in waiting.items()],
                at_once=at_once,
            )
            return dict(zip(waiting, pushed, strict=True))
    except (ReleaseError, OciError) as error:
        return dict.fromkeys(waiting, error)
