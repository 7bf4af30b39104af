"""SBOMs as the libraries of their standards judge them."""

from __future__ import annotations

import json

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.model.document import Document
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

_CYCLONEDX = JsonStrictValidator(SchemaVersion.V1_6)


def valid_spdx(document: bytes) -> Document:
    """The document as spdx-tools reads it; fails with what the library finds wrong with it as SPDX 2.3."""
    parsed = JsonLikeDictParser().parse(json.loads(document))  # type: ignore[no-untyped-call]
    problems = [message.validation_message for message in validate_full_spdx_document(parsed, "SPDX-2.3")]
    assert problems == []
    return parsed


def assert_valid_cyclonedx(document: bytes) -> None:
    """Fails with what the library finds wrong with the document as CycloneDX 1.6, unknown fields too."""
    problem = _CYCLONEDX.validate_str(document.decode())
    assert problem is None, problem
