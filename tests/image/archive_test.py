"""Archives that others have made: that their entries are what tar extracts, and that nothing hostile passes."""

import gzip
import io
import lzma
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.tools import tool
from tools.image.archive import archive_entries
from tools.image.entries import Entry, LayerError, Tree

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip in two members": lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]) + bytes(512),
    "xz": lzma.compress,
    "zstd": zstandard.compress,
    "zstd by pzstd": lambda data: b"\x50\x2a\x4d\x18\4\0\0\0meta" + zstandard.compress(data),
    "zstd in two frames": lambda data: zstandard.compress(data[:700]) + zstandard.compress(data[700:]),
}


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **facts: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(content)
    info.mtime = 12345
    info.uname = info.gname = "somebody"
    for key, value in facts.items():
        setattr(info, key, value)
    return info


def archive(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as writer:
        for info, content in members:
            writer.addfile(info, io.BytesIO(content))
    return out.getvalue()


def file(name: str, content: bytes = b"", **facts: Any) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, content, **facts), content


def link(name: str, target: str, kind: bytes = tarfile.LNKTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, b"", kind, linkname=target), b""


def folder(name: str, **facts: Any) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, b"", tarfile.DIRTYPE, **facts), b""


def entries(tmp_path: Path, content: bytes) -> list[Entry]:
    path = tmp_path / "any.tar"
    path.write_bytes(content)
    return list(archive_entries(path, "archive any.tar"))


def content(entry: Entry) -> bytes:
    assert entry.open is not None
    with entry.open() as opened:
        return opened.read()


def seen(found: list[Entry]) -> dict[str, object]:
    """What each path is: content of a file, or where a link leads."""
    return {entry.path: content(entry) if entry.kind == "file" else (entry.kind, entry.target) for entry in found}


@pytest.mark.parametrize("compress", COMPRESSIONS.values(), ids=COMPRESSIONS)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
def test_entries_are_those_of_the_archive_whatever_its_form(
    tmp_path: Path, compress: Callable[[bytes], bytes], form: int
) -> None:
    long = "l" * 90 + "/" + "ö" * 200
    found = entries(
        tmp_path,
        compress(
            archive(
                folder("./"),
                folder("./etc", mode=0o750, uid=3, gid=4),
                file("./etc/.wh.gone"),
                file("/bin/su", b"x" * 2000, mode=0o104755, uid=2**31, gid=7),
                file(long, b"long"),
                link("bin/also", "./bin/su"),
                link("bin/sh", "/bin/" + "ä" * 150, tarfile.SYMTYPE),
                form=form,
            )
        ),
    )
    assert [(e.path, e.kind, e.mode, e.uid, e.gid, e.target, e.size, e.origin) for e in found] == [
        ("etc", "directory", 0o750, 3, 4, "", 0, "archive any.tar"),
        ("etc/.wh.gone", "file", 0o644, 0, 0, "", 0, "archive any.tar"),
        ("bin/su", "file", 0o4755, 2**31, 7, "", 2000, "archive any.tar"),
        (long, "file", 0o644, 0, 0, "", 4, "archive any.tar"),
        ("bin/also", "hardlink", 0o4755, 2**31, 7, "bin/su", 0, "archive any.tar"),
        ("bin/sh", "symlink", 0o644, 0, 0, "/bin/" + "ä" * 150, 0, "archive any.tar"),
    ]
    assert (content(found[2]), content(found[3])) == (b"x" * 2000, b"long")


def test_content_can_be_read_again_and_of_two_files_in_turn(tmp_path: Path) -> None:
    one, two = entries(tmp_path, gzip.compress(archive(file("one", b"1" * 3000), file("two", b"2" * 3000))))
    assert one.open is not None
    assert two.open is not None
    with one.open() as first, two.open() as second:
        assert first.read(1000) + second.read(1000) + first.read() + second.read() == (
            b"1" * 1000 + b"2" * 1000 + b"1" * 2000 + b"2" * 2000
        )
    assert content(one) == b"1" * 3000


