"""What registries hold of apps, for machines and for people.

The keys of the JSON document and their order are part of the program's interface; `schema` counts up when one of them
changes its meaning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from release.errors import Exit
from release.holdings import AppHoldings, Holding, Named, Stock
from tools.oci.errors import OciError
from tools.oci.inspection import Verdict

SCHEMA = 1

_WORDS = {Verdict.PRESENT: "complete", Verdict.ABSENT: "gone"}
"""What is said of an image that a tag names."""


def exit_status(apps: Sequence[AppHoldings]) -> Exit:
    """The worst of all apps: 4, where the registry could not be asked, then 3, then 0."""
    if any(app.verdict is Verdict.UNKNOWN for app in apps):
        return Exit.UNASKED
    whole = all(app.verdict is Verdict.PRESENT and app.is_one_image for app in apps)
    return Exit.DONE if whole else Exit.REFUSED


def holdings_document(stock: Stock) -> str:
    """The JSON document of a run."""
    document = {
        "schema": SCHEMA,
        "exit_status": int(exit_status(stock.apps)),
        "requests": stock.requests,
        "apps": [_app(app) for app in stock.apps],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _app(app: AppHoldings) -> dict[str, Any]:
    return {
        "app": app.app,
        "verdict": app.verdict.value,
        "one_image": app.is_one_image,
        "registries": [_registry(holding) for holding in app.holdings],
        "images": [
            {
                "digest": digest,
                "registries": [
                    {
                        "repository": str(holding.place),
                        "verdict": holding.images[digest].verdict.value,
                        "reason": holding.images[digest].reason or None,
                        "tags": _tags_of(holding, digest),
                    }
                    for holding in app.holdings
                    if digest in holding.images
                ],
            }
            for digest in _digests(app)
        ],
        "differences": [
            {
                "tag": difference.tag,
                "names": [
                    {"digest": digest, "repositories": [str(place) for place in places]}
                    for digest, places in difference.names.items()
                ],
            }
            for difference in app.differences
        ],
        "older_versions": app.older,
    }


def _registry(holding: Holding) -> dict[str, Any]:
    place = holding.place
    return {
        "registry": place.registry,
        "repository": str(place.repository) if place.repository else None,
        "required": place.required,
        "asked": [
            {
                "tag": finding.tag,
                "verdict": finding.verdict.value,
                "digest": finding.digest,
                "reason": finding.reason or None,
            }
            for finding in holding.findings
        ],
        "tags": [_tag(tag, named) for tag, named in holding.tags.items()],
    }


def _tag(tag: str, named: Named) -> dict[str, Any]:
    if isinstance(named, OciError):
        return {"tag": tag, "digest": None, "error": f"{named.what}: {named.why}"}
    return {"tag": tag, "digest": named, "error": None}


def holdings_lines(stock: Stock) -> Iterator[str]:
    """The table as people read it, app by app, and what it comes to."""
    for app in stock.apps:
        yield app.app
        yield from _verdicts(app)
        yield from _table(app)
        yield from _remarks(app)
    yield from _sum(stock)


def _verdicts(app: AppHoldings) -> Iterator[str]:
    for holding in app.holdings:
        optional = "" if holding.place.required else " (optional)"
        for finding in holding.findings:
            # That an absent one does not exist has been said.
            reason = f": {finding.reason}" if finding.verdict not in (Verdict.PRESENT, Verdict.ABSENT) else ""
            yield f"  {finding.verdict.value:<12}{holding.place}:{finding.tag}{optional}{reason}"


def _table(app: AppHoldings) -> Iterator[str]:
    width = max(len(str(holding.place)) for holding in app.holdings)
    for digest in _digests(app):
        yield f"  {digest}"
        for holding in app.holdings:
            found = holding.images.get(digest)
            if found is None:
                continue
            reason = f"  ({found.reason})" if found.verdict is not Verdict.PRESENT else ""
            word = _WORDS.get(found.verdict, found.verdict.value)
            yield f"    {holding.place!s:<{width}}  {word:<10}  {', '.join(_tags_of(holding, digest))}{reason}"
    for holding in app.holdings:
        # Of those that were asked for it is said already.
        tags = {tag: named for tag, named in holding.tags.items() if tag not in app.asked}
        absent = [tag for tag, named in tags.items() if named is None]
        if absent:
            yield f"  not in {holding.place}: {', '.join(absent)}"
        unknown = {tag: f"{named.what}: {named.why}" for tag, named in tags.items() if isinstance(named, OciError)}
        for why in dict.fromkeys(unknown.values()):
            yield f"  not known of {holding.place}: {', '.join(tag for tag in unknown if unknown[tag] == why)} ({why})"


def _remarks(app: AppHoldings) -> Iterator[str]:
    for difference in app.differences:
        names = (
            f"{_short(digest) if digest else 'not there'} in {', '.join(map(str, places))}"
            for digest, places in difference.names.items()
        )
        yield f"  {difference.tag} differs: {'; '.join(names)}"
    for holding in app.holdings:
        digests = {finding.tag: finding.digest for finding in holding.findings if finding.digest}
        if len(set(digests.values())) > 1:
            yield f"  {' and '.join(digests)} are different images in {holding.place}"
    if app.older:
        yield f"  {app.older} older version{'s are' if app.older > 1 else ' is'} not shown; --tags shows more"


def _sum(stock: Stock) -> Iterator[str]:
    for verdict in (Verdict.UNKNOWN, Verdict.ABSENT, Verdict.INCOMPLETE):
        if found := [app.app for app in stock.apps if app.verdict is verdict]:
            yield f"{verdict.value}: {', '.join(found)}"
    if different := [app.app for app in stock.apps if not app.is_one_image]:
        yield f"not one image: {', '.join(different)}"
    if exit_status(stock.apps) is Exit.DONE:
        yield "present in every required registry, as one image"


def _digests(app: AppHoldings) -> list[str]:
    """What the tags name, in the order of the tags."""
    found = (holding.tags.get(tag) for tag in app.tags for holding in app.holdings)
    return list(dict.fromkeys(named for named in found if isinstance(named, str)))


def _tags_of(holding: Holding, digest: str) -> list[str]:
    return [tag for tag, named in holding.tags.items() if named == digest]


def _short(digest: str) -> str:
    return digest[: digest.index(":") + 13]
