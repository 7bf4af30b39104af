"""What a layer may contain, and what happens when two origins bring the same path."""

import pytest

from tools.image.entries import Entry, LayerError, Tree, bytes_entry


def test_entries_come_sorted_with_a_folder_before_what_is_in_it() -> None:
    tree = Tree(
        [
            bytes_entry("a/b", b"", origin="x"),
            bytes_entry("a-c", b"", origin="x"),
            Entry("a", "directory", 0o755, origin="x"),
        ]
    )
    assert [entry.path for entry in tree.entries()] == ["a", "a/b", "a-c"]


def test_equal_files_from_two_origins_are_kept_once() -> None:
    tree = Tree([bytes_entry("f", b"same", origin="one"), bytes_entry("f", b"same", origin="two")])
    assert [entry.origin for entry in tree.entries()] == ["one"]


@pytest.mark.parametrize(
    "other",
    [
        bytes_entry("f", b"else", origin="two"),
        bytes_entry("f", b"longer", origin="two"),
        bytes_entry("f", b"same", mode=0o755, origin="two"),
        bytes_entry("f", b"same", uid=7, origin="two"),
        Entry("f", "symlink", target="same", origin="two"),
        Entry("f", "directory", origin="two"),
    ],
    ids=["content", "size", "mode", "owner", "symlink", "directory"],
)
def test_two_different_things_at_one_path_are_an_error_that_names_both_origins(other: Entry) -> None:
    tree = Tree([bytes_entry("f", b"same", origin="one")])
    with pytest.raises(LayerError, match=r"two different things at /f.*one.*two"):
        tree.add(other)


def test_of_two_directories_the_first_one_stays() -> None:
    tree = Tree([Entry("tmp", "directory", 0o1777, origin="one"), Entry("tmp", "directory", 0o755, origin="two")])
    assert [entry.mode for entry in tree.entries()] == [0o1777]


@pytest.mark.parametrize(
    ("path", "says"),
    [(path, "Name a file or a folder") for path in ("", "/", ".", "//./")]
    + [(path, r"Give a path without '\.\.'") for path in ("../x", "a/../../x", "a/..")]
    + [("a\0b", "Give a path without a NUL")],
)
def test_a_path_that_does_not_lie_below_the_root_is_refused(path: str, says: str) -> None:
    with pytest.raises(LayerError, match=rf"below the root of the image\. {says}"):
        Tree([bytes_entry(path, b"", origin="x")])


def test_a_path_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(LayerError, match=r"cannot place 'caf\\udce9' \(from x\) in a layer: it is not UTF-8.*Rename"):
        Tree([bytes_entry("caf\udce9", b"", origin="x")])


def test_a_path_is_brought_into_its_one_canonical_form() -> None:
    tree = Tree([bytes_entry("/a//./b", b"", origin="x")])
    assert [entry.path for entry in tree.entries()] == ["a/b"]


@pytest.mark.parametrize(
    ("above", "says"),
    [
        (
            bytes_entry("a", b"", origin="one"),
            r"a file \(from one\)\. Only a directory can hold it: place it elsewhere, or",
        ),
        (
            Entry("a", "symlink", target="b", origin="one"),
            r"a symlink \(from one\)\. Place it at the path that the link points to, or",
        ),
    ],
)
def test_nothing_can_lie_below_what_is_not_a_folder(above: Entry, says: str) -> None:
    tree = Tree([above, bytes_entry("a/b/c", b"", origin="two")])
    with pytest.raises(LayerError, match=rf"/a/b/c \(from two\): /a is {says}"):
        tree.entries()


def test_the_first_of_several_names_of_a_file_is_the_file_and_the_others_link_to_it() -> None:
    tree = Tree([bytes_entry("z", b"content", origin="x"), Entry("a", "hardlink", target="z", origin="x")])
    assert [(entry.path, entry.kind, entry.target) for entry in tree.entries()] == [
        ("a", "file", ""),
        ("z", "hardlink", "a"),
    ]


def test_a_link_to_a_file_that_the_layer_lacks_is_an_error() -> None:
    tree = Tree([Entry("a", "hardlink", target="z", origin="x")])
    with pytest.raises(LayerError, match="no such file"):
        tree.entries()
