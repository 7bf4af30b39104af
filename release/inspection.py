"""What the registry holds before anything is done: the commit's image, the tags to write, the versions there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from release.config import Config
from release.request import LatestPolicy, Request
from release.tags import TagTemplates
from release.version import Version
from tools.oci.client import Access, RegistryClient
from tools.oci.errors import Unanswered
from tools.oci.inspection import Inspection, Verdict, inspect_index
from tools.oci.manifest import Platform
from tools.oci.parallel import run_all
from tools.oci.reference import Reference, Repository
from tools.oci.tags import TagState, read_tag

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Names:
    """The references that a release writes, and how versions are recognised among other tags."""

    commit: Reference | None
    version: Reference | None
    latest: Reference | None
    templates: TagTemplates


@dataclass(frozen=True, slots=True)
class Observation:
    """What the registry answered. A question that was not asked is None; one without an answer is its error."""

    commit: Inspection | None
    version: TagState | Unanswered | None
    latest: TagState | Unanswered | None
    versions: frozenset[Version] | Unanswered | None


@dataclass(frozen=True, slots=True)
class Inspector:
    """Inspects images, each reference once: a second question about it costs no request."""

    client: RegistryClient
    platforms: tuple[Platform, ...] = Config().platforms
    access: Access = Access.PULL
    referrers: bool = False
    """Whether what refers to an image is asked for as well."""
    known: dict[Reference, Inspection] = field(default_factory=dict)

    def inspect(self, reference: Reference) -> Inspection:
        """See `inspect_index`."""
        if reference not in self.known:
            self.known[reference] = inspect_index(
                self.client, reference, self.platforms, access=self.access, referrers=self.referrers
            )
        return self.known[reference]


def check_image_exists_in_registry(image_ref: str, inspector: Inspector | None = None) -> bool:
    """Whether a complete image index is there. Whatever else is the case, or cannot be learnt, is False.

    It is asked by HTTP, since `docker manifest inspect` gives the same status to every trouble.
    """
    reference = Reference.parse(image_ref)
    if inspector is not None:
        return inspector.inspect(reference).verdict is Verdict.PRESENT
    with RegistryClient(reference.repository.registry) as client:
        return Inspector(client).inspect(reference).verdict is Verdict.PRESENT


def names_of(request: Request, repository: Repository, templates: TagTemplates) -> Names:
    """The references of a release: without a version, only the commit's."""
    return Names(
        commit=repository.tag(templates.commit_tag(request.commit)) if request.commit else None,
        version=repository.tag(templates.version_tag(request.version)) if request.version else None,
        latest=repository.tag(templates.latest) if request.version else None,
        templates=templates,
    )


def observe(request: Request, names: Names, inspector: Inspector) -> Observation:
    """Ask all that a release has to know, at the same time."""
    client, access = inspector.client, inspector.access

    def commit() -> Inspection | None:
        if names.commit is None:
            return None
        check_image_exists_in_registry(str(names.commit), inspector)
        return inspector.inspect(names.commit)

    def version() -> TagState | Unanswered | None:
        # A version is new, as a rule; `latest` is there already.
        reference = names.version
        return None if reference is None else _answer(lambda: read_tag(client, reference, access=access))

    def latest() -> TagState | Unanswered | None:
        reference = names.latest
        return None if reference is None else _answer(lambda: read_tag(client, reference, likely=True, access=access))

    def versions() -> frozenset[Version] | Unanswered | None:
        if names.version is None or request.latest is not LatestPolicy.NEWEST:
            return None
        repository = names.version.repository
        return _answer(lambda: names.templates.versions(client.list_tags(repository, access=access)))

    def connect_ahead() -> None:
        # A version's commit is there, as a rule, and is then looked into by more requests at once than these.
        if names.commit is not None and names.version is not None:
            client.connect_ahead(client.max_connections - len(questions))

    questions: list[Callable[[], Any]] = [commit, version, latest, versions]
    *answers, _ = run_all([*questions, connect_ahead], at_once=client.max_connections)
    return Observation(*answers)


def _answer(question: Callable[[], Answer]) -> Answer | Unanswered:
    try:
        return question()
    except Unanswered as error:
        return error
