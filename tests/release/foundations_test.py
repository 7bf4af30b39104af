"""What is read off Starlark and .bazelrc files without running them."""

from pathlib import Path

import pytest

from release.foundations import find_foundations
from release.starlark import Label, literals, read_label

FILE = '''
"""A doc string with "quotes", don't mind them: load("//no:no.bzl")"""
# load("//comment:comment.bzl", "it's")
load(  # why
    "//a:b.bzl",
    "name",
)
load('@own//c/d:e/f.bzl', escaped = "g\\"h")
override(path = "folder", other_path = 'x')
'''


def test_only_what_is_loaded_is_told_as_loaded() -> None:
    strings = list(literals(FILE))
    assert [each.text for each in strings if each.loaded] == ["//a:b.bzl", "@own//c/d:e/f.bzl"]
    assert [each.text for each in strings if each.path] == ["folder"]
    assert [each.text for each in strings][2:] == ["name", "@own//c/d:e/f.bzl", 'g\\"h', "folder", "x"]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("//a/b:c/d", Label("a/b", "c/d")),
        ("//a/b", Label("a/b", "b")),
        ("@//a:b", Label("a", "b")),
        ("@@//:b", Label("", "b")),
        ("@own//a:b", Label("a", "b")),
        (":b", Label("here", "b")),
        ("@other//a:b", None),
        ("b", None),
        ("https://a/b", None),
    ],
)
def test_labels_of_the_repository_are_told_from_others(text: str, label: Label | None) -> None:
    assert read_label(text, "here", ["own"]) == label


def test_settings_of_bazel_name_files_platforms_and_further_settings(tmp_path: Path) -> None:
    (tmp_path / ".bazelrc").write_text(
        "# build --platforms=//not:this\n"
        "build --platforms=//platforms:one,//platforms:two --workspace_status_command='%workspace%/tools/status'\n"
        "build:ci --//flags:colour=blue --extra_toolchains=//toolchains/...  \\\n"
        "  --remote_cache=grpc://cache.example:9092\n"
        "import %workspace%/a.bazelrc\n"
        "try-import %workspace%/missing.bazelrc\n"
    )
    (tmp_path / "a.bazelrc").write_text("import %workspace%/b/b.bazelrc\nimport %workspace%/.bazelrc\n")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "b.bazelrc").write_text("build --host_platform=@//platforms:host\n")
    found = find_foundations(tmp_path, None)
    assert {str(label) for label in found.labels} == {
        *("//platforms:one", "//platforms:two", "//platforms:host", "//flags:colour", "//toolchains/...:..."),
    }
    for path in (".bazelrc", "a.bazelrc", "b/b.bazelrc", "missing.bazelrc", "tools/status"):
        assert found.reason(path), path
    assert found.reason("not/this") is None


def test_a_module_in_segments_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "MODULE.bazel").write_text('module(name = "own")\ninclude("//a:more.MODULE.bazel")\n')
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "more.MODULE.bazel").write_text(
        'x = use_extension("@own//a:x.bzl", "x")\nlocal_path_override(module_name = "m", path = "./m/")\n'
    )
    (tmp_path / "a" / "x.bzl").write_text('load(":y.bzl", "y")\n')
    (tmp_path / "a" / "y.bzl").write_text('FILE = Label(":script.py")\nload(":x.bzl", "x")\n')
    found = find_foundations(tmp_path, "release/config.yaml")
    for path in ("a/more.MODULE.bazel", "a/x.bzl", "a/y.bzl", "a/script.py", "m/any/file", "release/config.yaml"):
        assert found.reason(path), path
    assert found.reason("a/other.py") is None
    assert found.reason("mm/file") is None