def test_the_disk_is_given_back_with_the_last_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def temporary_files() -> int:
        return sum(
            str(link.readlink()).startswith(str(scratch)) for link in Path("/proc/self/fd").iterdir() if link.exists()
        )

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    found = entries(tmp_path, gzip.compress(archive(file("a", b"a"), file("b", b"b"))))
    assert list(scratch.iterdir()) == []
    assert temporary_files() == 1
    last = found.pop()
    found.clear()
    assert content(last) == b"b"
    del last
    assert temporary_files() == 0


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([file("a", b"old"), file("a", b"new")], {"a": b"new"}),
        ([file("a", b"old"), link("a", "b", tarfile.SYMTYPE)], {"a": ("symlink", "b")}),
        ([link("b", "a"), file("a", b"1")], {"b": ("hardlink", "a"), "a": b"1"}),
        (
            [link("c", "b"), link("b", "a"), file("a", b"1")],
            {"c": ("hardlink", "a"), "b": ("hardlink", "a"), "a": b"1"},
        ),
        (
            [file("a", b"1"), link("b", "a"), link("c", "b")],
            {"a": b"1", "b": ("hardlink", "a"), "c": ("hardlink", "a")},
        ),
        ([file("a", b"1"), link("b", "a"), file("a", b"2")], {"b": b"1", "a": b"2"}),
        (
            [file("a", b"1"), link("b", "a"), link("c", "a"), file("a", b"2")],
            {"b": b"1", "c": ("hardlink", "b"), "a": b"2"},
        ),
        ([link("s", "to", tarfile.SYMTYPE), link("h", "s")], {"s": ("symlink", "to"), "h": ("symlink", "to")}),
        ([link("h", "elsewhere")], {"h": ("hardlink", "elsewhere")}),
        ([file("a", b"1"), link("a", "a")], {"a": b"1"}),
    ],
    ids=[
        "file twice",
        "link after file",
        "link before file",
        "links before file",
        "link to link",
        "file replaced after a link",
        "file replaced after two links",
        "link to a symlink",
        "link to what another origin brings",
        "link to itself",
    ],
)
def test_later_members_replace_earlier_ones_and_links_share_what_they_linked_to(
    tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], expected: dict[str, object]
) -> None:
    assert seen(entries(tmp_path, archive(*members))) == expected


def test_links_in_a_circle_are_an_error_of_the_layer(tmp_path: Path) -> None:
    with pytest.raises(LayerError, match=r"cannot link .* no such file"):
        Tree(entries(tmp_path, archive(link("a", "b"), link("b", "a")))).entries()


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        (file("../up"), r"cannot place '../up' \(from archive any.tar\).*below the root.*without '\.\.'"),
        (file("a/../../up"), "below the root"),
        (folder(".."), "below the root"),
        (file(""), "below the root"),
        (link("h", "../../etc/shadow"), "cannot place '../../etc/shadow'.*below the root"),
        (file("caf\udce9"), r"it is not UTF-8.*Rename it"),
        (link("s", "caf\udce9", tarfile.SYMTYPE), r"links to 'caf\\udce9', which is no path in UTF-8"),
        (link("s", "", tarfile.SYMTYPE), "links to ''"),
        (
            (member("dev/null", b"", tarfile.CHRTYPE, devmajor=1, devminor=3), b""),
            "'dev/null'.*character device.*Leave",
        ),
        ((member("dev/sda", b"", tarfile.BLKTYPE), b""), "block device"),
        ((member("run/pipe", b"", tarfile.FIFOTYPE), b""), "named pipe"),
        ((member("volume", b"", b"V"), b""), "type b'V' is not known"),
        (file("a", uid=-1), "no owner -1:0"),
        (file("a", gid=2**32 - 1), "no owner 0:4294967295"),
        (
            file("bin/ping", pax_headers={"SCHILY.xattr.security.capability": "\1"}),
            "has capabilities.*Give the container",
        ),
        (file("a", pax_headers={"path": "a\0b"}), "below the root"),
    ],
    ids=str,
)
def test_a_hostile_member_is_refused(tmp_path: Path, hostile: tuple[tarfile.TarInfo, bytes], message: str) -> None:
    form = tarfile.GNU_FORMAT if hostile[0].uid < 0 else tarfile.PAX_FORMAT
    with pytest.raises(LayerError, match=message):
        entries(tmp_path, archive(file("before", b"x"), hostile, form=form))


def test_a_hard_link_to_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayerError, match=r"to /d: that is a directory. Make it a symbolic link"):
        entries(tmp_path, archive(folder("d"), link("h", "d")))


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"no archive, but long enough for a header " * 20,
        archive(file("a", b"x" * 5000))[:3000],
        archive(file("a", b"x"), file("b", b"y"))[:1024] + b"junk" * 128 + bytes(1024),
        gzip.compress(archive(file("a", b"x" * 5000)))[:-20],
        zstandard.compress(archive(file("a", os.urandom(5000))))[:-20],
        lzma.compress(archive(file("a", b"x" * 5000)))[:-20],
        gzip.compress(archive(file("a", b"x"))) + b"junk",
    ],
    ids=["empty", "text", "cut off", "bad header", "gzip cut off", "zstd cut off", "xz cut off", "junk after gzip"],
)
def test_a_damaged_archive_is_an_error_and_never_a_part_of_it(tmp_path: Path, damaged: bytes) -> None:
    with pytest.raises(LayerError, match=r"cannot read archive any.tar as a tar archive: .*Give a whole one"):
        entries(tmp_path, damaged)


