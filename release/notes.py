"""What release notes say of images: which are published under which names, out of the records of their releases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from release.errors import InvalidRequest, Refused
from release.record_file import Missing, Place, RecordedRelease
from release.version import Version

_PLAIN = re.compile(r"[A-Za-z0-9]+(?:[-_]+[A-Za-z0-9]+)*", re.ASCII)
"""Texts in which Markdown finds nothing but letters."""
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class AppNotes:
    """What there is to say of one app: where its image is, and where it is not; or why it is nowhere."""

    app: str
    version: Version
    places: tuple[Place, ...]
    missing: tuple[Missing, ...]
    error: str | None


def gather(releases: Sequence[RecordedRelease], version: Version | None) -> tuple[AppNotes, ...]:
    """Put together what records say, ordered by app, so that it does not matter in which order they were named.

    A release that failed in one record may be finished in another: what has been published once counts.

    Args:
        releases: of all the records.
        version: what all of them have to be of; None: each is of its own.

    Raises:
        InvalidRequest: they are not about versions, or not about this one.
        Refused: they do not say what is published, or contradict each other.
    """
    if not releases:
        raise InvalidRequest("Nothing to note", "the records name no app", "Name the records of a release.")
    by_app: dict[tuple[str, Version], list[RecordedRelease]] = {}
    for release in releases:
        what = f"Cannot use {release.source} for release notes"
        if release.dry_run:
            raise Refused(
                what,
                f"it says of {_word(release.app)} what a dry run would have done",
                "Name the record of the release itself.",
            )
        if release.version is None or version not in (None, release.version):
            of = f"of {release.version}" if release.version else "by commit alone"
            raise InvalidRequest(
                what,
                f"its release of {_word(release.app)} is {of}" + (f", not of {version}" if version else ""),
                "Name the records of one version, or leave out VERSION if each app has its own.",
            )
        by_app.setdefault((release.app, release.version), []).append(release)
    return tuple(_merge(app, of, by_app[app, of]) for app, of in sorted(by_app))


def _merge(app: str, version: Version, releases: Sequence[RecordedRelease]) -> AppNotes:
    """What several records say of one app."""
    places: dict[tuple[str, str], Place] = {}
    first: tuple[Place, str] | None = None
    for release in releases:
        for place in release.places:
            first = first or (place, release.source)
            if place.digest != first[0].digest:
                raise Refused(
                    f"Cannot write release notes of {_word(app)} {version}",
                    f"the records name two images: {first[0].digest} ({first[1]}) "
                    f"and {place.digest} ({release.source})",
                    "Find out which of them is released (crane digest, doctor), and name its record only.",
                )
            places.setdefault((str(place.repository), place.tag), place)
    there = {place.registry for place in places.values()}
    missing = {lack.registry: lack for release in releases for lack in release.missing if lack.registry not in there}
    error = next((release.error for release in reversed(releases) if release.error), None)
    return AppNotes(app, version, tuple(places.values()), tuple(missing.values()), None if places else error)


def render(notes: Iterable[AppNotes], *, with_versions: bool) -> str:
    """The section of the notes, in GitHub's Markdown. Whatever is in a record, it is text and nothing else.

    `with_versions`: each heading names its version, too.
    """
    parts = ["## 🐳 Docker Images"]
    for each in notes:
        parts += [f"### 📦 {_text(each.app)}" + (f" {each.version}" if with_versions else ""), *_paragraphs(each)]
    return "\n\n".join(parts)


def unpublished(notes: Iterable[AppNotes]) -> list[str]:
    """What is not published, a line each."""
    return [
        line
        for each in notes
        for line in (
            *([f"{_word(each.app)} {each.version}: not published: {_line(each.error)}"] if each.error else []),
            *(
                f"{_word(each.app)} {each.version}: not published to {_line(lack.registry)}: {_line(lack.reason)}"
                for lack in each.missing
            ),
        )
    ]


def _paragraphs(notes: AppNotes) -> list[str]:
    if not notes.places:
        return [f"Not published ({_code(notes.error or 'no reason was given')})"]
    digest = notes.places[0].digest
    lines = [
        "```bash",
        "# Pull by version tag",
        *(f"docker pull {place.repository.tag(place.tag)}" for place in notes.places),
        "",
        "# Pull by digest (immutable)",
        # By two tags in one repository, which is one digest there.
        *dict.fromkeys(f"docker pull {place.repository.digest(digest)}" for place in notes.places),
        "```",
    ]
    missing = [f"- {_code(lack.registry)}: not published ({_code(lack.reason)})" for lack in notes.missing]
    return ["\n".join(lines), f"**Image Digest:** `{digest}`", *(["\n".join(missing)] if missing else [])]


def _text(text: str) -> str:
    """A name as it is, if nobody can take it for anything else."""
    line = _line(text)
    return line if _PLAIN.fullmatch(line) else _code(line)


def _code(text: str) -> str:
    """A text as code on one line, in which Markdown and HTML, mentions and links mean nothing."""
    line = _line(text)
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{line}{space}{fence}"


def _word(name: str) -> str:
    """A name of a record in messages."""
    line = _line(name)
    return line if _PLAIN.fullmatch(line) else repr(line)


def _line(text: str) -> str:
    """One line of what can be seen, of bounded length: neither controls nor what turns the direction of writing."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return (line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…") or "(nothing)"
