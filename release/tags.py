"""What tags are called: templates of the configuration, filled in and read back."""

from __future__ import annotations

import re
from dataclasses import dataclass

from release.version import Version
from tools.oci.reference import is_tag

_FIELD = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class TagTemplates:
    """How the three tags of a release are made. Raises ValueError for a template that cannot make a tag."""

    commit: str = "{commit}"
    version: str = "{version}"
    latest: str = "latest"

    def __post_init__(self) -> None:
        _check(self.commit, "{commit}", "abc123d")
        _check(self.version, "{version}", "v1.0.0")
        _check(self.latest, "", "")
        if len({self.commit, self.version, self.latest}) != 3:
            raise ValueError("two tags would have one name")

    def commit_tag(self, commit: str) -> str:
        """The tag of a commit, which is taken as it was given."""
        return self.commit.replace("{commit}", commit)

    def version_tag(self, version: Version) -> str:
        """The tag of a version."""
        return self.version.replace("{version}", str(version))

    def versions(self, tags: tuple[str, ...]) -> frozenset[Version]:
        """The versions among all the tags of a repository; the other tags are none of this concern."""
        before, _, after = self.version.partition("{version}")
        found = (
            Version.find(tag[len(before) : len(tag) - len(after)])
            for tag in tags
            if tag.startswith(before) and tag.endswith(after)
        )
        return frozenset(version for version in found if version is not None)


def _check(template: str, field: str, example: str) -> None:
    fields = _FIELD.findall(template)
    if fields != ([field] if field else []):
        raise ValueError(f"{template!r} has to name {field} once" if field else f"{template!r} can have no fields")
    if not is_tag(template.replace(field, example) if field else template):
        raise ValueError(f"{template!r} does not make a tag: letters, digits, `_`, `.` and `-` only")
