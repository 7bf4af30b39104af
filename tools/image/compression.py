"""Compressed streams whose bytes depend on the content alone: not on the thread count, the CPU or the time.

A stream is cut into blocks of a fixed size, each compressed by itself: into one member of a gzip file (RFC 1952,
section 2.2: a file is a series of members) or one frame of a zstd file (RFC 8878, section 3: likewise). Every reader of
layers takes such series. The compressors come as hash-pinned wheels, so every machine has the same ones; they release
the interpreter lock, so threads help.

Chosen by `bazel run //bench:compression`: libdeflate at level 5 makes what gzip -6 makes, to 0.4 %, in less than a
third of the time. Its level 3 would take a fifth less, for 3 % more to push and pull each time; isal is several times
as fast, but its bytes depend on the CPU. zstd at level 3 makes 4 % less in half the time of libdeflate; frames of 2
MiB cost 1 % more than those of 8 MiB, and half the memory.
"""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Self

import deflate

_local = threading.local()


def _gzip(block: bytes) -> bytes:
    return bytes(deflate.gzip_compress(block, 5))


def _zstd(block: bytes) -> bytes:
    # A compressor serves one thread at a time, and takes a while to make.
    compressor: Any = getattr(_local, "zstd", None)
    if compressor is None:
        # Here, since most builds have no use for it: unpacked for every Python it is larger than all other tools.
        import zstandard

        # The digest of the layer covers its content, so a checksum of each frame would tell nothing new.
        compressor = zstandard.ZstdCompressor(3, write_checksum=False, write_content_size=True, write_dict_id=False)
        _local.zstd = compressor
    return bytes(compressor.compress(block))


@dataclass(frozen=True, slots=True)
class Compression:
    """One way to compress a layer.

    Attributes:
      media_type: of a layer compressed so (OCI image-spec, layer.md).
      block: bytes of content that one member or frame holds. A change of it changes the bytes of every layer.
      compress: makes one member or frame out of a block.
    """

    media_type: str
    block: int
    compress: Callable[[bytes], bytes]


COMPRESSIONS = {
    "gzip": Compression("application/vnd.oci.image.layer.v1.tar+gzip", 1 << 20, _gzip),
    "zstd": Compression("application/vnd.oci.image.layer.v1.tar+zstd", 2 << 20, _zstd),
}


class CompressedWriter:
    """A write-only stream that compresses into `out`, hashing both what goes in and what comes out.

    Holds at most one block a thread in memory, and three more. Use as a context manager: only then are digests final.

    Attributes:
      content_digest: "sha256:..." of the uncompressed bytes: the diffID of a layer (OCI image-spec, config.md).
      content_size: uncompressed bytes, so far.
      digest: "sha256:..." of the compressed bytes.
      size: compressed bytes.
    """

    def __init__(self, out: BinaryIO, compression: Compression, threads: int | None = None) -> None:
        self._out = out
        self._compression = compression
        self._threads = threads or min(os.cpu_count() or 1, 8)
        self._pool = ThreadPoolExecutor(self._threads)
        self._waiting: deque[Future[bytes]] = deque()
        self._buffer = bytearray()
        self._content_hash = hashlib.sha256()
        self._hash = hashlib.sha256()
        self._submitted = 0
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                if self._buffer or not self._submitted:
                    self._submit()
                while self._waiting:
                    self._drain()
        finally:
            self._pool.shutdown(cancel_futures=True)

    @property
    def content_digest(self) -> str:
        return f"sha256:{self._content_hash.hexdigest()}"

    @property
    def content_size(self) -> int:
        return self._submitted + len(self._buffer)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= self._compression.block:
            self._submit()

    def _submit(self) -> None:
        block = bytes(self._buffer[: self._compression.block])
        del self._buffer[: self._compression.block]
        self._content_hash.update(block)
        self._submitted += len(block)
        self._waiting.append(self._pool.submit(self._compression.compress, block))
        if len(self._waiting) > self._threads + 1:
            self._drain()

    def _drain(self) -> None:
        member = self._waiting.popleft().result()
        self._hash.update(member)
        self._out.write(member)
        self.size += len(member)
