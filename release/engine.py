"""What gives an existing image another tag: `docker buildx imagetools`, or the distribution API itself.

Neither pulls anything, and both leave the new tag on the source's exact digest, all platforms included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from release.errors import TaggingError
from release.request import EngineName
from tools.oci.client import Access, RegistryClient
from tools.oci.manifest import Manifest
from tools.oci.reference import Reference
from tools.oci.transport import is_loopback

if TYPE_CHECKING:
    from release.child import Finished

# What docker says to `docker buildx imagetools create --tag ...` when it has no such plugin, depending on its version:
# it names the unknown command, or takes `--tag` for an unknown option of its own. The last is podman's.
_PLUGIN_MISSING = (
    "is not a docker command",
    "unknown command: docker buildx",
    "unknown flag: --tag",
    "unrecognized command",
)


class Engine(Protocol):
    """Whatever can give an existing image another tag."""

    @property
    def name(self) -> EngineName:
        """Which one it is."""
        ...

    def tag(self, source: str, target: str) -> None:
        """Make `target` name what `source` names, in the same registry. Raises TaggingError or OciError."""
        ...


class EngineMissing(TaggingError):
    """The engine is not installed on this machine."""


@dataclass(frozen=True, slots=True)
class Imagetools:
    """`docker buildx imagetools create`, which needs no Docker daemon."""

    program: str = "docker"

    @property
    def name(self) -> EngineName:
        """See Engine."""
        return EngineName.IMAGETOOLS

    def tag(self, source: str, target: str) -> None:
        """See Engine. Raises EngineMissing when there is no docker, or docker has no buildx."""
        from release.child import run_child  # The other engine needs no child process.

        command = [self.program, "buildx", "imagetools", "create", "--tag", target, source]
        shown = " ".join(command[:4])
        try:
            finished = run_child(command)
        except OSError as error:
            raise EngineMissing(f"{shown} cannot be run", str(error), _HOW_TO_DO_WITHOUT) from None
        if finished.status == 0:
            return
        said = finished.errors + finished.output
        if any(words in said for words in _PLUGIN_MISSING):
            raise EngineMissing(f"{shown} cannot be run", "docker has no buildx plugin", _HOW_TO_DO_WITHOUT)
        raise TaggingError(f"{shown} did not tag {target}", _reason(finished), _HOW_TO_DO_WITHOUT)


_HOW_TO_DO_WITHOUT = "Use --engine registry, which does the same without docker."


def _reason(finished: Finished) -> str:
    """The line in which docker says what is wrong: the last one that begins with ERROR, else the last one."""
    lines = [line.strip() for line in (finished.errors + finished.output).splitlines() if line.strip()]
    wrong = [line for line in lines if line.startswith("ERROR")]
    last = (wrong or lines or ["it said nothing"])[-1]
    return f"{last.removeprefix('ERROR:').strip()} (exit status {finished.status})"


@dataclass(frozen=True, slots=True)
class RegistryApi:
    """The distribution API: the source's manifest is put under the new tag, byte for byte."""

    client: RegistryClient
    known: Manifest | None = None
    """The source's manifest, if somebody has just read it; saves a request."""

    @property
    def name(self) -> EngineName:
        """See Engine."""
        return EngineName.REGISTRY

    def tag(self, source: str, target: str) -> None:
        """See Engine."""
        reference = Reference.parse(source)
        manifest = self.known
        if manifest is None or manifest.digest != reference.digest:
            manifest = self.client.get_manifest(reference, access=Access.PUSH)
        self.client.put_manifest(Reference.parse(target), manifest.content, manifest.media_type)


@dataclass(slots=True)
class Substituted:
    """An engine, and the one that takes over for good when a call of the first shows that it is not installed."""

    preferred: Engine
    substitute: Engine
    say: Callable[[str], None]
    _missing: bool = field(default=False, init=False)

    @property
    def name(self) -> EngineName:
        """The one in use."""
        return (self.substitute if self._missing else self.preferred).name

    def tag(self, source: str, target: str) -> None:
        """See Engine."""
        if not self._missing:
            try:
                self.preferred.tag(source, target)
                return
            except EngineMissing as error:
                self._missing = True
                self.say(f"{error.what} ({error.why}); asking the registry itself instead")
        self.substitute.tag(source, target)


def choose_engine(
    wanted: EngineName, client: RegistryClient, known: Manifest | None, *, insecure: bool, say: Callable[[str], None]
) -> Engine:
    """The engine that was asked for, as far as it can do what is asked of it.

    Args:
        wanted: by the command line.
        client: of the registry.
        known: the manifest of the image to be tagged.
        insecure: whether plain HTTP is allowed where it is not usual.
        say: hears when it is another engine.
    """
    api = RegistryApi(client, known)
    if wanted is EngineName.REGISTRY:
        return api
    host = urlsplit(f"//{client.registry}").hostname or ""
    if insecure and not is_loopback(host):
        say("docker buildx imagetools has no --insecure for another machine; asking the registry itself instead")
        return api
    return Substituted(Imagetools(), api, say)
