"""A small Debian archive with its security archive beside it, served over HTTP, and an apt configuration that uses it.

Everything apt does with it is real; only its signatures are missing, which the configuration says.
"""

import hashlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.debian.packages import build_deb
from tests.support.tools import tool

SUITE = "somesuite"
ARCHITECTURES = ("amd64", "arm64")

_HASHES = ("md5", "sha1", "sha256")
_FIELDS = ("MD5sum", "SHA1", "SHA256")


@dataclass(frozen=True, slots=True)
class Archive:
    """A served archive.

    Attributes:
      root: the folder that is served: debian/ and debian-security/.
      base: the URI of the main archive.
      apt_config: a file for APT_CONFIG; its sources are those in `sources`.
      sources: what apt's sources.list of this machine says.
      requests: the paths that were asked for, in order.
    """

    root: Path
    base: str
    apt_config: Path
    sources: Path
    requests: list[str] = field(default_factory=list)

    def pool_requests(self) -> list[str]:
        """The names of the package files that were asked for."""
        return sorted(unquote(path).rpartition("/")[2] for path in self.requests if "/pool/" in path)

    def add(self, archive: str, suite: str, name: str, **facts: Any) -> None:
        """Puts a package in the pool of `archive` (debian or debian-security) and in the lists of a suite."""
        for architecture in ARCHITECTURES:
            path = self.root / archive / "pool" / "main" / name[0] / name
            path.mkdir(parents=True, exist_ok=True)
            deb = build_deb(path, name, **({"architecture": architecture} | facts))
            fields = subprocess.check_output([*tool("dpkg-deb"), "-f", str(deb)], text=True)
            content = deb.read_bytes()
            sums = "".join(
                f"{field}: {hashlib.new(kind, content).hexdigest()}\n"
                for field, kind in zip(_FIELDS, _HASHES, strict=True)
            )
            shutil.rmtree(path / f"{name}.tree")
            pool_path = deb.relative_to(self.root / archive)
            chosen = ARCHITECTURES if facts.get("architecture") == "all" else (architecture,)
            for each in chosen:
                lists = _lists(self.root, archive, suite, each)
                with lists.open("a") as packages:
                    packages.write(f"{fields}Filename: {pool_path}\nSize: {len(content)}\n{sums}\n")
            if facts.get("architecture") == "all":
                break
        publish(self.root)


def _lists(root: Path, archive: str, suite: str, architecture: str) -> Path:
    return root / archive / "dists" / suite / "main" / f"binary-{architecture}" / "Packages"


def publish(root: Path) -> None:
    """Writes the Release files of all suites."""
    for archive, suites in (("debian", (SUITE, f"{SUITE}-updates")), ("debian-security", (f"{SUITE}-security",))):
        for suite in suites:
            release = f"Origin: Debian\nSuite: {suite}\nCodename: {suite}\nComponents: main\n"
            release += f"Architectures: {' '.join(ARCHITECTURES)}\nDate: Thu, 01 Jan 1970 00:00:00 UTC\nSHA256:\n"
            for architecture in ARCHITECTURES:
                lists = _lists(root, archive, suite, architecture)
                lists.parent.mkdir(parents=True, exist_ok=True)
                lists.touch()
                content = lists.read_bytes()
                name = lists.relative_to(lists.parents[2])
                release += f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}\n"
            (root / archive / "dists" / suite / "Release").write_text(release)


@contextmanager
def served_archive(folder: Path, content: Path | None = None) -> Iterator[Archive]:
    """An archive on a free port, with its files in `folder`: a copy of another's root, or empty."""
    requests: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            requests.append(self.path)
            super().do_GET()

        def log_message(self, *_: object) -> None:
            """Says nothing: apt reports what matters."""

    root = folder / "served"
    if content is None:
        publish(root)
    else:
        shutil.copytree(content, root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(root)))
    base = f"http://127.0.0.1:{server.server_address[1]}/debian"
    sources = folder / "sources.list"
    sources.write_text(
        f"deb {base} other main\ndeb {base} other-updates main\ndeb {base}-security other-security main\n"
    )
    config = folder / "apt.conf"
    config.write_text(
        f'Dir::Etc::sourcelist "{sources}";\n'
        f'Dir::Etc::sourceparts "{folder / "no-parts"}";\n'
        f'Dir::Etc::parts "{folder / "no-parts"}";\n'
        'Acquire::AllowInsecureRepositories "true";\n'
        'APT::Get::AllowUnauthenticated "true";\n'
        'Acquire::http::Proxy "DIRECT";\n'
        'Acquire::Retries "0";\n'
    )
    (folder / "no-parts").mkdir()
    archive = Archive(root, base, config, sources, requests)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
