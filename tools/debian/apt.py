"""The apt of this machine: which archives it uses, what it resolves a request to, and how it fetches.

Mirrors, proxies, certificates and credentials are the machine's own apt configuration; nothing of its state (lists,
installed packages, cache) is read or changed. Options are given on the command line, which apt ranks above every file.
"""

import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from tools.debian.errors import DebianError
from tools.debian.lockfile import Archive, LockedPackage, Request

_HELPER = Path("/usr/lib/apt/apt-helper")
_KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg")
_NO_APT_REMEDY = "Run the same command on a Debian machine, or in a container of one."

# Suites that get neither updates nor security uploads of their own.
_ROLLING = ("sid", "unstable", "experimental")


@dataclass(frozen=True, slots=True)
class Archives:
    """Where this machine's apt finds Debian's archives: base URIs, the likeliest first, without a slash at the end."""

    main: tuple[str, ...]
    security: tuple[str, ...]

    def of(self, archive: Archive) -> tuple[str, ...]:
        return self.main if archive == "main" else self.security


def _run(argv: Sequence[str | Path], state: Path, *options: str) -> subprocess.CompletedProcess[str]:
    private = [
        f"Dir::State={state}",
        f"Dir::State::lists={state}/lists",
        f"Dir::State::status={state}/status",
        f"Dir::Cache={state}/cache",
        # Images of Debian switch it off, and every call would read all lists again.
        "Dir::Cache::pkgcache=pkgcache.bin",
        "Dir::Cache::srcpkgcache=srcpkgcache.bin",
        f"Dir::Log={state}/log",
        # Root would otherwise download as user _apt, who may not write where Bazel wants the files.
        "APT::Sandbox::User=root",
        "Debug::NoLocking=true",
        "Acquire::Languages=none",
        *options,
    ]
    for folder in ("lists/partial", "cache/archives/partial", "log", "none"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    command, *arguments = map(str, argv)
    return subprocess.run(
        [command, *(word for option in private for word in ("-o", option)), *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )


def _complaints(result: subprocess.CompletedProcess[str]) -> str:
    """apt's own words: its errors, or else its warnings, or else all it said."""
    lines = result.stderr.splitlines()
    for kind in ("E: ", "W: "):
        if chosen := [line.removeprefix(kind) for line in lines if line.startswith(kind)]:
            return "; ".join(dict.fromkeys(chosen[:3])) + (f"; and {len(chosen) - 3} more" if len(chosen) > 3 else "")
    return result.stderr.strip() or f"it ended with {result.returncode} and said nothing"


def machine_archives(state: Path) -> Archives:
    """The archives that this machine's apt has among its sources.

    `apt-get update --print-uris` says where apt would look, without a network, for every way of writing sources.

    Raises:
      DebianError: when there is no apt, or it knows no archive.
    """
    what = "cannot find an archive of Debian packages"
    apt = shutil.which("apt-get")
    if apt is None or not _HELPER.exists():
        raise DebianError(what, "this machine has no apt", _NO_APT_REMEDY)
    result = _run([apt, "update", "--print-uris"], state)
    suites: dict[str, set[str]] = defaultdict(set)
    for base, suite in re.findall(r"^'(\S+?)/+dists/(\S+)/InRelease'", result.stdout, re.MULTILINE):
        if not base.startswith("cdrom:"):
            suites[_from_mirror_list(unquote(base))].add(suite)

    security = [base for base, names in suites.items() if any(map(_is_security, names))]
    main = [base for base, names in suites.items() if not all(map(_is_security, names))]
    # A third party's archive can use Debian's suite names; only Debian's own has updates of a suite.
    main.sort(key=lambda base: not any(name.endswith("-updates") for name in suites[base]))
    if not main:
        why = _complaints(result) if result.returncode else "apt on this machine has no archive among its sources"
        raise DebianError(what, why, "Give apt a source for Debian (apt-get update must work), and run this again.")
    # Mirrors keep the two archives side by side.
    beside = [f"{base}-security" for base in main if base.endswith("/debian")]
    return Archives(tuple(main), tuple(dict.fromkeys(security + beside)))


def _is_security(suite: str) -> bool:
    return suite.endswith(("-security", "/updates"))


def _from_mirror_list(base: str) -> str:
    """The first mirror of a list (`mirror+file:/etc/apt/mirrors/debian.list`); any other base as it is."""
    scheme, _, path = base.partition(":")
    if scheme != "mirror+file":
        return base.rstrip("/")
    lines = Path(path).read_text("utf-8").splitlines()
    return next((line.split()[0].rstrip("/") for line in lines if line.strip() and not line.startswith("#")), base)


def fetch(packages: Iterable[LockedPackage], directory: Path, state: Path, renewal: str) -> None:
    """Fetches package files into `directory` under their `file_name`, each checked against its SHA-256 by apt.

    Args:
      packages: what to fetch.
      directory: where to, absolute.
      state: a folder for apt's private state.
      renewal: the command that renews the lock, for error messages.

    Raises:
      DebianError: when a version has gone, a file is not the locked one, or the archive cannot be reached.
    """
    packages = tuple(packages)
    archives = machine_archives(state)
    missing = list(packages)
    words: dict[LockedPackage, str] = {}
    for attempt in range(max(len(archives.main), len(archives.security))):
        tried = [package for package in missing if attempt < len(archives.of(package.archive))]
        uris = {package: f"{archives.of(package.archive)[attempt]}/{package.path}" for package in tried}
        words |= _download(uris, directory, state)
        missing = [package for package in missing if not (directory / package.file_name).exists()]
        if not missing:
            return
    raise _fetch_error(missing, words, len(packages), archives, renewal)


def _download(uris: dict[LockedPackage, str], directory: Path, state: Path) -> dict[LockedPackage, str]:
    """Lets apt download; what it says of each package that it did not get."""
    triples = [
        word
        for package, uri in uris.items()
        for word in (uri, str(directory / package.file_name), f"SHA256:{package.sha256}")
    ]
    result = _run([_HELPER, "download-file", *triples], state)
    # "E: Failed to fetch URI  words", and further lines indented; some methods report the URI escaped.
    failures = re.findall(r"^E: Failed to fetch (\S+)\s+(.*(?:\n   .*)*)", result.stderr, re.MULTILINE)
    said = {unquote(uri): " ".join(text.split()) for uri, text in failures}
    return {package: said.get(uri, _complaints(result)) for package, uri in uris.items()}


def _fetch_error(
    missing: Sequence[LockedPackage],
    words: dict[LockedPackage, str],
    wanted: int,
    archives: Archives,
    renewal: str,
) -> DebianError:
    gone = [package for package in missing if re.match(r"404\b|File not found", words.get(package, ""))]
    changed = [package for package in missing if "Hash Sum mismatch" in words.get(package, "")]
    if len(gone) == wanted > 1:
        return DebianError(
            f"cannot fetch the {wanted} locked Debian packages",
            f"none of them is at {', '.join(archives.main + archives.security)} (apt says: {words[gone[0]]})",
            f"Give apt a source for Debian's archive; if it has one, all of these versions have gone: run `{renewal}`.",
        )
    if gone:
        return DebianError(
            f"{_these(gone)} {'has' if len(gone) == 1 else 'have'} gone from Debian's archive",
            f"the lock names {'a version' if len(gone) == 1 else 'versions'} that newer ones have replaced there "
            f"(apt says: {words[gone[0]]})",
            f"Run `{renewal}` to take the present versions, and commit the lock.",
        )
    if changed:
        return DebianError(
            f"cannot fetch {_these(changed)}: not the file that was locked",
            f"apt says: {words[changed[0]]}",
            f"If the mirror or proxy is at fault, try another; if the lock was edited, run `{renewal}`.",
        )
    return DebianError(
        f"cannot fetch {_these(missing)}",
        f"apt says: {words.get(missing[0]) or 'it has no archive for it among its sources'}",
        "See that `apt-get update` works on this machine (network, proxy, mirror), and run this again.",
    )


def _these(packages: Sequence[LockedPackage]) -> str:
    """The first few by name; a closure of hundreds would bury the reason."""
    shown = ", ".join(map(str, packages[:5]))
    return shown if len(packages) <= 5 else f"{shown} and {len(packages) - 5} more"


def resolve(request: Request, architecture: str, state: Path) -> dict[str, tuple[LockedPackage, ...]]:
    """What apt would install for each set of the request on an empty machine of this architecture, sorted by name.

    Raises:
      DebianError: when a package does not exist or cannot be installed, or the archive cannot be reached.
    """
    what = f"cannot resolve the Debian packages for {request.suite} on {architecture}"
    archives = machine_archives(state)
    main, security = archives.main[0], next(iter(archives.security), None)
    sources = [f"{main} {request.suite}"]
    if request.suite not in _ROLLING:
        sources.append(f"{main} {request.suite}-updates")
        if security is None:
            remedy = f"Add a source for {request.suite}-security to apt's sources."
            raise DebianError(what, "apt on this machine has no source for security updates", remedy)
        sources.append(f"{security} {request.suite}-security")
    keyring = next((f"[signed-by={path}] " for path in _KEYRINGS if Path(path).exists()), "")
    (state / "sources.list").write_text("".join(f"deb {keyring}{source} main\n" for source in sources), "utf-8")
    options = (
        f"APT::Architecture={architecture}",
        f"APT::Architectures={architecture}",
        f"Dir::Etc::sourcelist={state}/sources.list",
        f"Dir::Etc::sourceparts={state}/none",
        f"Dir::Etc::preferences={state}/none/preferences",
        f"Dir::Etc::preferencesparts={state}/none",
    )
    updated = _run(["apt-get", "update", "--error-on=any"], state, *options)
    if updated.returncode:
        remedy = "See that `apt-get update` works on this machine (network, proxy, mirror), and that the suite exists."
        raise DebianError(what, _complaints(updated), remedy)
    bases: dict[str, Archive] = {f"{main}/": "main"}
    if security is not None:
        bases[f"{security}/"] = "security"
    return {name: _closure(names, bases, options, state, what) for name, names in request.sets.items()}


def _closure(
    names: Sequence[str], bases: dict[str, Archive], options: Sequence[str], state: Path, what: str
) -> tuple[LockedPackage, ...]:
    resolved = _run(
        ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", "--print-uris", *names],
        state,
        "Acquire::ForceHash=SHA256",
        *options,
    )
    if resolved.returncode:
        raise DebianError(what, _complaints(resolved), "Correct the names in the package list, and run this again.")
    packages = [_locked(line, bases) for line in resolved.stdout.splitlines() if line.startswith("'")]
    return tuple(sorted(packages, key=lambda package: package.name))


def _locked(line: str, bases: dict[str, Archive]) -> LockedPackage:
    """One line of --print-uris: `'URI' NAME_VERSION_ARCHITECTURE.deb SIZE SHA256:HEX`, colons in the name escaped."""
    uri, file_name, size, checksum = line.replace("'", "").split()
    name, version, architecture = (unquote(part) for part in file_name.removesuffix(".deb").split("_"))
    base = max((base for base in bases if uri.startswith(base)), key=len)
    return LockedPackage(
        name=name,
        version=version,
        architecture=architecture,
        sha256=checksum.removeprefix("SHA256:"),
        size=int(size),
        archive=bases[base],
        path=unquote(uri.removeprefix(base)),
    )
