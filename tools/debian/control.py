"""Debian's control files (deb-control(5)): stanzas of fields, read into dictionaries, written as dpkg writes them."""

Stanza = dict[str, str]

# The order in which dpkg writes the fields of its status file (lib/dpkg/parse.c); other fields follow as they came.
_STATUS_ORDER = (
    "Package",
    "Essential",
    "Protected",
    "Status",
    "Priority",
    "Section",
    "Installed-Size",
    "Origin",
    "Maintainer",
    "Bugs",
    "Architecture",
    "Multi-Arch",
    "Source",
    "Version",
    "Config-Version",
    "Replaces",
    "Provides",
    "Depends",
    "Pre-Depends",
    "Recommends",
    "Suggests",
    "Breaks",
    "Conflicts",
    "Enhances",
    "Conffiles",
    "Description",
)


def parse_stanza(text: str) -> Stanza:
    """The fields of one stanza. Values keep their continuation lines, each with its leading space.

    Raises:
      ValueError: for a line that is neither a field nor a continuation.
    """
    fields: Stanza = {}
    name = None
    for line in text.splitlines():
        if not line.strip():
            continue
        if line[0] in " \t":
            if name is None:
                raise ValueError(f"a control file begins with a continuation: {line!r}")
            fields[name] += f"\n{line}"
        else:
            name, colon, value = line.partition(":")
            if not colon:
                raise ValueError(f"a line of a control file has no colon: {line!r}")
            fields[name] = value.strip()
    return fields


def format_stanza(fields: Stanza) -> str:
    """The text of one stanza of a status file, with an empty line after it."""
    ordered = [name for name in _STATUS_ORDER if name in fields]
    ordered += [name for name in fields if name not in _STATUS_ORDER]
    return "".join(f"{name}:{_separated(fields[name])}\n" for name in ordered) + "\n"


def _separated(value: str) -> str:
    return value if value.startswith("\n") or not value else f" {value}"
