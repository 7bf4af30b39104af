"""gzip whose bytes depend on the content alone: not on the thread count, the CPU, the time or the file name.

The stream is cut into blocks of 1 MiB, each compressed by itself into one member of a gzip file (RFC 1952, section 2.2:
a file is a series of members; every reader of layers takes them). libdeflate comes as a hash-pinned wheel, so every
machine has the same one; its choice of matches does not depend on the CPU. Measured on Python sources and libraries,
one thread: 128 MB/s at level 5 against 36 MB/s for zlib's level 6, and 0.2 % more bytes. The wheel releases the
interpreter lock, so threads help.
"""

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO, Self

import deflate

BLOCK = 1 << 20
LEVEL = 5


def _compress(block: bytes) -> bytes:
    return bytes(deflate.gzip_compress(block, LEVEL))


class GzipWriter:
    """A write-only stream that compresses into `out`, hashing both what goes in and what comes out.

    Holds at most two blocks a thread in memory. Use as a context manager; the digests are final after it.

    Attributes:
      content_digest: "sha256:..." of the uncompressed bytes: the diffID of a layer (OCI image-spec, config.md).
      digest: "sha256:..." of the compressed bytes.
      size: compressed bytes.
    """

    def __init__(self, out: BinaryIO, threads: int | None = None) -> None:
        self._out = out
        self._threads = threads or min(os.cpu_count() or 1, 8)
        self._pool = ThreadPoolExecutor(self._threads)
        self._waiting: deque[Future[bytes]] = deque()
        self._buffer = bytearray()
        self._content_hash = hashlib.sha256()
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            if self._buffer or not (self.size or self._waiting):
                self._submit(bytes(self._buffer))
            while self._waiting:
                self._drain()
        self._pool.shutdown(cancel_futures=True)

    @property
    def content_digest(self) -> str:
        return f"sha256:{self._content_hash.hexdigest()}"

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: bytes) -> None:
        self._content_hash.update(data)
        self._buffer += data
        while len(self._buffer) >= BLOCK:
            self._submit(bytes(self._buffer[:BLOCK]))
            del self._buffer[:BLOCK]

    def _submit(self, block: bytes) -> None:
        self._waiting.append(self._pool.submit(_compress, block))
        if len(self._waiting) > 2 * self._threads:
            self._drain()

    def _drain(self) -> None:
        member = self._waiting.popleft().result()
        self._hash.update(member)
        self._out.write(member)
        self.size += len(member)
