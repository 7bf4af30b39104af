"""What the tool that writes layers makes of its content list, and what it refuses."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.image.content import ELF, arguments, file
from tools.image.layer_tool import _folders_of_bazel, main


@dataclass(frozen=True, slots=True)
class Written:
    """A written layer: its metadata and its listing."""

    metadata: Mapping[str, Any]
    entries: Sequence[Mapping[str, Any]]

    @property
    def paths(self) -> list[str]:
        return [entry["path"] for entry in self.entries]


def write(folder: Path, *items: Mapping[str, str], options: Sequence[str] = ()) -> Written:
    assert main(arguments(folder, items, *options)) == 0
    return written(folder)


def written(folder: Path) -> Written:
    lines = (folder / "listing").read_text(encoding="utf-8").splitlines()
    return Written(json.loads((folder / "metadata").read_text()), [json.loads(line) for line in lines])


def test_content_says_what_is_executable_and_a_line_may_say_otherwise(tmp_path: Path) -> None:
    layer = write(
        tmp_path,
        {"kind": "file", "path": "bin/program", "source": file(tmp_path / "a", ELF["arm64"])},
        {"kind": "file", "path": "bin/script", "source": file(tmp_path / "b", b"#!/bin/sh\n")},
        {"kind": "file", "path": "etc/key", "source": file(tmp_path / "c"), "mode": "0600", "owner": "65532:65532"},
        {"kind": "file", "path": "etc/text", "source": file(tmp_path / "c")},
        {"kind": "directory", "path": "var/lib/app", "owner": "1000"},
        {"kind": "symlink", "path": "var/link", "target": "/etc/text"},
        options=["--architecture=arm64"],
    )
    assert [(entry["path"], entry["mode"], entry["uid"], entry["gid"]) for entry in layer.entries] == [
        ("bin/program", "0755", 0, 0),
        ("bin/script", "0755", 0, 0),
        ("etc/key", "0600", 65532, 65532),
        ("etc/text", "0644", 0, 0),
        ("var/lib/app", "0755", 1000, 1000),
        ("var/link", "0777", 0, 0),
    ]
    assert layer.metadata["machine"] == "arm64"
    assert layer.metadata["packages"] == []


def test_a_directory_holds_what_its_links_lead_to_however_it_is_shown(tmp_path: Path) -> None:
    elsewhere = file(tmp_path / "elsewhere/output.txt", b"of another action")
    top = tmp_path / "tree"
    file(top / "lib/libx.so.1", b"library")
    (top / "lib/libx.so").symlink_to("libx.so.1")
    (top / "current").symlink_to("lib")
    (top / "taken.txt").symlink_to(elsewhere)
    (top / "outside").symlink_to("../elsewhere/output.txt")
    file(top / "ünïcode/名.txt", b"")
    layer = write(tmp_path, {"kind": "tree", "path": "opt/x", "source": str(top)})
    assert {entry["path"]: (entry["kind"], entry["size"]) for entry in layer.entries} == {
        "opt/x/current/libx.so": ("file", 7),
        "opt/x/current/libx.so.1": ("file", 7),
        "opt/x/lib/libx.so": ("file", 7),
        "opt/x/lib/libx.so.1": ("file", 7),
        "opt/x/outside": ("file", 17),
        "opt/x/taken.txt": ("file", 17),
        "opt/x/ünïcode/名.txt": ("file", 0),
    }

    # A sandbox shows each file as a link to where it is.
    for entry in layer.entries:
        shown = tmp_path / "sandbox" / entry["path"]
        shown.parent.mkdir(parents=True, exist_ok=True)
        shown.symlink_to(top / Path(entry["path"]).relative_to("opt/x"))
    sandboxed = write(tmp_path, {"kind": "tree", "path": "opt/x", "source": str(tmp_path / "sandbox/opt/x")})
    assert sandboxed == layer


def test_a_directory_of_the_sources_is_placed_with_all_that_is_in_it(tmp_path: Path) -> None:
    file(tmp_path / "sources/a/b.txt")
    layer = write(tmp_path, {"kind": "file", "path": "etc/x", "source": str(tmp_path / "sources")})
    assert layer.paths == ["etc/x/a/b.txt"]


def test_a_directory_without_end_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tree/a").mkdir(parents=True)
    (tmp_path / "tree/a/again").symlink_to("..")
    assert main(arguments(tmp_path, [{"kind": "tree", "path": "x", "source": str(tmp_path / "tree")}])) == 1
    assert "cannot place /x/a/again (from //test): it is a link to a folder that it lies in" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["nowhere/to/be/found", "/etc/os-release", "/etc"])
def test_a_link_that_a_rule_leaves_unresolved_is_a_link_whatever_the_machine_has_there(
    tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "base/execroot/_main"
    root.mkdir(parents=True)
    monkeypatch.chdir(root)
    _folders_of_bazel.cache_clear()
    Path("unresolved").symlink_to(target)
    Path("resolved").symlink_to(file(root / "other.txt"))
    layer = write(
        tmp_path,
        {"kind": "output", "path": "resolved", "source": "resolved"},
        {"kind": "output", "path": "unresolved", "source": "unresolved"},
    )
    _folders_of_bazel.cache_clear()
    assert [(entry["kind"], entry.get("target")) for entry in layer.entries] == [("file", None), ("symlink", target)]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_nothing_but_content_makes_a_difference(tmp_path: Path, compression: str) -> None:
    items = [
        {"kind": "file", "path": f"data/{number}", "source": file(tmp_path / "in" / str(number), b"x" * number * 1000)}
        for number in range(200)
    ]
    first, again = tmp_path / "first", tmp_path / "again"
    for folder, options in ((first, []), (again, ["--perturbed"])):
        folder.mkdir()
        # A process of its own: the second one starts itself anew, under other conditions.
        call = [sys.executable, "-m", "tools.image.layer_tool"]
        call += arguments(folder, items, f"--compression={compression}", *options)
        subprocess.run(call, check=True, env={"PYTHONPATH": ":".join(sys.path)}, cwd=tmp_path)
    assert written(first) == written(again)
    assert (first / "blob").read_bytes() == (again / "blob").read_bytes()
    assert (again / "blob").stat().st_mode & 0o777 == 0o600, "the umask was to be another one"


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        (
            [("file", "x", b"one", "//a:a"), ("file", "x", b"two", "//b:b")],
            "two different things at /x: a file .* from //a:a, and a file .* from //b:b. Leave one of them out",
        ),
        ([("file", "../x", b"", "//a:a")], "cannot place '../x' .from //a:a.*Give a path without"),
        ([("file", "bin/x", ELF["amd64"], "//a:a")], "/bin/x .from //a:a. is a program for amd64.*Build it for"),
    ],
)
def test_what_is_wrong_is_named_with_its_origin_and_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], items: list[tuple[str, str, bytes, str]], complaint: str
) -> None:
    lines = [
        {"kind": kind, "path": path, "source": file(tmp_path / "in" / str(number), content), "origin": origin}
        for number, (kind, path, content, origin) in enumerate(items)
    ]
    assert main(arguments(tmp_path, lines, "--architecture=arm64")) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert re.search(complaint, said, re.DOTALL), said


def test_equal_content_at_one_path_is_one_file(tmp_path: Path) -> None:
    one, other = file(tmp_path / "one"), file(tmp_path / "other")
    items = [{"kind": "file", "path": "x", "source": source, "origin": source} for source in (one, other)]
    assert write(tmp_path, *items).paths == ["x"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("mode", each) for each in ("rw", "99999", "0o644")]
    + [("owner", each) for each in ("nobody", "-1:-1", "9999999999")],
)
def test_a_mode_or_owner_that_is_none_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str, value: str
) -> None:
    item = {"kind": "file", "path": "x", "source": file(tmp_path / "x"), key: value}
    assert main(arguments(tmp_path, [item])) == 1
    assert "Write an octal mode" in capsys.readouterr().err
