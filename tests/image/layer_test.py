"""Layers: what other tar readers see in them, and that their bytes depend on their entries alone."""

import gzip
import hashlib
import io
import json
import os
import random
import struct
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.image.listing import listing
from tools.image.compression import COMPRESSIONS, CompressedWriter
from tools.image.entries import Entry, LayerError, Tree, bytes_entry
from tools.image.layer import LayerFacts, write_layer


def written(entries: list[Entry], machine: str | None = None, threads: int = 1) -> tuple[bytes, LayerFacts]:
    out = io.BytesIO()
    facts = write_layer(entries, out, machine=machine, threads=threads)
    return out.getvalue(), facts


def elf(machine: int, byte_order: str = "<") -> bytes:
    ident = b"\x7fELF" + bytes([2, 1 if byte_order == "<" else 2, 1]) + bytes(9)
    return ident + struct.pack(f"{byte_order}HHI", 2, machine, 1) + bytes(44)


ALL_KINDS = [
    Entry("bin", "directory", 0o755, origin="t"),
    bytes_entry("bin/run", b"#!/bin/sh\n", mode=0o4755, uid=1, gid=2, origin="t"),
    Entry("bin/also", "hardlink", 0o4755, target="bin/run", origin="t"),
    Entry("bin/link", "symlink", 0o777, target="../elsewhere", origin="t"),
    bytes_entry("bin/nothing", b"", origin="t"),
    bytes_entry("long/" + "d" * 90 + "/" + "f" * 120, b"long", origin="t"),
    bytes_entry("naïve/日本語", "größer".encode(), origin="t"),
    Entry("tmp", "directory", 0o1777, origin="t"),
]


def test_the_listing_of_a_layer_is_what_was_put_in() -> None:
    blob, _ = written(Tree(ALL_KINDS).entries())
    expected = Path(__file__).with_name("all_kinds.ndjson").read_text(encoding="utf-8")
    assert listing(io.BytesIO(blob)) == expected


def test_digest_size_and_diff_id_are_those_of_the_bytes() -> None:
    blob, facts = written(Tree(ALL_KINDS).entries())
    assert facts.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert facts.size == len(blob)
    assert facts.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(blob)).hexdigest()}"


def test_a_layer_lists_its_entries_in_the_order_of_the_archive() -> None:
    lines = io.BytesIO()
    write_layer(Tree(ALL_KINDS).entries(), io.BytesIO(), machine=None, listing=lines)
    listed = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert listed[1:3] == [
        {
            "path": "bin/also",
            "kind": "file",
            "mode": "4755",
            "uid": 1,
            "gid": 2,
            "size": 10,
            "sha256": hashlib.sha256(b"#!/bin/sh\n").hexdigest(),
        },
        {"path": "bin/link", "kind": "symlink", "mode": "0777", "uid": 0, "gid": 0, "target": "../elsewhere"},
    ]
    assert [entry["path"] for entry in listed] == [entry.path for entry in Tree(ALL_KINDS).entries()]
    assert all(line.startswith(b'{"path":"') for line in lines.getvalue().splitlines())


def test_a_zstd_layer_holds_the_same_archive() -> None:
    out = io.BytesIO()
    facts = write_layer(Tree(ALL_KINDS).entries(), out, machine=None, compression="zstd")
    archive = zstandard.ZstdDecompressor().stream_reader(out.getvalue(), read_across_frames=True).read()
    blob, other = written(Tree(ALL_KINDS).entries())
    assert archive == gzip.decompress(blob)
    assert (facts.media_type, facts.diff_id) == ("application/vnd.oci.image.layer.v1.tar+zstd", other.diff_id)
    assert facts.digest == f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}"


def test_an_empty_layer_is_an_archive_without_members() -> None:
    blob, _ = written([])
    with tarfile.open(fileobj=io.BytesIO(blob), mode="r:gz") as archive:
        assert archive.getmembers() == []


def test_bytes_do_not_depend_on_threads_order_umask_time_zone_locale_or_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = random.Random(0).randbytes(3 * COMPRESSIONS["gzip"].block + 17)
    entries = [
        *ALL_KINDS,
        bytes_entry("data/noise", noise, origin="t"),
        bytes_entry("data/zero", bytes(COMPRESSIONS["gzip"].block), origin="t"),
    ]
    reference, _ = written(Tree(entries).entries(), threads=1)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    monkeypatch.chdir(tmp_path)
    previous = os.umask(0o077)
    try:
        for threads in (2, 5):
            random.Random(threads).shuffle(entries)
            assert written(Tree(entries).entries(), threads=threads)[0] == reference
    finally:
        os.umask(previous)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.binary(max_size=3000), max_size=20), st.integers(1, 3))
def test_what_goes_through_the_compressor_comes_out_of_gzip(parts: list[bytes], threads: int) -> None:
    out = io.BytesIO()
    with CompressedWriter(out, COMPRESSIONS["gzip"], threads) as stream:
        for part in parts:
            stream.write(part)
    assert gzip.decompress(out.getvalue()) == b"".join(parts)


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(
        st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), min_size=1)
        .map("/".join)
        .filter(lambda path: not {".", ".."} & set(path.split("/"))),
        st.binary(max_size=2000),
        max_size=8,
    )
)
def test_any_files_come_out_of_a_layer_as_they_went_in(files: dict[str, bytes]) -> None:
    names = [name for name in files if not any(name.startswith(other + "/") for other in files)]
    blob, _ = written(Tree(bytes_entry(name, files[name], origin="t") for name in names).entries())
    with tarfile.open(fileobj=io.BytesIO(blob), mode="r:gz") as archive:
        found = {member.name: archive.extractfile(member) for member in archive}
        assert {name: content.read() for name, content in found.items() if content} == {
            name: files[name] for name in names
        }


@pytest.mark.parametrize(("machine", "number"), [("amd64", 62), ("arm64", 183)])
def test_programs_for_the_right_machine_pass(machine: str, number: int) -> None:
    _, facts = written([bytes_entry("a", elf(number), origin="t")], machine)
    assert facts.machine == machine


def test_a_layer_without_programs_is_for_no_machine() -> None:
    _, facts = written([bytes_entry("a", b"\x7fELF", origin="t"), bytes_entry("b", b"text", origin="t")], "amd64")
    assert facts.machine is None


@pytest.mark.parametrize(
    ("machine", "number", "name"), [("amd64", 183, "arm64"), ("arm64", 62, "amd64"), ("amd64", 243, "ELF machine 243")]
)
def test_a_program_for_another_machine_fails_the_layer_and_names_file_and_origin(
    machine: str, number: int, name: str
) -> None:
    with pytest.raises(LayerError, match=f"/a/lib.so .from wheel x 1.* is a program for {name}.*for {machine}"):
        written([bytes_entry("a/lib.so", elf(number), origin="wheel x 1")], machine)


def test_a_big_endian_program_is_read_by_its_own_byte_order() -> None:
    with pytest.raises(LayerError, match="ELF machine 22"):
        written([bytes_entry("a", elf(22, ">"), origin="t")], "amd64")


def test_a_layer_for_every_machine_takes_any_program() -> None:
    written([bytes_entry("a", elf(183), origin="t")], None)


def test_a_file_that_is_not_as_long_as_announced_fails_the_layer() -> None:
    entry = Entry("a", size=3, open=lambda: io.BytesIO(b"four"), origin="t")
    with pytest.raises(LayerError, match="4 bytes where 3 were announced"):
        written([entry])
