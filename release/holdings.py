"""What registries hold of apps: the images that were asked for, and which tag names which digest. It only reads.

The questions about all apps and registries go side by side in three stretches, since each needs the answers of the one
before: the images that were asked for and the lists of tags; what the newest versions and `latest` name; whether what
they name is complete.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TypeVar

from release.app import App, repository_of
from release.app_release import Outside, connections
from release.config import Config
from release.inspection import Inspector
from release.request import Question
from release.tags import TagTemplates
from tools.oci.client import Access, RegistryClient
from tools.oci.errors import OciError
from tools.oci.inspection import Inspection, Verdict
from tools.oci.parallel import run_all
from tools.oci.reference import Repository
from tools.oci.tags import read_tag

Answer = TypeVar("Answer")

Named = str | OciError | None
"""What a tag names: a digest; None where it is not there; or why that is not known."""


@dataclass(frozen=True, slots=True)
class Place:
    """A registry of the configuration, where an app's images belong."""

    registry: str
    required: bool
    repository: Repository | None
    """None where a variable of the environment is not set, so that the registry is not configured."""

    def __str__(self) -> str:
        return str(self.repository or self.registry)


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether an image that was asked for is in one registry. `reason` is empty where it is present."""

    tag: str
    verdict: Verdict
    digest: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one registry holds of an app."""

    place: Place
    findings: tuple[Finding, ...]
    tags: Mapping[str, Named]
    """What each tag of AppHoldings.tags names there; empty where the registry is not configured."""
    images: Mapping[str, Inspection]
    """By digest, what the tags name."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A tag that does not name one and the same digest everywhere; None: it is not there."""

    tag: str
    names: Mapping[str | None, tuple[Place, ...]]


