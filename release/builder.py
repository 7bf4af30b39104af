"""Building an image with Bazel."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from release.bazel import Bazel
from release.built_image import GROUPS, BuildOutputs, BuiltImage, build_arguments, image_of, read_build_events


class Builder(Protocol):
    """Whatever can build the image of a target."""

    def build(self, target: str) -> BuiltImage:
        """Build it. Raises ReleaseError when that fails."""
        ...


@dataclass(frozen=True, slots=True)
class BazelBuilder:
    """Builds in a workspace as it stands."""

    bazel: Bazel
    see_unchanged: Callable[[], None] = lambda: None
    """Called after the build: raises when the workspace is no longer what it was to be built from."""

    def build(self, target: str) -> BuiltImage:
        """See Builder."""
        outputs = self._build(target)
        self.see_unchanged()
        return image_of(outputs, target, partial(self._download, target), partial(self._fetch, target))

    def _build(self, target: str, *options: str, groups: Sequence[str] = GROUPS) -> BuildOutputs:
        with tempfile.TemporaryDirectory(prefix="slipway-build-") as folder:
            events = Path(folder, "events.json")
            self.bazel.run("build", *options, *build_arguments(target, events, groups))
            with events.open(encoding="utf-8") as lines:
                return read_build_events(lines, target, groups)

    def _fetch(self, target: str, digests: Sequence[str]) -> dict[str, Path]:
        """Build the layers of a pulled base that a registry could not do without. One is a group, of one file."""
        outputs = self._build(target, "--remote_download_outputs=toplevel", groups=digests)
        return {digest: outputs.groups[digest][0].path for digest in digests}

    def _download(self, target: str, paths: Sequence[Path]) -> None:
        """With a remote cache and minimal downloads, outputs are left there: fetch those that are needed after all."""
        missing = [path for path in paths if not path.exists()]
        if not missing:
            return
        names = "|".join(re.escape(_relative(path)) for path in missing)
        self._build(target, f"--remote_download_regex=.*/({names})$")


def _relative(path: Path) -> str:
    """The part of an output's path that is the same for every output base: after `bazel-out/`."""
    return str(path).rpartition(f"{os.sep}bazel-out{os.sep}")[2]
