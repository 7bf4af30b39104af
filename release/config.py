"""A repository's settings: where its images go and what they are called."""

from __future__ import annotations

from dataclasses import dataclass, field

from release.destination import Destination
from release.tags import TagTemplates
from tools.oci.manifest import Platform


@dataclass(frozen=True, slots=True)
class ProvenanceSettings:
    """What is said of where an image comes from."""

    enabled: bool = True
    builder: str = "urn:slipway:release"
    """A URI that names who builds: whoever relies on provenance decides by it whom to trust."""
    source: str | None = None
    """A URI of the repository that has the commits. None: that of git's remote `origin`, without a login."""
    cosign_key: str | None = None
    """A file, or a URI that cosign knows. None: the statement is not signed."""


@dataclass(frozen=True, slots=True)
class Config:
    """The settings, each with its default; the fields are the keys of the file that config_file.py reads."""

    registry: str = "127.0.0.1:5000"
    owner: str | None = None
    """None: not said, so GitHub's name for it counts. Empty: there is none."""
    further: tuple[Destination, ...] = ()
    """Registries that get the same digest after the first one, which `registry` and `owner` name."""
    apps: str = "//apps/..."
    platforms: tuple[Platform, ...] = (Platform("linux", "amd64"), Platform("linux", "arm64"))
    tags: TagTemplates = field(default_factory=TagTemplates)
    provenance: ProvenanceSettings = field(default_factory=ProvenanceSettings)
    retry_seconds: float = 30.0
    """How long a registry that is throttled, broken or away is asked again."""
