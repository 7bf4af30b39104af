"""Content lists for the tool that writes layers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

# The headers of programs, enough of them to see what they are for.
ELF = {
    "amd64": b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (62).to_bytes(2, "little") + bytes(44),
    "arm64": b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (183).to_bytes(2, "little") + bytes(44),
}


def arguments(folder: Path, items: Sequence[Mapping[str, str]], *options: str) -> list[str]:
    """Those of the layer tool for these lines; what it writes goes to FOLDER/{blob,listing,metadata}."""
    places = [f"--{name}={folder / name}" for name in ("blob", "listing", "metadata")]
    return [*places, "--created-by=test", *options, *(json.dumps({"origin": "//test", **item}) for item in items)]


def file(path: Path, content: bytes = b"content\n") -> str:
    """Writes a file and returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)