@dataclass(frozen=True, slots=True)
class AppHoldings:
    """What the registries hold of one app."""

    app: str
    asked: tuple[str, ...]
    """The tags that were asked for."""
    tags: tuple[str, ...]
    """The tags that were looked at: those, `latest`, and the newest versions of all registries, newest first."""
    older: int
    """How many versions were not looked at."""
    holdings: tuple[Holding, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of the required registries: unknown, then absent, then incomplete, then present."""
        found = {finding.verdict for finding in self._decisive}
        worst_first = (Verdict.UNKNOWN, Verdict.ABSENT, Verdict.INCOMPLETE)
        return next((verdict for verdict in worst_first if verdict in found), Verdict.PRESENT)

    @property
    def is_one_image(self) -> bool:
        """Whether all that was asked for and is known is one digest in the required registries."""
        return len({finding.digest for finding in self._decisive if finding.digest}) <= 1

    @property
    def differences(self) -> tuple[Difference, ...]:
        """The tags in which registries differ from each other, as far as their answers are known."""
        found = []
        for tag in self.tags:
            names: dict[str | None, tuple[Place, ...]] = {}
            for holding in self.holdings:
                named = holding.tags.get(tag)
                if tag in holding.tags and not isinstance(named, OciError):
                    names[named] = (*names.get(named, ()), holding.place)
            if len(names) > 1:
                found.append(Difference(tag, names))
        return tuple(found)

    @property
    def _decisive(self) -> list[Finding]:
        return [finding for holding in self.holdings if holding.place.required for finding in holding.findings]


@dataclass(frozen=True, slots=True)
class Stock:
    """What the registries hold of all apps, and how many requests it took to learn that."""

    apps: tuple[AppHoldings, ...]
    requests: int


def take_stock(wanted: Sequence[tuple[Question, App | None]], config: Config, outside: Outside, versions: int) -> Stock:
    """Ask the registries about apps, with one client of each.

    Args:
        wanted: what is asked of which app, which is left out where the question has a repository. What is asked for is
            the image of its commit and that of its version; without either that of `latest`.
        config: the settings.
        outside: how registries are reached.
        versions: how many versions are looked at, from the newest on. With R manifests in an index, a repository costs
            at most one request for the list of tags, one for each tag and 1 + R for each digest.

    Returns:
        What was found. What could not be learnt is a part of it, and no error.
    """
    at_once = connections(len(wanted))
    with contextlib.ExitStack() as stack:
        clients: dict[str, RegistryClient] = {}

        @cache
        def connect(registry: str) -> RegistryClient:
            clients[registry] = stack.enter_context(outside.connect(registry, at_once))
            return clients[registry]

        inquiries = [_inquire(question, app, config, outside, connect) for question, app in wanted]

        def together(stretch: Callable[[_Inquiry, _Shelf], list[Callable[[], None]]]) -> None:
            # The registries take turns, so that a slow one does not keep the others waiting.
            tasks = [task for inquiry in inquiries for shelf in inquiry.shelves for task in stretch(inquiry, shelf)]
            run_all(tasks, at_once=at_once * max(1, len(clients)))

        together(_ask_images)
        for inquiry in inquiries:
            inquiry.choose_tags(versions)
        together(_ask_tags)
        together(_ask_completeness)
        requests = sum(client.traffic.total for client in clients.values())
        return Stock(tuple(inquiry.conclude() for inquiry in inquiries), requests)


@dataclass(slots=True)
class _Shelf:
    """What is learnt of one registry's repository."""

    place: Place
    repository: Repository
    inspector: Inspector
    asked: dict[str, Inspection] = field(default_factory=dict)
    listed: tuple[str, ...] | OciError = ()
    tags: dict[str, Named] = field(default_factory=dict)
    images: dict[str, Inspection] = field(default_factory=dict)


@dataclass(slots=True)
class _Inquiry:
    """The questions about one app."""

    app: str
    asked: tuple[str, ...]
    templates: TagTemplates
    places: tuple[Place, ...]
    shelves: list[_Shelf]
    """Of the places that are configured."""
    tags: tuple[str, ...] = ()
    older: int = 0

    def choose_tags(self, count: int) -> None:
        """Choose the tags to look at. The same everywhere: otherwise registries would seem to differ."""
        listed = [tag for shelf in self.shelves if isinstance(shelf.listed, tuple) for tag in shelf.listed]
        versions = sorted(self.templates.versions(tuple(listed)), reverse=True)
        newest = [self.templates.version_tag(version) for version in versions[:count]]
        self.tags = tuple(dict.fromkeys((*self.asked, self.templates.latest, *newest)))
        self.older = len([v for v in versions[count:] if self.templates.version_tag(v) not in self.tags])

    def conclude(self) -> AppHoldings:
        """What was found."""
        shelves = {shelf.place: shelf for shelf in self.shelves}
        holdings = tuple(self._holding(place, shelves.get(place)) for place in self.places)
        return AppHoldings(self.app, self.asked, self.tags, self.older, holdings)

    def _holding(self, place: Place, shelf: _Shelf | None) -> Holding:
        if shelf is None:
            reason = f"{place.registry} is not configured: a variable of its name is not set"
            return Holding(place, tuple(Finding(tag, Verdict.UNKNOWN, None, reason) for tag in self.asked), {}, {})
        findings = [
            Finding(tag, found.verdict, found.digest, found.reason)
            for tag, found in ((tag, shelf.asked[tag]) for tag in self.asked)
        ]
        return Holding(place, tuple(findings), {tag: shelf.tags[tag] for tag in self.tags}, shelf.images)


def _inquire(
    question: Question, app: App | None, config: Config, outside: Outside, connect: Callable[[str], RegistryClient]
) -> _Inquiry:
    templates = config.tags
    asked = tuple(
        tag
        for tag in (
            templates.commit_tag(question.commit) if question.commit else None,
            templates.version_tag(question.version) if question.version else None,
        )
        if tag is not None
    )
    places = _places(question, app, config, outside.environment)
    platforms = app.platforms if app else config.platforms
    shelves = [
        _Shelf(place, place.repository, Inspector(connect(place.repository.registry), platforms, Access.PULL))
        for place in places
        if place.repository is not None
    ]
    name = app.full_name if app else question.app
    return _Inquiry(name, asked or (templates.latest,), templates, places, shelves)


def _places(question: Question, app: App | None, config: Config, environment: Mapping[str, str]) -> tuple[Place, ...]:
    repository = question.repository
    if repository is None:
        assert app is not None, "where the repository is not given, the app has been looked up"
        repository = repository_of(app, question, config, environment)
    first = Place(repository.registry, True, repository)
    if app is None or question.one_registry:
        return (first,)
    further = (Place(each.registry, each.required, each.resolve(app.full_name, environment)) for each in config.further)
    return (first, *further)


def _ask_images(inquiry: _Inquiry, shelf: _Shelf) -> list[Callable[[], None]]:
    def inspect(tag: str) -> None:
        shelf.asked[tag] = shelf.inspector.inspect(shelf.repository.tag(tag))

    def list_tags() -> None:
        shelf.listed = _answer(partial(shelf.inspector.client.list_tags, shelf.repository))

    return [*(partial(inspect, tag) for tag in inquiry.asked), list_tags]


def _ask_tags(inquiry: _Inquiry, shelf: _Shelf) -> list[Callable[[], None]]:
    """Read the tags that are listed. Where there is no list, `latest` is worth a try if the registry answers at all."""
    tasks: list[Callable[[], None]] = []
    answers = any(found.verdict is not Verdict.UNKNOWN for found in shelf.asked.values())
    latest = inquiry.templates.latest

    def read(tag: str) -> None:
        client, reference = shelf.inspector.client, shelf.repository.tag(tag)
        shelf.tags[tag] = _answer(lambda: read_tag(client, reference, likely=True, access=Access.PULL).digest)

    for tag in inquiry.tags:
        if (found := shelf.asked.get(tag)) is not None:
            shelf.tags[tag] = found.error or found.digest
        elif isinstance(shelf.listed, OciError) and not (tag == latest and answers):
            shelf.tags[tag] = shelf.listed
        elif isinstance(shelf.listed, tuple) and tag not in shelf.listed:
            shelf.tags[tag] = None
        else:
            tasks.append(partial(read, tag))
    return tasks


def _ask_completeness(inquiry: _Inquiry, shelf: _Shelf) -> list[Callable[[], None]]:
    """Inspect each digest that a tag names, unless it was inspected under the tag."""
    shelf.images = {found.digest: found for found in shelf.asked.values() if found.digest is not None}
    digests = dict.fromkeys(named for named in shelf.tags.values() if isinstance(named, str))

    def inspect(digest: str) -> None:
        shelf.images[digest] = shelf.inspector.inspect(shelf.repository.digest(digest))

    return [partial(inspect, digest) for digest in digests if digest not in shelf.images]


def _answer(question: Callable[[], Answer]) -> Answer | OciError:
    try:
        return question()
    except OciError as error:
        return error
