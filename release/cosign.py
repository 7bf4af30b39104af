"""Signing with cosign, which knows keys: files, key management services, Kubernetes secrets.

Cosign signs a statement on this machine and asks no registry. What it makes, a Sigstore bundle, is stored by us: its
own upload replaces the list of referrers without looking again, and leaves out by what a statement is found there.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from release.child import run_child
from release.errors import ReleaseError

PASSWORD = "COSIGN_PASSWORD"
"""The environment variable that cosign takes the key's password from."""

_WHAT = "Cannot sign the provenance"
_WITHOUT = "or release without it: --no-provenance"
_BUNDLE = "application/vnd.dev.sigstore.bundle"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A signed statement (sigstore's protobuf-specs, Bundle)."""

    media_type: str
    content: bytes = field(repr=False)


def check_cosign(key: str) -> None:
    """See that there is a cosign, and a key. Raises ReleaseError."""
    if shutil.which("cosign") is None:
        raise ReleaseError(
            _WHAT,
            "a key is configured (provenance.cosign_key), and there is no cosign on PATH",
            f"Install cosign 3, {_WITHOUT}.",
        )
    # Files come with their whole path (config_file.py); what cosign looks up elsewhere is a URI.
    if key.startswith("/") and not Path(key).is_file():
        raise ReleaseError(_WHAT, f"there is no key {key}", f"Correct provenance.cosign_key, {_WITHOUT}.")


def sign(statement: bytes, key: str) -> Bundle:
    """Sign an in-toto statement. Raises ReleaseError when cosign does not."""
    with tempfile.TemporaryDirectory(prefix="slipway-sign-") as folder:
        source, target = Path(folder, "statement.json"), Path(folder, "bundle.json")
        source.write_bytes(statement)
        options = [f"--key={key}", f"--statement={source}", f"--bundle={target}"]
        # Neither a timestamp nor a transparency log: who relies on this has the key.
        options += ["--use-signing-config=false", "--tlog-upload=false", "--yes"]
        try:
            finished = run_child(["cosign", "attest-blob", *options])
        except OSError as error:
            raise ReleaseError(_WHAT, f"cosign cannot be run: {error}", f"Install cosign 3, {_WITHOUT}.") from None
        if finished.status != 0 or not target.is_file():
            raise ReleaseError(
                _WHAT,
                f"cosign attest-blob: {_reason(finished.errors)} (exit status {finished.status})",
                f"Check the key (provenance.cosign_key), its password (${PASSWORD}) and that cosign is version 3, "
                f"{_WITHOUT}.",
            )
        content = target.read_bytes()
    return _bundle(content, statement)


def _bundle(content: bytes, statement: bytes) -> Bundle:
    """Read what cosign wrote, and see that it is about the statement."""
    try:
        document = json.loads(content)
        media_type = document["mediaType"]
        signed = base64.b64decode(document["dsseEnvelope"]["payload"])
        if media_type.startswith(_BUNDLE) and signed == statement:
            return Bundle(media_type, content)
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise ReleaseError(
        _WHAT, "cosign attest-blob wrote no Sigstore bundle of the statement", f"Use cosign 3, {_WITHOUT}."
    )


def _reason(errors: str) -> str:
    """The line in which cosign says what is wrong."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    wrong = [line for line in lines if "Error:" in line]
    reason = (wrong or lines or ["it said nothing"])[-1].rpartition("Error:")[2].strip()
    password = os.environ.get(PASSWORD)
    return reason.replace(password, "***") if password else reason
