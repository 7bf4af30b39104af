"""Headers of tar archives: what independent readers make of them."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.tools import tool
from tools.image.entries import Entry
from tools.image.tar_header import archive_end, tar_header

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120)
OWNERS = st.integers(0, 8**7 + 1)
KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
}
HUGE = 9 << 30


@given(
    st.builds(
        Entry,
        path=st.lists(NAMES, min_size=1, max_size=3).map("/".join),
        kind=st.sampled_from(sorted(KINDS.values())),
        mode=st.integers(0, 0o7777),
        uid=OWNERS,
        gid=OWNERS,
        target=st.just("") | NAMES,
        size=st.integers(0, 8**11 + 1),
        origin=st.just("t"),
    )
)
@example(Entry("f" * 100, origin="t"))
@example(Entry("f" * 101, origin="t"))
@example(Entry("d" * 99, "directory", origin="t"))
@example(Entry("d" * 100, "directory", origin="t"))
@example(Entry("l", "symlink", target="t" * 100, origin="t"))
@example(Entry("l", "symlink", target="t" * 101, origin="t"))
@example(Entry("f", uid=8**7 - 1, gid=8**7 - 1, size=8**11 - 1, origin="t"))
@example(Entry("f", uid=8**7, gid=8**7, size=8**11, origin="t"))
def test_python_reads_what_a_header_was_made_of(entry: Entry) -> None:
    header = tar_header(entry)
    with tarfile.open(fileobj=io.BytesIO(header + archive_end(len(header))), mode="r:") as archive:
        found = archive.next()
    assert found is not None
    assert (
        Entry(
            found.name,
            KINDS[found.type],  # type: ignore[arg-type]
            found.mode,
            found.uid,
            found.gid,
            found.linkname,
            found.size,
            origin="t",
        )
        == entry
    )
    assert (found.mtime, found.uname, found.gname) == (0, "", "")


@pytest.mark.parametrize(
    ("entry", "blocks"),
    [
        (Entry("f" * 100), 1),
        (Entry("f" * 101), 3),
        (Entry("l", "symlink", target="t" * 100), 1),
        (Entry("ü"), 3),
        (Entry("f", uid=8**7 - 1, gid=8**7 - 1, size=8**11 - 1), 1),
        (Entry("f", size=8**11), 3),
        (Entry("f" * 700), 4),
    ],
)
def test_a_pax_header_is_written_only_where_it_is_needed(entry: Entry, blocks: int) -> None:
    assert len(tar_header(entry)) == 512 * blocks


def test_gnu_tar_lists_a_huge_file_and_what_follows_it(tmp_path: Path) -> None:
    """The archive is sparse: it takes a few blocks of the disk."""
    archive = tmp_path / "huge.tar"
    with archive.open("wb") as out:
        for entry in (Entry("huge", size=HUGE), Entry("after", "symlink", 0o777, target="huge")):
            out.write(tar_header(entry))
            out.seek(entry.size, os.SEEK_CUR)
        out.write(archive_end(out.tell()))
    listed = subprocess.run(
        [*tool("tar"), "--list", "--verbose", "--numeric-owner", f"--file={archive}"],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
    ).stdout
    assert [line.split() for line in listed.splitlines()] == [
        ["-rw-r--r--", "0/0", str(HUGE), "1970-01-01", "00:00", "huge"],
        ["lrwxrwxrwx", "0/0", "0", "1970-01-01", "00:00", "after", "->", "huge"],
    ]


@given(st.integers(0, 100).map(lambda blocks: 512 * blocks))
def test_an_archive_ends_with_two_empty_blocks_and_fills_whole_records(size: int) -> None:
    end = archive_end(size)
    assert len(end) >= 1024
    assert end.strip(b"\0") == b""
    assert (size + len(end)) % 10240 == 0
