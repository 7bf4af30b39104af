"""What the packages' maintainer scripts would do, where it matters in a container. The scripts themselves never run:
they would need the image's own programs, for its own architecture, and a root to run them in.

Each function adds to the tree what the configuration of one package adds to a system, if that package is there.
Left out on purpose: the library cache (the loader searches Debian's folders without one), compiled Python files, login
files of root, records of logins, debconf's answers.
"""

from collections.abc import Iterator

from tools.image.entries import Entry, Tree, bytes_entry

# Who runs the programs of an image unless it says otherwise: no account of Debian's has this number.
NONROOT_ID = 65532

_ORIGIN = "the configuration of Debian packages"


def configure(tree: Tree) -> None:
    """Does it all, in the order in which Debian would."""
    directories(tree)
    accounts(tree)
    name_services(tree)
    certificates(tree)
    time_zone(tree)
    alternatives(tree)


def directories(tree: Tree) -> None:
    """base-files: the directories of the file system's standard that it makes rather than ships."""
    if "usr/share/base-files" not in tree:
        return
    for path in ("etc/opt", "media", "mnt", "opt", "srv", "var/opt", "usr/local"):
        _directory(tree, path)
    for path in ("bin", "etc", "include", "lib", "sbin", "share", "src"):
        _directory(tree, f"usr/local/{path}")
    _directory(tree, "var/mail", mode=0o2775, gid=8)
    _directory(tree, "run/lock", mode=0o1777)
    _symlink(tree, "etc/dpkg/origins/default", "debian")


def accounts(tree: Tree) -> None:
    """base-passwd: /etc/passwd and /etc/group out of its masters; and, as in other images without a shell, `nonroot`.

    Passwords are locked in the masters, so there is no /etc/shadow to hold any. Without base-passwd there are only root
    and nobody.
    """
    passwd = _content(tree, "usr/share/base-passwd/passwd.master") or (
        b"root:*:0:0:root:/root:/usr/sbin/nologin\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    )
    group = _content(tree, "usr/share/base-passwd/group.master") or b"root:*:0:\nnogroup:*:65534:\n"
    passwd += f"nonroot:*:{NONROOT_ID}:{NONROOT_ID}:nonroot:/home/nonroot:/usr/sbin/nologin\n".encode()
    group += f"nonroot:*:{NONROOT_ID}:\n".encode()
    _file(tree, "etc/passwd", passwd)
    _file(tree, "etc/group", group)
    _directory(tree, "home/nonroot", mode=0o700, uid=NONROOT_ID, gid=NONROOT_ID)


def name_services(tree: Tree) -> None:
    """libc-bin: /etc/nsswitch.conf, which says that names are looked up in files and by DNS."""
    default = _content(tree, "usr/share/libc-bin/nsswitch.conf")
    if default is not None:
        _file(tree, "etc/nsswitch.conf", default)


def certificates(tree: Tree) -> None:
    """ca-certificates: every certificate is trusted, and all are in the one bundle that OpenSSL and others read.

    The links by hash that `update-ca-certificates` makes as well are for programs that are given the folder and not the
    bundle; /etc/ca-certificates.conf lets it make them in an image that has a shell.
    """
    folder = "usr/share/ca-certificates/"
    names = sorted(path.removeprefix(folder) for path in _files(tree, folder) if path.endswith(".crt"))
    if not names:
        return
    bundle = b"".join((_content(tree, folder + name) or b"").rstrip(b"\n") + b"\n" for name in names)
    _file(tree, "etc/ssl/certs/ca-certificates.crt", bundle)
    _file(tree, "etc/ca-certificates.conf", "".join(f"{name}\n" for name in names).encode())


def time_zone(tree: Tree) -> None:
    """tzdata: the local time is UTC."""
    if "usr/share/zoneinfo/Etc/UTC" in tree:
        _symlink(tree, "etc/localtime", "/usr/share/zoneinfo/Etc/UTC")


def alternatives(tree: Tree) -> None:
    """update-alternatives: commands under a common name, of the packages that a closure is likely to have."""
    for link, program in (
        ("usr/bin/awk", "usr/bin/mawk"),
        ("usr/bin/nawk", "usr/bin/mawk"),
        ("usr/bin/which", "usr/bin/which.debianutils"),
        ("usr/sbin/rmt", "usr/sbin/rmt-tar"),
    ):
        if program in tree:
            name = link.rpartition("/")[2]
            _symlink(tree, f"etc/alternatives/{name}", f"/{program}")
            _symlink(tree, link, f"/etc/alternatives/{name}")


def _content(tree: Tree, path: str) -> bytes | None:
    entry = tree.get(path)
    if entry is None or entry.open is None:
        return None
    with entry.open() as content:
        return content.read()


def _files(tree: Tree, prefix: str) -> Iterator[str]:
    return (entry.path for entry in tree.entries() if entry.kind == "file" and entry.path.startswith(prefix))


def _file(tree: Tree, path: str, content: bytes) -> None:
    if path not in tree:
        _parents(tree, path)
        tree.add(bytes_entry(path, content, origin=_ORIGIN))


def _symlink(tree: Tree, path: str, target: str) -> None:
    if path not in tree:
        _parents(tree, path)
        tree.add(Entry(path, "symlink", 0o777, target=target, origin=_ORIGIN))


def _directory(tree: Tree, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
    if path not in tree:
        _parents(tree, path)
        tree.add(Entry(path, "directory", mode, uid, gid, origin=_ORIGIN))


def _parents(tree: Tree, path: str) -> None:
    parent = path.rpartition("/")[0]
    if parent:
        _directory(tree, parent)