@pytest.mark.parametrize(
    "form", ["--format=gnu", "--sparse-version=0.0", "--sparse-version=0.1", "--sparse-version=1.0"]
)
def test_sparse_files_are_read_with_their_holes(tmp_path: Path, form: str) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as out:
        for place in (5, 300, 301, 900):
            out.seek(place << 16)
            out.write(b"data" * 5000)
        out.truncate(1000 << 16)
    (tmp_path / "after").write_bytes(b"after")
    options = [form] if "=gnu" in form else ["--format=pax", form]
    names = ["--sparse", f"--directory={tmp_path}", "sparse", "after"]
    made = tmp_path / "sparse.tar"
    subprocess.run([*tool("tar"), "--create", *options, f"--file={made}", *names], check=True)
    assert made.stat().st_size < 1 << 20
    found = {entry.path: entry for entry in archive_entries(made, "t")}
    assert found["sparse"].size == 1000 << 16
    assert content(found["sparse"]) == sparse.read_bytes()
    assert content(found["after"]) == b"after"


# Paths of which no two can be in each other's way.
LEAVES = st.sampled_from(["a", "b", "d/a", "d/e/b", "d/" + "ü" * 120])
MEMBERS = st.lists(
    st.tuples(st.just("file"), LEAVES, st.binary(max_size=1200))
    | st.tuples(st.just("hardlink"), LEAVES, LEAVES)
    | st.tuples(st.just("symlink"), LEAVES, st.sampled_from(["a", "../x", "/y"])),
    max_size=12,
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MEMBERS, st.sampled_from(sorted(COMPRESSIONS)), st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_entries_are_what_gnu_tar_extracts(
    members: list[tuple[str, str, bytes | str]], compression: str, form: int
) -> None:
    made = []
    present = set()
    for kind, name, value in members:
        if isinstance(value, bytes):
            made.append(file(name, value))
        elif kind == "symlink":
            made.append(link(name, value, tarfile.SYMTYPE))
        elif value in present and value != name:  # GNU tar takes a link only after its file.
            made.append(link(name, value))
        else:
            continue
        present.add(name)
    plain = archive(*made, form=form)
    with TemporaryDirectory() as folder_name:
        root = Path(folder_name)
        found = Tree(entries(root, COMPRESSIONS[compression](plain))).entries()
        (root / "any.tar").unlink()
        # Without --absolute-names tar makes some symbolic links at its end only, over files that came later.
        options = ["--extract", "--absolute-names", f"--directory={root}"]
        subprocess.run([*tool("tar"), *options], input=plain, check=True)
        extracted: dict[str, object] = {}
        inodes: dict[str, object] = {}
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root).as_posix()
            if path.is_symlink():
                extracted[name] = str(path.readlink())
            elif path.is_file():
                extracted[name] = path.read_bytes()
                inodes[name] = path.stat().st_ino
    files = {entry.path: entry for entry in found}
    read = {
        entry.path: entry.target if entry.kind == "symlink" else content(files.get(entry.target, entry))
        for entry in found
    }
    assert read == extracted
    ours = {entry.path: entry.target or entry.path for entry in found if entry.kind != "symlink"}
    assert [[ours[a] == ours[b] for a in ours] for b in ours] == [[inodes[a] == inodes[b] for a in ours] for b in ours]


SPECIMEN = archive(
    folder("d"),
    file("d/f", b"content" * 200),
    link("d/h", "d/f"),
    file("ü" * 120, b"pax", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
    file("after", b"1"),
)
GNU_SPECIMEN = archive(
    file("n" * 150, b"gnu"), (member("s", b"", tarfile.GNUTYPE_SPARSE), b""), form=tarfile.GNU_FORMAT
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_mutilated_archive_is_read_or_refused_but_never_anything_else(tmp_path: Path, data: st.DataObject) -> None:
    specimen = bytearray(data.draw(st.sampled_from([SPECIMEN, GNU_SPECIMEN])))
    block = 512 * data.draw(st.integers(0, len(specimen) // 512 - 1))
    place = block + data.draw(st.sampled_from([0, 100, 108, 116, 124, 130, 148, 156, 157, 345, 386, 482]))
    value = data.draw(st.binary(min_size=1, max_size=12) | st.sampled_from([b"\xff" * 12, b"\x80" + b"\x7f" * 11]))
    specimen[place : place + len(value)] = value
    if data.draw(st.booleans()):  # A header that proves itself right.
        header = specimen[block : block + 512]
        header[148:156] = b" " * 8
        specimen[block + 148 : block + 156] = b"%06o\0 " % sum(header)
    try:
        found = entries(tmp_path, bytes(specimen[: data.draw(st.integers(0, len(specimen)) | st.just(len(specimen)))]))
    except LayerError:
        found = []
    for entry in found:
        if entry.kind == "file" and entry.size < 1 << 24:
            assert len(content(entry)) == entry.size
