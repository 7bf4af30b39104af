"""The JSON schema of the release record, and records held against it."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from release.record import Outcome, records_document

SCHEMA = Path(__file__).parents[2] / "docs" / "release-record.schema.json"


def check_record(document: Any) -> None:
    """Raises jsonschema.ValidationError unless the schema describes the document, and every key of it."""
    _strict().validate(document)


def check_outcomes(outcomes: Sequence[Outcome]) -> None:
    """The same for what a run would write of these."""
    check_record(json.loads(records_document(outcomes)))


@functools.cache
def _strict() -> Draft202012Validator:
    return Draft202012Validator(_closed(json.loads(SCHEMA.read_text())))


def _closed(schema: Any) -> Any:
    """The schema without what it leaves open to later additions, so that none is forgotten in it."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(part) for key, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and "required" in schema:
        closed["additionalProperties"] = False
    return closed
