"""dpkg's database: what dpkg, apt and scanners read to know which packages a root file system has."""

import hashlib
from collections.abc import Sequence

from tools.debian.control import format_stanza
from tools.debian.deb import Deb
from tools.image.entries import Entry, bytes_entry

_ADMIN = "var/lib/dpkg"
_ORIGIN = "dpkg's database"

# Questions to administrators and what building other packages needs: 1.3 MB in an image of 42 packages.
_LEFT_OUT = ("config", "templates", "shlibs", "symbols")
_SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


def database(debs: Sequence[Deb]) -> list[Entry]:
    """The entries of /var/lib/dpkg for installed and configured packages."""
    native = next((deb.architecture for deb in debs if deb.architecture != "all"), "all")
    ordered = sorted(debs, key=lambda deb: deb.name)
    entries = [Entry(path, "directory", 0o755, origin=_ORIGIN) for path in ("var/lib", _ADMIN, f"{_ADMIN}/info")]
    entries += [
        bytes_entry(f"{_ADMIN}/status", "".join(map(_stanza, ordered)).encode(), origin=_ORIGIN),
        bytes_entry(f"{_ADMIN}/available", b"", origin=_ORIGIN),
        bytes_entry(f"{_ADMIN}/arch-native", f"{native}\n".encode(), origin=_ORIGIN),
        bytes_entry(f"{_ADMIN}/info/format", b"1\n", origin=_ORIGIN),
    ]
    for deb in ordered:
        entries += _info(deb)
    return entries


def _stanza(deb: Deb) -> str:
    fields = {**deb.fields, "Status": "install ok installed"}
    if conffiles := _conffiles(deb):
        checksums = _checksums(deb)
        fields["Conffiles"] = "".join(f"\n /{path} {checksums[path]}" for path in conffiles if path in checksums)
    return format_stanza(fields)


def _conffiles(deb: Deb) -> list[str]:
    """Configuration files (deb-conffiles(5)); a flag may stand before the path."""
    lines = deb.control.get("conffiles", b"").decode().splitlines()
    return [line.split()[-1].lstrip("/") for line in lines if line.strip() and not line.startswith("remove-on-upgrade")]


def _checksums(deb: Deb) -> dict[str, str]:
    """MD5 sums of the configuration files, which packages do not list in md5sums."""
    conffiles = set(_conffiles(deb))
    sums = {}
    for member in deb.members:
        path = member.name.removeprefix("./")
        if member.isfile() and path in conffiles:
            with deb.open(member) as content:
                sums[path] = hashlib.md5(content.read(), usedforsecurity=False).hexdigest()
    return sums


def _info(deb: Deb) -> list[Entry]:
    """The files of /var/lib/dpkg/info. Only of Multi-Arch: same can two architectures be installed at once."""
    name = f"{deb.name}:{deb.architecture}" if deb.fields.get("Multi-Arch") == "same" else deb.name
    files = {kind: content for kind, content in deb.control.items() if kind not in _LEFT_OUT}
    files["list"] = _file_list(deb)
    return [
        bytes_entry(
            f"{_ADMIN}/info/{name}.{kind}",
            content,
            mode=0o755 if kind in _SCRIPTS else 0o644,
            origin=f"{_ORIGIN} ({deb.name})",
        )
        for kind, content in sorted(files.items())
    ]


def _file_list(deb: Deb) -> bytes:
    """Every path of the package, those too that the image leaves out: so does dpkg with its path-exclude."""
    paths = [member.name.removeprefix(".").rstrip("/") or "/." for member in deb.members]
    return "".join(f"{path}\n" for path in paths).encode()
