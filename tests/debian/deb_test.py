"""Packages are read as dpkg-deb writes them; what is no package is an error that says why."""

from pathlib import Path

import pytest

from tests.debian.packages import build_deb, raw_deb, write_ar
from tools.debian.deb import read_deb
from tools.debian.errors import DebianError


@pytest.mark.parametrize("compression", ["none", "gzip", "xz"])
def test_a_package_of_dpkg_deb_is_read_whatever_its_compression(tmp_path: Path, compression: str) -> None:
    large = "0123456789abcdef" * 100_000
    path = build_deb(
        tmp_path,
        "tool",
        version="2:1.0~rc1+b2-3",
        files={"usr/bin/tool": "#!/bin/tool\n", "usr/share/tool/large": large},
        control={"postinst": "#!/bin/sh\n"},
        compression=compression,
    )

    deb = read_deb(path)

    assert (deb.name, deb.version, deb.architecture) == ("tool", "2:1.0~rc1+b2-3", "amd64")
    assert deb.fields["Description"] == "tool, for a test\n It has a second line."
    assert deb.control["postinst"] == b"#!/bin/sh\n"
    contents = {member.name: deb.open(member).read().decode() for member in deb.members if member.isfile()}
    assert contents == {"./usr/bin/tool": "#!/bin/tool\n", "./usr/share/tool/large": large}


def test_a_compression_that_cannot_be_read_is_named_with_a_way_out(tmp_path: Path) -> None:
    path = build_deb(tmp_path, "modern", compression="zstd")

    with pytest.raises(DebianError, match=r"modern_1\.0_amd64\.deb\n.*control\.tar\.zst.*zst.*\n.*dpkg-deb -Zxz"):
        read_deb(path)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({}, "its format is b''"),
        ({"debian-binary": b"3.0\n"}, "its format is b'3.0"),
        ({"debian-binary": b"2.0\n"}, "it has no control.tar"),
        ({"debian-binary": b"2.0\n", "control.tar": b"nonsense"}, "ReadError"),
        ({"debian-binary": b"2.0\n", "control.tar.xz": b"nonsense"}, "LZMAError"),
        ({"debian-binary": b"2.0\n", "control.tar.gz": b"nonsense"}, "Not a gzip"),
        ({"debian-binary": b"2.0\n", "control.tar": bytes(10240)}, "'control'"),
    ],
)
def test_an_archive_that_is_no_package_is_refused(tmp_path: Path, members: dict[str, bytes], why: str) -> None:
    path = tmp_path / "broken.deb"
    write_ar(path, members)

    with pytest.raises(DebianError, match=r"cannot read the Debian package broken\.deb") as error:
        read_deb(path)
    assert why in error.value.why


@pytest.mark.parametrize("kept", [4, 30, 70, 300, 2000])
def test_a_package_that_was_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    path = raw_deb(tmp_path, "short")
    path.write_bytes(path.read_bytes()[:kept])

    with pytest.raises(DebianError, match="cannot read the Debian package short_1"):
        read_deb(path)


@pytest.mark.parametrize(
    ("control", "why"),
    [
        (b"Package: p\nVersion: 1\n", "has no Architecture"),
        (b"Package: p\nArchitecture: all\n", "has no Version"),
        (b" begins with a continuation\n", "begins with a continuation"),
        (b"Package: p\nno field\n", "has no colon"),
        (b"\xff\xfe", "UnicodeDecodeError"),
    ],
)
def test_a_control_file_that_says_too_little_is_refused(tmp_path: Path, control: bytes, why: str) -> None:
    path = raw_deb(tmp_path, "p", control={"control": control})

    with pytest.raises(DebianError, match="cannot read the Debian package p_1") as error:
        read_deb(path)
    assert why in error.value.why


def test_a_package_that_is_not_there_is_an_error_of_the_same_kind(tmp_path: Path) -> None:
    with pytest.raises(DebianError, match=r"absent\.deb\n  Why: No such file or directory\n  What to do: "):
        read_deb(tmp_path / "absent.deb")
