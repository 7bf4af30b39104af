"""Layers: what other readers see in them, and what is known of them."""

import gzip
import hashlib
import io
import json
import os
import stat
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.image.listing import listing
from tests.support.tools import tool
from tools.image.compression import COMPRESSIONS
from tools.image.entries import Entry, LayerError, Tree, bytes_entry
from tools.image.layer import LayerFacts, write_layer


def written(entries: list[Entry], machine: str | None = None, compression: str = "gzip") -> tuple[bytes, LayerFacts]:
    out = io.BytesIO()
    facts = write_layer(entries, out, machine=machine, compression=compression)
    return out.getvalue(), facts


def elf(machine: int, byte_order: str = "<") -> bytes:
    ident = b"\x7fELF" + bytes([2, 1 if byte_order == "<" else 2, 1]) + bytes(9)
    return ident + struct.pack(f"{byte_order}HHI", 2, machine, 1) + bytes(44)


LONG_FOLDER = "long/" + "d" * 90 + "/" + "e" * 200

ALL_KINDS = [
    Entry("bin", "directory", 0o755, origin="t"),
    bytes_entry("bin/run", b"#!/bin/sh\n", mode=0o4755, uid=1, gid=2, origin="t"),
    Entry("bin/also", "hardlink", 0o4755, target="bin/run", origin="t"),
    Entry("bin/link", "symlink", 0o777, target="../elsewhere", origin="t"),
    Entry("bin/absolute", "symlink", 0o777, target="/bin/run", origin="t"),
    Entry("bin/relative", "symlink", 0o777, target="run", origin="t"),
    bytes_entry("bin/nothing", b"", origin="t"),
    bytes_entry("bin/set gid", b"#!/bin/sh\n", mode=0o2755, gid=50, origin="t"),
    bytes_entry("home/high", b"", uid=2**31, gid=2**32 - 2, origin="t"),
    bytes_entry("long/" + "d" * 90 + "/" + "f" * 120, b"long", origin="t"),
    bytes_entry(LONG_FOLDER + "/" + "g" * 100, b"longer", origin="t"),
    Entry("long/also", "hardlink", target=LONG_FOLDER + "/" + "g" * 100, origin="t"),
    Entry("long/far", "symlink", 0o777, target="../" + "t" * 150, origin="t"),
    bytes_entry("naïve/日本語", "größer".encode(), origin="t"),
    Entry("naïve/ссылка", "symlink", 0o777, target="日本語", origin="t"),
    Entry("tmp", "directory", 0o1777, origin="t"),
]

ALL_KINDS_GOLDEN = Path(__file__).with_name("all_kinds.ndjson").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    sparse = tmp_path_factory.mktemp("all_kinds") / "sparse"
    with sparse.open("wb") as out:
        out.seek(1 << 20)
        out.write(b"end")
    entry = Entry("sparse", size=sparse.stat().st_size, open=lambda: sparse.open("rb"), origin="t")
    return Tree([*ALL_KINDS, entry]).entries()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_python_reads_in_a_layer_what_was_put_in(all_kinds: list[Entry], compression: str) -> None:
    blob, _ = written(all_kinds, compression=compression)
    assert listing(io.BytesIO(blob)) == ALL_KINDS_GOLDEN


def test_a_layer_lists_its_entries_itself_in_the_order_of_the_archive(all_kinds: list[Entry]) -> None:
    lines = io.BytesIO()
    write_layer(all_kinds, io.BytesIO(), machine=None, listing=lines)
    expected = []
    for line in ALL_KINDS_GOLDEN.splitlines():
        entry = json.loads(line)
        uid, gid = map(int, entry["owner"].split(":"))
        fields = {"path": entry["name"], "kind": entry["type"], "mode": entry["mode"], "uid": uid, "gid": gid}
        if entry["type"] == "file":
            fields |= {"size": entry["size"], "sha256": entry["sha256"]}
        if entry["type"] == "file" and entry["name"] in ("bin/also", "bin/set gid"):
            fields["interpreter"] = "/bin/sh"
        if "link" in entry:
            fields["target"] = entry["link"]
        expected.append(fields)
    listed = lines.getvalue().decode().splitlines()
    found = [json.loads(line) for line in listed]
    for fields in found:
        if "sha256" in fields:
            fields["sha256"] = fields["sha256"][:12]
    assert [list(fields.items()) for fields in found] == [list(fields.items()) for fields in expected]
    assert listed[-1] == '{"path":"tmp","kind":"directory","mode":"1777","uid":0,"gid":0}'


