"""Compressed streams: what comes out of them, and how they are cut."""

import gzip
import hashlib
import io
import subprocess
import threading
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tools import tool
from tools.image.compression import COMPRESSIONS, CompressedWriter, Compression

Split = Callable[[bytes], list[bytes]]

GZIP, ZSTD = COMPRESSIONS["gzip"], COMPRESSIONS["zstd"]


def written(parts: list[bytes], compression: Compression, threads: int = 2) -> tuple[bytes, CompressedWriter]:
    out = io.BytesIO()
    with CompressedWriter(out, compression, threads) as stream:
        for part in parts:
            stream.write(part)
    return out.getvalue(), stream


def members(blob: bytes) -> list[bytes]:
    """The content of each member of a gzip file."""
    found = []
    while blob:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        found.append(member.decompress(blob))
        assert member.eof
        blob = member.unused_data
    return found


def frames(blob: bytes) -> list[bytes]:
    """The content of each frame of a zstd file."""
    found = []
    while blob:
        frame = zstandard.ZstdDecompressor().decompressobj()
        found.append(frame.decompress(blob))
        assert frame.eof
        blob = frame.unused_data
    return found


@settings(deadline=None, max_examples=30)
@given(st.lists(st.binary(max_size=3000), max_size=20), st.integers(1, 3))
def test_what_goes_in_comes_out(parts: list[bytes], threads: int) -> None:
    content = b"".join(parts)
    blob, _ = written(parts, GZIP, threads)
    assert gzip.decompress(blob) == content
    blob, _ = written(parts, ZSTD, threads)
    assert b"".join(frames(blob)) == content


@pytest.mark.parametrize(("name", "split"), [("gzip", members), ("zstd", frames)])
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_a_stream_is_cut_where_the_content_says_however_it_is_written(name: str, split: Split, over: int) -> None:
    block = COMPRESSIONS[name].block
    content = bytes(2 * block + over)
    expected = [block, block + over] if over < 1 else [block, block, over]
    blob, stream = written([content], COMPRESSIONS[name])
    assert [len(part) for part in split(blob)] == expected
    assert stream.content_size == len(content)
    assert written([content[:100], content[100:block], content[block:]], COMPRESSIONS[name], 1)[0] == blob


@pytest.mark.parametrize(("name", "split"), [("gzip", members), ("zstd", frames)])
def test_nothing_is_one_empty_part_since_an_empty_file_is_not_a_compressed_one(name: str, split: Split) -> None:
    blob, _ = written([], COMPRESSIONS[name])
    assert split(blob) == [b""]


@pytest.mark.parametrize("compression", COMPRESSIONS.values(), ids=COMPRESSIONS)
def test_digests_and_sizes_are_those_of_the_bytes(compression: Compression) -> None:
    content = bytes(range(256)) * 20000
    blob, stream = written([content], compression)
    assert (stream.digest, stream.size) == (f"sha256:{hashlib.sha256(blob).hexdigest()}", len(blob))
    assert (stream.content_digest, stream.content_size) == (
        f"sha256:{hashlib.sha256(content).hexdigest()}",
        len(content),
    )


def test_a_gzip_member_tells_no_time_and_no_name() -> None:
    blob, _ = written([b"content"], GZIP)
    flags, time = blob[3], blob[4:8]
    assert (flags, time) == (0, bytes(4))


def test_a_zstd_frame_tells_its_size_and_has_no_checksum() -> None:
    blob, _ = written([b"content"], ZSTD)
    frame = zstandard.get_frame_parameters(blob)
    assert (frame.content_size, frame.has_checksum, frame.dict_id) == (7, False, 0)


@pytest.mark.parametrize(("name", "program"), [("gzip", "gzip"), ("zstd", "zstd")])
def test_the_programs_of_that_name_read_a_stream_of_several_parts(name: str, program: str) -> None:
    content = bytes(range(256)) * 20000
    blob, _ = written([content], COMPRESSIONS[name])
    found = subprocess.run([*tool(program), "--decompress", "--stdout"], input=blob, capture_output=True, check=True)
    assert found.stdout == content


def test_an_error_while_writing_passes_and_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="out of luck"), CompressedWriter(io.BytesIO(), GZIP, 2) as stream:
        stream.write(bytes(5 * GZIP.block))
        raise RuntimeError("out of luck")
    assert threading.active_count() == before


@pytest.mark.parametrize("size", [9 * GZIP.block, 1], ids=["while writing", "at the end"])
def test_a_full_disk_is_told_of_and_leaves_no_thread(size: int) -> None:
    before = threading.active_count()
    with (
        pytest.raises(OSError, match="No space left"),
        open("/dev/full", "wb", buffering=0) as disk,
        CompressedWriter(disk, GZIP, 2) as stream,
    ):
        stream.write(bytes(size))
    assert threading.active_count() == before
