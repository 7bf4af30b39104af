"""Layers on top of each other are what a container sees, whiteouts, links and all."""

import tarfile
from pathlib import Path

import pytest

from tests.image.testing.fixtures import (
    MadeLayer,
    SubjectMaker,
    directory,
    file,
    foreign_layer,
    hardlink,
    layer,
    symlink,
)
from tools.image.testing.checks import file_system
from tools.image.testing.filesystem import FileSystem, Glob, NothingThere
from tools.image.testing.subject import Subject

ROOT = layer(
    directory("etc"),
    directory("etc/app", 0o750),
    file("etc/app/config.yaml", "one: 1\n"),
    file("etc/app/other.yaml"),
    directory("usr"),
    directory("usr/lib"),
    file("usr/lib/libc.so.6", "c"),
    symlink("lib", "usr/lib"),
    symlink("usr/lib/up", "../../etc"),
    symlink("usr/lib/far", "/../../etc/app"),
    symlink("loop", "loop"),
    symlink("dangling", "nowhere"),
    hardlink("usr/lib/same", "usr/lib/libc.so.6"),
    name="root",
)


def overlaid(tmp_path: Path, *layers: MadeLayer) -> FileSystem:
    subject = Subject.read(SubjectMaker(tmp_path).make({"linux/amd64": layers}))
    return file_system(subject.images["linux/amd64"])


