"""What packages install together: their files as they are, in the places that Debian's layout gives them."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.debian.packages import Member, build_deb, directory, file, hardlink, raw_deb, special, symlink
from tools.debian.deb import read_deb
from tools.debian.errors import DebianError
from tools.debian.rootfs import architecture, root_file_system
from tools.image.entries import Entry, LayerError, Tree
from tools.image.layer import write_layer


def _tree(folder: Path, *members: Member) -> Tree:
    return root_file_system([read_deb(raw_deb(folder, "one", members))])


def _entry(tree: Tree, path: str) -> Entry:
    entry = tree.get(path)
    assert entry is not None, f"no {path}"
    return entry


def test_files_keep_their_owners_and_modes_with_the_set_id_and_sticky_bits(tmp_path: Path) -> None:
    tree = _tree(
        tmp_path,
        file("./usr/bin/as-root", b"x", mode=0o4755),
        file("./usr/bin/as-mail", b"x", mode=0o2755, gid=8),
        file("./var/games/score", b"7", mode=0o664, uid=5, gid=60),
        directory("./var/drop/", mode=0o1777),
    )

    facts = {
        path: (entry.mode, entry.uid, entry.gid)
        for path in ("usr/bin/as-root", "usr/bin/as-mail", "var/games/score", "var/drop")
        for entry in [_entry(tree, path)]
    }

    assert facts == {
        "usr/bin/as-root": (0o4755, 0, 0),
        "usr/bin/as-mail": (0o2755, 0, 8),
        "var/games/score": (0o664, 5, 60),
        "var/drop": (0o1777, 0, 0),
    }


def test_links_stay_links(tmp_path: Path) -> None:
    tree = _tree(
        tmp_path,
        file("./usr/bin/tool", b"x"),
        hardlink("./usr/bin/also", "./usr/bin/tool"),
        symlink("./usr/bin/alias", "/etc/alternatives/alias"),
    )

    assert (_entry(tree, "usr/bin/also").kind, _entry(tree, "usr/bin/also").target) == ("hardlink", "usr/bin/tool")
    assert (_entry(tree, "usr/bin/alias").kind, _entry(tree, "usr/bin/alias").target) == (
        "symlink",
        "/etc/alternatives/alias",
    )


def test_what_is_shipped_in_a_merged_directory_ends_up_where_its_link_points(tmp_path: Path) -> None:
    tree = _tree(
        tmp_path,
        directory("./lib/"),
        directory("./lib64/"),
        file("./lib/x86_64-linux-gnu/libold.so", b"x"),
        hardlink("./lib/x86_64-linux-gnu/libolder.so", "./lib/x86_64-linux-gnu/libold.so"),
        file("./bin/true", b"x"),
        directory("./var/run/", mode=0o755),
        file("./var/run/tool/pid", b"1"),
        directory("./var/lock/", mode=0o1777),
        directory("./run/"),
        directory("./usr/bin/"),
    )

    assert _entry(tree, "usr/lib/x86_64-linux-gnu/libolder.so").target == "usr/lib/x86_64-linux-gnu/libold.so"
    assert "usr/bin/true" in tree
    assert "run/tool/pid" in tree
    assert _entry(tree, "run/lock").mode == 0o1777
    links = {entry.path: entry.target for entry in tree.entries() if entry.kind == "symlink"}
    assert links == {
        "bin": "usr/bin",
        "lib": "usr/lib",
        "lib64": "usr/lib64",
        "var/run": "/run",
        "var/lock": "/run/lock",
    }


def test_the_links_of_merged_directories_may_be_shipped_by_a_package_too(tmp_path: Path) -> None:
    tree = _tree(tmp_path, symlink("./bin", "usr/bin"), directory("./usr/bin/"), file("./bin/true", b"x"))

    assert _entry(tree, "bin").target == "usr/bin"
    assert "usr/bin/true" in tree


def test_documentation_and_translations_are_left_out_and_copyright_files_stay(tmp_path: Path) -> None:
    tree = _tree(
        tmp_path,
        directory("./usr/share/doc/"),
        directory("./usr/share/doc/one/"),
        file("./usr/share/doc/one/copyright", b"free"),
        file("./usr/share/doc/one/changelog.gz", b"x"),
        directory("./usr/share/doc/one/examples/"),
        directory("./usr/share/doc/bare/"),
        file("./usr/share/doc/bare/README", b"x"),
        symlink("./usr/share/doc/one-doc", "one"),
        directory("./usr/share/man/man1/"),
        file("./usr/share/man/man1/one.1.gz", b"x"),
        file("./usr/share/locale/it/LC_MESSAGES/one.mo", b"x"),
        file("./usr/share/info/one.info.gz", b"x"),
        file("./usr/share/lintian/overrides/one", b"x"),
        file("./usr/share/one/manual", b"kept: it is not in a folder of documentation"),
    )

    shared = sorted(entry.path for entry in tree.entries() if entry.path.startswith("usr/share/"))

    assert shared == [
        "usr/share/doc",
        "usr/share/doc/one",
        "usr/share/doc/one-doc",
        "usr/share/doc/one/copyright",
        "usr/share/one/manual",
    ]


def test_patterns_leave_out_further_paths_as_dpkg_does_it(tmp_path: Path) -> None:
    deb = read_deb(raw_deb(tmp_path, "one", [file("./usr/lib/a/gconv/X.so"), file("./usr/lib/a/libx.so")]))

    tree = root_file_system([deb], ["/usr/lib/*/gconv/*"])

    assert "usr/lib/a/gconv/X.so" not in tree
    assert "usr/lib/a/libx.so" in tree
    listed = _entry(tree, "var/lib/dpkg/info/one.list").open
    assert listed is not None
    assert b"/usr/lib/a/gconv/X.so\n" in listed().read()


def test_two_packages_may_not_install_different_things_at_one_path(tmp_path: Path) -> None:
    debs = [
        read_deb(raw_deb(tmp_path, "one", [file("./usr/bin/tool", b"one")])),
        read_deb(raw_deb(tmp_path, "two", [file("./usr/bin/tool", b"two")], version="2.0")),
    ]

    with pytest.raises(LayerError, match=r"/usr/bin/tool: .* package one 1\.0, .* package two 2\.0"):
        root_file_system(debs)


def test_two_packages_may_install_the_same_thing_and_share_directories(tmp_path: Path) -> None:
    debs = [
        read_deb(raw_deb(tmp_path, "one", [directory("./etc/", mode=0o755), file("./etc/same", b"same")])),
        read_deb(raw_deb(tmp_path, "two", [directory("./etc/", mode=0o700), file("./etc/same", b"same")])),
    ]

    tree = root_file_system(debs)

    assert _entry(tree, "etc").mode == 0o755
    assert "etc/same" in tree


@pytest.mark.parametrize("path", ["./../etc/passwd", "./usr/../../etc/passwd", "usr/.."])
def test_a_path_outside_the_root_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(LayerError, match=r"cannot place .* \(from package one 1\.0\)"):
        _tree(tmp_path, file(path, b"x"))


def test_an_absolute_path_is_one_below_the_root(tmp_path: Path) -> None:
    assert "usr/bin/tool" in _tree(tmp_path, file("/usr/bin/tool", b"x"))


def test_a_hard_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LayerError, match="cannot place"):
        _tree(tmp_path, hardlink("./usr/bin/tool", "../../etc/shadow"))


def test_nothing_is_installed_through_a_symbolic_link(tmp_path: Path) -> None:
    debs = [
        read_deb(raw_deb(tmp_path, "one", [symlink("./usr/share/data", "/etc")])),
        read_deb(raw_deb(tmp_path, "two", [file("./usr/share/data/passwd", b"root::0:0:::")])),
    ]

    with pytest.raises(LayerError, match=r"/usr/share/data/passwd \(from package two 1\.0\).*package one 1\.0"):
        root_file_system(debs).entries()


def test_a_package_cannot_write_outside_of_dpkgs_database_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(LayerError, match="cannot place"):
        root_file_system([read_deb(raw_deb(tmp_path, "../../../../etc/x"))])


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(DebianError, match=r"cannot place /dev/thing \(from package one 1\.0\)"):
        _tree(tmp_path, special("./dev/thing", kind))


def test_packages_of_two_architectures_are_refused(tmp_path: Path) -> None:
    debs = [
        read_deb(raw_deb(tmp_path, "one", architecture="amd64")),
        read_deb(raw_deb(tmp_path, "two", architecture="arm64")),
        read_deb(raw_deb(tmp_path, "data", architecture="all")),
    ]

    with pytest.raises(DebianError, match="one is for amd64, two is for arm64"):
        root_file_system(debs)


def test_a_package_given_twice_is_refused(tmp_path: Path) -> None:
    debs = [read_deb(raw_deb(tmp_path, "one", version=version)) for version in ("1.0", "2.0")]

    with pytest.raises(DebianError, match="one is there more than once"):
        root_file_system(debs)


def test_a_program_for_another_machine_is_refused_with_its_package(tmp_path: Path) -> None:
    arm64_program = b"\x7fELF\x02\x01\x01" + bytes(11) + (183).to_bytes(2, "little") + bytes(44)
    debs = [read_deb(raw_deb(tmp_path, "one", [file("./usr/bin/tool", arm64_program, mode=0o755)]))]

    with pytest.raises(LayerError, match=r"/usr/bin/tool \(from package one 1\.0\).* arm64.* amd64"):
        write_layer(root_file_system(debs).entries(), io.BytesIO(), machine=architecture(debs))


def test_the_order_in_which_packages_are_given_does_not_matter(tmp_path: Path) -> None:
    paths = [build_deb(tmp_path, name, files={f"usr/share/{name}/data": name}) for name in ("one", "two", "three")]

    def digest(order: list[Path]) -> str:
        tree = root_file_system([read_deb(path) for path in order])
        return write_layer(tree.entries(), io.BytesIO(), machine="amd64").digest

    assert digest(paths) == digest(paths[::-1])


def test_without_base_passwd_there_are_root_nobody_and_nonroot(tmp_path: Path) -> None:
    tree = _tree(tmp_path)

    passwd = _entry(tree, "etc/passwd").open
    assert passwd is not None
    assert [line.split(b":")[0] for line in passwd().read().splitlines()] == [b"root", b"nobody", b"nonroot"]
    home = _entry(tree, "home/nonroot")
    assert (home.mode, home.uid, home.gid) == (0o700, 65532, 65532)
