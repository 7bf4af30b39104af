"""Building an image with Bazel."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from release.bazel import Bazel
from release.built_image import (
    GROUPS,
    BuildOutputs,
    BuiltImage,
    build_arguments,
    check_groups,
    image_of,
    read_build_events,
)
from release.errors import ReleaseError
from tools.oci.errors import OciError
from tools.oci.parallel import Gatherer

# With minimal downloads: what an image consists of is needed at once, and small. Layers are not, as a rule.
_DOCUMENTS = r"--remote_download_regex=.*(\.documents/.*|\.(descriptor|index|origins))\.json$"

Wanted = tuple[str, Path]
"""A target, and an output of it that is not on this machine."""


class Builder(Protocol):
    """Whatever can build the image of a target."""

    def build(self, target: str) -> BuiltImage:
        """Build it. Raises ReleaseError when that fails."""
        ...

    def prepare(self, targets: Sequence[str]) -> Builder:
        """Build all of them by one call of Bazel, and return what has each of them, or the error of each."""
        ...


@dataclass(frozen=True, slots=True)
class BazelBuilder:
    """Builds in a workspace as it stands."""

    bazel: Bazel
    see_unchanged: Callable[[], None] = lambda: None
    """Called after the build: raises when the workspace is no longer what it was to be built from."""

    def build(self, target: str) -> BuiltImage:
        """See Builder."""
        return self.prepare([target]).build(target)

    def prepare(self, targets: Sequence[str]) -> BuiltTogether:
        """See Builder."""
        outputs, failure = self._build(targets)
        self.see_unchanged()
        # Apps are pushed side by side, and Bazel does one thing at a time: downloads for several go into one call.
        download = Gatherer(self._download)
        return BuiltTogether(
            {target: self._image(target, outputs.get(target), failure, download) for target in targets}
        )

    def _image(
        self,
        target: str,
        outputs: BuildOutputs | None,
        failure: ReleaseError | None,
        download: Callable[[Sequence[Wanted]], None],
    ) -> BuiltImage | ReleaseError | OciError:
        if outputs is None:
            # Bazel has said why on standard error; what it says is not told apart by target.
            return failure or ReleaseError(
                f"Cannot use what was built for {target}",
                "Bazel has told nothing of it",
                "Name the image by its canonical label.",
            )
        try:
            return image_of(outputs, target, partial(_want, download, target), partial(self._fetch, target))
        except (ReleaseError, OciError) as error:
            return error

    def _build(
        self, targets: Sequence[str], *options: str, groups: Sequence[str] = GROUPS
    ) -> tuple[dict[str, BuildOutputs], ReleaseError | None]:
        """What was built, and why not all of it."""
        failure = None
        with tempfile.TemporaryDirectory(prefix="slipway-build-") as folder:
            events = Path(folder, "events.json")
            try:
                self.bazel.run("build", _DOCUMENTS, *options, *build_arguments(targets, events, groups))
            except ReleaseError as error:
                failure = error
            if not events.exists():  # Bazel has not come so far.
                return {}, failure
            with events.open(encoding="utf-8") as lines:
                return read_build_events(lines), failure

    def _fetch(self, target: str, digests: Sequence[str]) -> dict[str, Path]:
        """Build the layers of a pulled base that a registry could not do without. One is a group, of one file."""
        outputs, failure = self._build([target], "--remote_download_outputs=toplevel", groups=digests)
        if failure is not None:
            raise failure
        check_groups(outputs[target], target, digests)
        return {digest: outputs[target].groups[digest][0].path for digest in digests}

    def _download(self, wanted: Sequence[Wanted]) -> None:
        """Fetch outputs that a remote cache has and this machine has not. Raises ReleaseError."""
        names = "|".join(re.escape(_relative(path)) for _, path in wanted)
        targets = list(dict.fromkeys(target for target, _ in wanted))
        _, failure = self._build(targets, f"--remote_download_regex=.*/({names})$")
        if failure is not None:
            raise failure


@dataclass(frozen=True, slots=True)
class BuiltTogether:
    """What one call of Bazel has built, by target, or why it has not."""

    images: Mapping[str, BuiltImage | ReleaseError | OciError]

    def build(self, target: str) -> BuiltImage:
        """See Builder."""
        image = self.images[target]
        if isinstance(image, BuiltImage):
            return image
        raise image

    def prepare(self, targets: Sequence[str]) -> BuiltTogether:
        """See Builder: they are built."""
        return self


def _want(download: Callable[[Sequence[Wanted]], None], target: str, paths: Sequence[Path]) -> None:
    """With a remote cache and minimal downloads, outputs are left there: fetch those that are needed after all."""
    missing = [(target, path) for path in paths if not path.exists()]
    if missing:
        download(missing)


def _relative(path: Path) -> str:
    """The part of an output's path that is the same for every output base: after `bazel-out/`."""
    return str(path).rpartition(f"{os.sep}bazel-out{os.sep}")[2]