def paths(files: FileSystem, folder: str = "/") -> list[str]:
    return [path for path, _, _ in files.below(folder)]


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("/etc/app/config.yaml", "etc/app/config.yaml"),
        ("//etc/./app//config.yaml", "etc/app/config.yaml"),
        ("/lib/libc.so.6", "usr/lib/libc.so.6"),
        ("/lib/up/app", "etc/app"),
        ("/lib/far/config.yaml", "etc/app/config.yaml"),
        ("/lib/../../../etc", "etc"),
        ("/", ""),
    ],
)
def test_a_path_leads_where_it_leads_a_program_in_the_container(tmp_path: Path, path: str, real: str) -> None:
    assert overlaid(tmp_path, ROOT).find(path).path == real


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/app/confg.yaml", "/etc/app has no confg.yaml; it has config.yaml, other.yaml"),
        ("/etc/zzz/x", "/etc has no zzz"),
        ("/etc/app/config.yaml/x", "/etc/app/config.yaml is a file, and no directory"),
        ("/loop", "/loop is a symlink that leads to itself"),
        ("/dangling", "/ has no nowhere"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(tmp_path: Path, path: str, why: str) -> None:
    with pytest.raises(NothingThere) as error:
        overlaid(tmp_path, ROOT).find(path)
    assert str(error.value) == why


def test_a_symlink_at_the_end_can_be_looked_at_itself(tmp_path: Path) -> None:
    node = overlaid(tmp_path, ROOT).find("/dangling", follow=False)
    assert (node.kind, node.target) == ("symlink", "nowhere")


def test_a_hard_link_is_the_file_that_it_shares(tmp_path: Path) -> None:
    files = overlaid(tmp_path, ROOT)
    assert files.find("/lib/same").sha256 == files.find("/lib/libc.so.6").sha256 != ""


def test_a_whiteout_removes_what_is_below_and_nothing_of_its_own_layer(tmp_path: Path) -> None:
    top = layer(file("etc/app/config.yaml", "new"), file("etc/app/.wh.config.yaml"), file("usr/.wh.lib"))
    files = overlaid(tmp_path, ROOT, top)
    assert paths(files, "/etc/app") == ["config.yaml", "other.yaml"]
    assert files.find("/etc/app/config.yaml").layer == 1
    assert paths(files, "/usr") == []


def test_an_opaque_whiteout_hides_all_of_a_folder_below(tmp_path: Path) -> None:
    top = layer(file("etc/app/.wh..wh..opq"), file("etc/app/new.yaml"))
    files = overlaid(tmp_path, ROOT, top)
    assert paths(files, "/etc/app") == ["new.yaml"]
    assert files.find("/etc/app").mode == 0o750


def test_a_file_in_the_place_of_a_directory_hides_what_was_in_it(tmp_path: Path) -> None:
    files = overlaid(tmp_path, ROOT, layer(file("etc", "a file")))
    assert files.find("/etc").kind == "file"
    assert "etc/app" not in paths(files)


def test_an_upper_layer_changes_the_mode_of_a_directory_and_keeps_what_is_in_it(tmp_path: Path) -> None:
    files = overlaid(tmp_path, ROOT, layer(directory("etc/app", 0o700)))
    assert files.find("/etc/app").mode == 0o700
    assert paths(files, "/etc/app") == ["config.yaml", "other.yaml"]


def test_a_file_below_a_symlink_of_a_lower_layer_is_a_problem(tmp_path: Path) -> None:
    files = overlaid(tmp_path, ROOT, layer(file("lib/mine.so"), file("lib/other.so"), name="mine"))
    assert files.problems == [
        "layer 2 of 2 (mine) places /lib/mine.so, but /lib is a symlink to usr/lib (layer 1 of 2 (root)): "
        "engines do not agree on what that means. Place it below usr/lib itself."
    ]


def test_a_path_that_leaves_the_root_is_a_problem(tmp_path: Path) -> None:
    files = overlaid(tmp_path, foreign_layer((tarfile.TarInfo("../etc/passwd"), b"")))
    assert files.problems == ["layer 1 of 1 (pulled) has '../etc/passwd', a path that leaves the root of the image"]


def test_a_hard_link_to_nothing_is_a_problem(tmp_path: Path) -> None:
    link = tarfile.TarInfo("./bin/sh")
    link.type, link.linkname = tarfile.LNKTYPE, "./bin/busybox"
    assert overlaid(tmp_path, foreign_layer((link, b""))).problems == [
        "layer 1 of 1 (pulled) has /bin/sh, a hard link to /bin/busybox: / is empty"
    ]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_layer_without_a_listing_is_read_itself(tmp_path: Path, compression: str) -> None:
    made = layer(directory("etc"), file("etc/x", "y", mode=0o4711, uid=3, gid=4), compression=compression)
    files = overlaid(tmp_path, MadeLayer(made.blob, made.metadata, None))
    node = files.find("/etc/x")
    assert (node.kind, node.mode, node.uid, node.gid, node.size) == ("file", 0o4711, 3, 4, 1)


@pytest.mark.parametrize(
    ("glob", "names", "not_names"),
    [
        ("/etc/*.conf", ["etc/a.conf", "etc/.conf"], ["etc/a/b.conf", "a.conf"]),
        ("**/*.pem", ["a.pem", "a/b/c.pem"], ["a.pem/x", "pem"]),
        ("/app/**", ["app/x", "app/x/y"], ["app", "apps/x"]),
        ("**/__pycache__/**", ["__pycache__/x", "a/__pycache__/b/c"], ["a/__pycache__", "a/x__pycache__/y"]),
        ("/a?c", ["abc"], ["ac", "a/c"]),
        ("/x[0-9]", ["x1"], ["xa"]),
        ("/x[!0-9]", ["xa"], ["x1", "x/"]),
        ("/x[]^]", ["x]", "x^"], ["xa"]),
        ("/x[", ["x["], ["x"]),
        ("/a.b", ["a.b"], ["axb"]),
        ("/a/**/b", ["a/b", "a/x/y/b"], ["a/xb"]),
    ],
)
def test_a_pattern_names(glob: str, names: list[str], not_names: list[str]) -> None:
    assert [name for name in names if not Glob(glob).names(name)] == []
    assert [name for name in not_names if Glob(glob).names(name)] == []


@pytest.mark.parametrize("glob", ["", "/", "/a**b", "/../x"])
def test_what_is_no_pattern_is_an_error(glob: str) -> None:
    with pytest.raises(ValueError, match="is not a pattern of paths"):
        Glob(glob)


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("/lib/libc.so.6", ["usr/lib/libc.so.6"]),
        ("/lib/lib*", ["usr/lib/libc.so.6"]),
        ("/lib", ["lib"]),
        ("**/*.yaml", ["etc/app/config.yaml", "etc/app/other.yaml"]),
        ("/lib/up/app/c*", ["etc/app/config.yaml"]),
        ("/nowhere/*", []),
        ("/dangling", ["dangling"]),
    ],
)
def test_a_pattern_finds_files_through_symlinked_folders(tmp_path: Path, glob: str, found: list[str]) -> None:
    assert [node.path for node in overlaid(tmp_path, ROOT).matching(Glob(glob))] == found