@pytest.mark.parametrize(
    ("content", "key", "value"),
    [(b"#!/bin/sh\n", "interpreter", "/bin/sh"), (b"text", "format", "unknown"), (b"", "format", "unknown")],
)
def test_only_what_can_be_executed_is_listed_with_what_starts_it(content: bytes, key: str, value: str) -> None:
    lines = io.BytesIO()
    entries = [bytes_entry(f"{mode:o}", content, mode=mode, origin="t") for mode in (0o644, 0o755, 0o010)]
    write_layer(entries, io.BytesIO(), machine=None, listing=lines)
    found = [json.loads(line).get(key) for line in lines.getvalue().splitlines()]
    assert found == [None, value, value]


def test_a_program_that_starts_by_itself_is_listed_without_more() -> None:
    lines = io.BytesIO()
    write_layer([bytes_entry("a", elf(62), mode=0o755, origin="t")], io.BytesIO(), machine="amd64", listing=lines)
    assert list(json.loads(lines.getvalue())) == ["path", "kind", "mode", "uid", "gid", "size", "sha256"]


@pytest.mark.parametrize(
    ("compression", "reader"), [("gzip", ["gzip", "--decompress"]), ("zstd", ["zstd", "--decompress"])]
)
def test_gnu_tar_reads_in_a_layer_what_was_put_in(all_kinds: list[Entry], compression: str, reader: list[str]) -> None:
    blob, _ = written(all_kinds, compression=compression)
    plain = subprocess.run([*tool(reader[0]), *reader[1:], "--stdout"], input=blob, capture_output=True, check=True)
    listed = subprocess.run(
        [*tool("tar"), "--list", "--verbose", "--numeric-owner", "--quoting-style=literal", "--file=-"],
        input=plain.stdout,
        capture_output=True,
        check=True,
        env={**os.environ, "TZ": "UTC"},
    )
    expected = []
    for line in ALL_KINDS_GOLDEN.splitlines():
        entry = json.loads(line)
        kind = {"file": "-", "directory": "d", "symlink": "l", "hardlink": "h"}[entry["type"]]
        permissions = stat.filemode(int(entry["mode"], 8))[1:]
        name = entry["name"] + ("/" if kind == "d" else "")
        link = {"l": f" -> {entry.get('link')}", "h": f" link to {entry.get('link')}"}.get(kind, "")
        expected.append(
            [
                kind + permissions,
                entry["owner"].replace(":", "/"),
                str(entry.get("size", 0)),
                "1970-01-01",
                "00:00",
                name + link,
            ]
        )
    assert [line.split(maxsplit=5) for line in listed.stdout.decode().splitlines()] == expected


def test_the_bytes_of_a_layer_stay_what_they_are(all_kinds: list[Entry]) -> None:
    """A change here changes every layer of every user, and uploads it all again: mean it."""
    facts = {name: written(all_kinds, compression=name)[1] for name in COMPRESSIONS}
    assert {name: (of.digest[:19], of.diff_id[:19]) for name, of in facts.items()} == {
        "gzip": ("sha256:3581efba899d", "sha256:6306ac79e780"),
        "zstd": ("sha256:ad551d37e360", "sha256:6306ac79e780"),
    }


def test_digest_size_and_diff_id_are_those_of_the_bytes(all_kinds: list[Entry]) -> None:
    blob, facts = written(all_kinds)
    assert facts.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert facts.size == len(blob)
    assert facts.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(blob)).hexdigest()}"


def test_a_zstd_layer_holds_the_same_archive(all_kinds: list[Entry]) -> None:
    out = io.BytesIO()
    facts = write_layer(all_kinds, out, machine=None, compression="zstd")
    archive = zstandard.ZstdDecompressor().stream_reader(out.getvalue(), read_across_frames=True).read()
    blob, other = written(all_kinds)
    assert archive == gzip.decompress(blob)
    assert (facts.media_type, facts.diff_id) == ("application/vnd.oci.image.layer.v1.tar+zstd", other.diff_id)
    assert facts.digest == f"sha256:{hashlib.sha256(out.getvalue()).hexdigest()}"


def test_an_empty_layer_is_an_archive_without_members() -> None:
    blob, _ = written([])
    with tarfile.open(fileobj=io.BytesIO(blob), mode="r:gz") as archive:
        assert archive.getmembers() == []


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
