"""A layer that stands on another one holds what that one lacks; unpacked one after the other they are the whole."""

import io
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.debian.packages import Member, directory, file, hardlink, raw_deb, symlink
from tools.debian.deb import Deb, read_deb
from tools.debian.rootfs import root_file_system
from tools.debian.stack import difference
from tools.image.entries import Entry
from tools.image.layer import write_layer

BASE_PASSWD = [file("./usr/share/base-passwd/passwd.master", b"master:*:0:0::/:/\n")]
CERTIFICATE = "./usr/share/ca-certificates/{}.crt"


def _deb(folder: Path, name: str, *members: Member, **facts: str) -> Deb:
    return read_deb(raw_deb(folder, name, members, **facts))  # type: ignore[arg-type]


def _upper(below: Sequence[Deb], own: Sequence[Deb], exclude: Sequence[str] = ()) -> list[Entry]:
    return difference(root_file_system([*below, *own], exclude), root_file_system(below, exclude))


def _content(entries: Sequence[Entry], path: str) -> str:
    entry = next(entry for entry in entries if entry.path == path)
    assert entry.open is not None
    with entry.open() as content:
        return content.read().decode()


def test_packages_below_are_not_written_again(tmp_path: Path) -> None:
    below = [_deb(tmp_path, "libc", directory("./usr/"), directory("./usr/lib/"), file("./usr/lib/libc.so", b"c"))]
    own = [_deb(tmp_path, "tool", directory("./usr/"), directory("./usr/lib/"), file("./usr/lib/tool", b"t"))]

    assert [entry.path for entry in _upper(below, own)] == [
        "usr",
        "usr/lib",
        "usr/lib/tool",
        "var/lib",
        "var/lib/dpkg",
        "var/lib/dpkg/info",
        "var/lib/dpkg/info/tool.list",
        "var/lib/dpkg/status",
    ]


def test_the_database_lists_the_packages_of_the_whole_stack(tmp_path: Path) -> None:
    below, own = [_deb(tmp_path, "libc")], [_deb(tmp_path, "tool")]
    names = ("Package: libc\n", "Package: tool\n")

    status = _content(_upper(below, own), "var/lib/dpkg/status")

    assert [line for line in status.splitlines(keepends=True) if line.startswith("Package: ")] == list(names)


def test_folders_of_what_is_written_keep_their_modes_and_owners_and_no_other_folder_is_written(tmp_path: Path) -> None:
    below = [_deb(tmp_path, "base", directory("./tmp/", mode=0o1777), directory("./srv/"))]
    own = [_deb(tmp_path, "tool", directory("./tmp/", mode=0o755), file("./tmp/tool", b"t"), directory("./srv/"))]

    modes = {entry.path: entry.mode for entry in _upper(below, own) if not entry.path.startswith("var")}

    assert modes == {"tmp": 0o1777, "tmp/tool": 0o644}


def test_links_of_merged_folders_come_with_the_layer_that_first_has_the_folder(tmp_path: Path) -> None:
    below = [_deb(tmp_path, "base", directory("./bin/"), file("./bin/true", b"t"))]
    own = [_deb(tmp_path, "tool", file("./bin/false", b"f"), directory("./sbin/"), file("./sbin/init", b"i"))]

    paths = {entry.path for entry in _upper(below, own)}

    assert {"usr/bin/false", "usr/sbin/init", "sbin"} <= paths
    assert paths & {"bin", "usr/bin/true"} == set()


def test_configuration_is_that_of_all_packages(tmp_path: Path) -> None:
    below = [_deb(tmp_path, "certificates", file(CERTIFICATE.format("one"), b"ONE"))]
    own = [
        _deb(tmp_path, "passwd", *BASE_PASSWD),
        _deb(tmp_path, "more-certificates", file(CERTIFICATE.format("two"), b"TWO")),
    ]

    upper = _upper(below, own)

    assert _content(upper, "etc/ssl/certs/ca-certificates.crt") == "ONE\nTWO\n"
    assert _content(upper, "etc/passwd").startswith("master:")
    assert "etc/group" not in {entry.path for entry in upper}


def test_a_hard_link_brings_its_file_into_the_same_layer(tmp_path: Path) -> None:
    below = [_deb(tmp_path, "one", file("./usr/bin/one", b"1"))]
    own = [_deb(tmp_path, "two", hardlink("./usr/bin/two", "./usr/bin/one"))]

    upper = {entry.path: entry for entry in _upper(below, own)}

    assert (upper["usr/bin/two"].kind, upper["usr/bin/two"].target) == ("hardlink", "usr/bin/one")
    assert _content(list(upper.values()), "usr/bin/one") == "1"


def test_patterns_of_the_layers_below_leave_out_paths_of_the_upper_one_too(tmp_path: Path) -> None:
    below, own = [_deb(tmp_path, "one")], [_deb(tmp_path, "two", file("./usr/lib/gconv/X.so", b"x"))]

    upper = _upper(below, own, ["/usr/lib/gconv/*"])

    assert not any("gconv/X.so" in entry.path for entry in upper)


@pytest.mark.parametrize("seed", range(5))
def test_layers_unpacked_upon_each_other_are_the_whole_in_any_order_of_the_packages(tmp_path: Path, seed: int) -> None:
    debs = [
        _deb(tmp_path, "libc", directory("./usr/lib/"), file("./usr/lib/libc.so", b"c"), symlink("./etc/link", "x")),
        _deb(tmp_path, "passwd", *BASE_PASSWD, directory("./usr/", mode=0o700)),
        _deb(tmp_path, "certificates", file(CERTIFICATE.format("one"), b"ONE")),
        _deb(tmp_path, "tool", file("./bin/tool", b"t", mode=0o4755), hardlink("./bin/also", "./bin/tool")),
        _deb(tmp_path, "zone", file("./usr/share/zoneinfo/Etc/UTC", b"u")),
    ]
    chance = random.Random(seed)
    shuffled = chance.sample(debs, len(debs))
    below, own = shuffled[:2], shuffled[2:]

    lower = _written(root_file_system(below).entries())
    upper = _written(_upper(below, own))
    again = _written(_upper(chance.sample(below, len(below)), chance.sample(own, len(own))))
    whole = _written(root_file_system(debs).entries())

    assert _entries(lower) | _entries(upper) == _entries(whole)
    assert again == upper


def _written(entries: Sequence[Entry]) -> bytes:
    out = io.BytesIO()
    write_layer(entries, out, machine="amd64")
    return out.getvalue()


def _entries(layer: bytes) -> dict[str, tuple[object, ...]]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return {
            member.name: (member.type, member.mode, member.uid, member.gid, member.linkname, content)
            for member in archive
            for opened in [archive.extractfile(member) if member.isfile() else None]
            for content in [opened.read() if opened is not None else b""]
        }
