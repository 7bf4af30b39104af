import stat
import zipfile
from pathlib import Path

import pytest

from tests.pip.wheels import native_wheels, write_wheel
from tools.pip.errors import PipError
from tools.pip.unpack import main, unpack
from tools.pip.wheel import wheel_entries


def archive(folder: Path, *members: tuple[str, str] | tuple[zipfile.ZipInfo, str]) -> Path:
    path = folder / "bad-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        for member, content in members:
            out.writestr(zipfile.ZipInfo(member) if isinstance(member, str) else member, content)
    return path


def member(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def contents(wheel: Path) -> dict[str, bytes]:
    read = {}
    for entry in wheel_entries(wheel):
        with entry.open() as content:
            read[entry.path] = content.read()
        assert len(read[entry.path]) == entry.size
    return read


def test_entries_are_files_sorted_by_path_and_folders_are_left_out(tmp_path: Path) -> None:
    wheel = archive(tmp_path, ("b.py", "b"), ("a/", ""), ("a/z.py", "z"), ("a.py", "a"))
    assert contents(wheel) == {"a.py": b"a", "a/z.py": b"z", "b.py": b"b"}
    assert [entry.path for entry in wheel_entries(wheel)] == ["a.py", "a/z.py", "b.py"]


def test_modes_are_plain_and_only_the_executable_bit_is_kept(tmp_path: Path) -> None:
    wheel = archive(
        tmp_path,
        (member("plain.py", stat.S_IFREG | 0o600), ""),
        (member("program", stat.S_IFREG | 0o4700), ""),
        ("dos.py", ""),
    )
    assert {entry.path: entry.mode for entry in wheel_entries(wheel)} == {
        "dos.py": 0o644,
        "plain.py": 0o644,
        "program": 0o755,
    }


def test_the_data_folder_is_spread_as_pip_does_it(tmp_path: Path) -> None:
    wheel = archive(
        tmp_path,
        ("pkg-1.0.data/purelib/pkg/__init__.py", "pure"),
        ("pkg-1.0.data/platlib/pkg/_fast.so", "fast"),
        ("pkg-1.0.data/scripts/tool", "#!python -s\nprint()"),
        ("pkg-1.0.data/scripts/binary", "\x7fELF"),
        ("pkg-1.0.data/scripts/other", "#!/bin/sh\n"),
        ("pkg-1.0.data/headers/pkg.h", "header"),
        ("pkg-1.0.data/data/share/man/pkg.1", "man"),
    )
    assert contents(wheel) == {
        "bin/binary": b"\x7fELF",
        "bin/other": b"#!/bin/sh\n",
        "bin/tool": b"#!/usr/bin/env python3 -s\nprint()",
        "include/pkg/pkg.h": b"header",
        "pkg/__init__.py": b"pure",
        "pkg/_fast.so": b"fast",
        "share/man/pkg.1": b"man",
    }
    assert {entry.mode for entry in wheel_entries(wheel) if entry.path.startswith("bin/")} == {0o755}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("/etc/passwd", "absolute"),
        ("C:/windows", "absolute"),
        ("../escape.py", "leads out"),
        ("pkg/../../escape.py", "leads out"),
        ("pkg-1.0.data/scripts/../../escape", "leads out"),
        ("pkg-1.0.data/purelib/../escape", "leads out"),
        ("..", "leads out"),
        ("pkg//a.py", "plain form"),
        ("./a.py", "plain form"),
        ("pkg\\..\\escape.py", "plain form"),
        ("pkg/a.py\nb", "plain form"),
        ("pkg-1.0.data/startup/x", "no folder `startup`"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_by_name(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(PipError) as error:
        wheel_entries(archive(tmp_path, ("pkg/ok.py", ""), (name, "")))
    assert "bad-1.0-py3-none-any.whl" in error.value.what
    assert repr(name) in error.value.what
    assert why in error.value.why


def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    wheel = archive(tmp_path, ("pkg/aXb.py", ""))
    wheel.write_bytes(wheel.read_bytes().replace(b"aXb", b"a\0b"))
    with pytest.raises(PipError, match="plain form"):
        wheel_entries(wheel)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_special_files_are_refused(tmp_path: Path, kind: int) -> None:
    with pytest.raises(PipError, match="symbolic link or a special file"):
        wheel_entries(archive(tmp_path, (member("pkg/link", kind | 0o777), "/etc/passwd")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("first", "second"),
    [("pkg/a.py", "pkg/a.py"), ("pkg/a.py", "x-1.data/purelib/pkg/a.py"), ("pkg", "pkg/a.py"), ("pkg/a.py", "pkg")],
)
def test_two_members_at_one_place_are_refused(tmp_path: Path, first: str, second: str) -> None:
    with pytest.raises(PipError, match=r"two members have this path|is a file, so nothing can lie in it"):
        wheel_entries(archive(tmp_path, (first, ""), (second, "")))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page-1.0-py3-none-any.whl"
    path.write_text("<html>")
    with pytest.raises(PipError, match=r"cannot open the wheel page-1.0-py3-none-any.whl\n.*not a zip file"):
        wheel_entries(path)


def test_wheels_of_several_interpreters_share_a_folder(tmp_path: Path) -> None:
    wheels = native_wheels(tmp_path / "wheels", "fast", "x86_64", ("311", "313"))
    unpack(tmp_path / "out", wheels)
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.so")) == [
        "fast/_fast.cpython-311-x86_64-linux-gnu.so",
        "fast/_fast.cpython-313-x86_64-linux-gnu.so",
    ]
    assert "cp311" in (tmp_path / "out/fast-1.0.dist-info/WHEEL").read_text()


def test_wheels_that_differ_in_other_files_cannot_share_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheels = [
        write_wheel(tmp_path, "fast", tag=f"cp{python}-cp{python}-linux_x86_64", files={"fast/config.py": python})
        for python in ("311", "313")
    ]
    assert main([str(tmp_path / "out"), *map(str, wheels)]) == 1
    error = capsys.readouterr().err
    assert "fast-1.0-cp313-cp313-linux_x86_64.whl and fast-1.0-cp311-cp311-linux_x86_64.whl cannot share" in error
    assert "fast/config.py differs between them" in error
    assert "What to do: " in error


def test_a_file_of_one_wheel_cannot_be_the_folder_of_another(tmp_path: Path) -> None:
    wheels = [
        write_wheel(tmp_path, "fast", tag="cp311-cp311-linux_x86_64", files={"fast": ""}),
        write_wheel(tmp_path, "fast", tag="cp313-cp313-linux_x86_64", files={"fast/a.py": ""}),
    ]
    with pytest.raises(PipError, match="cannot share one folder"):
        unpack(tmp_path / "out", wheels)
