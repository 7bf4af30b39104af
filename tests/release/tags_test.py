"""Names of tags: made from templates, and read back."""

import pytest

from release.tags import TagTemplates
from release.version import Version


def test_by_default_a_tag_is_the_commit_or_version_itself() -> None:
    templates = TagTemplates()
    assert templates.commit_tag("abc123def") == "abc123def"
    assert templates.version_tag(Version(1, 0, 0)) == "v1.0.0"
    assert templates.latest == "latest"


def test_versions_are_found_among_all_the_tags_of_a_repository() -> None:
    tags = ("latest", "v1.0.0", "abc123def", "v2.0.0-rc1", "v1", "sha256-" + "0" * 64, "xv3.0.0")
    assert TagTemplates().versions(tags) == {Version(1, 0, 0), Version(2, 0, 0, "rc1")}


def test_versions_are_found_by_the_template_that_made_them() -> None:
    templates = TagTemplates(version="release-{version}-x")
    assert templates.version_tag(Version(1, 0, 0)) == "release-v1.0.0-x"
    assert templates.versions(("release-v1.0.0-x", "v2.0.0", "release-v3.0.0", "release-x")) == {Version(1, 0, 0)}


@pytest.mark.parametrize(
    ("field", "template"),
    [
        ("commit", "sha"),
        ("commit", "{commit}{commit}"),
        ("commit", "{version}"),
        ("commit", "{commit} x"),
        ("version", "-{version}"),
        ("version", "{commit}-{version}"),
        ("latest", "{version}"),
        ("latest", ""),
        ("latest", "a/b"),
        ("latest", "x" * 129),
    ],
)
def test_a_template_that_cannot_make_its_tag_is_refused(field: str, template: str) -> None:
    with pytest.raises(ValueError, match=r"does not make a tag|has to name|can have no fields"):
        TagTemplates(**{field: template})
