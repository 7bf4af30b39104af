"""Layers as people read them: one JSON object a line for each entry of the archive."""

import gzip
import hashlib
import json
import tarfile
from typing import IO

import zstandard


def listing(blob: IO[bytes]) -> str:
    """The entries of a compressed layer, in the order of the archive."""
    lines = []
    zstd = blob.read(4) == zstandard.FRAME_HEADER
    blob.seek(0)
    plain = (
        zstandard.ZstdDecompressor().stream_reader(blob, read_across_frames=True)
        if zstd
        else gzip.GzipFile(fileobj=blob)
    )
    with plain, tarfile.open(fileobj=plain, mode="r|") as archive:
        for member in archive:
            entry: dict[str, object] = {
                "name": member.name,
                "type": {b"0": "file", b"1": "hardlink", b"2": "symlink", b"5": "directory"}[member.type],
                "mode": f"{member.mode:04o}",
                "owner": f"{member.uid}:{member.gid}{member.uname}{member.gname}",
                "mtime": member.mtime,
            }
            if member.linkname:
                entry["link"] = member.linkname
            if content := archive.extractfile(member) if member.isreg() else None:
                entry["sha256"] = hashlib.sha256(content.read()).hexdigest()[:12]
                entry["size"] = member.size
            lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
    return "".join(lines)
