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
from release.built_image import BuiltImage, build_arguments, image_of, read_build_events


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
        with tempfile.TemporaryDirectory(prefix="slipway-build-") as folder:
            events = Path(folder, "events.json")
            self.bazel.run("build", *build_arguments(target, events))
            self.see_unchanged()
            with events.open(encoding="utf-8") as lines:
                outputs = read_build_events(lines, target)
        return image_of(outputs, target, partial(self._download, target))

    def _download(self, target: str, paths: Sequence[Path]) -> None:
        """With a remote cache and minimal downloads, outputs are left there: fetch those that are needed after all."""
        missing = [path for path in paths if not path.exists()]
        if not missing:
            return
        names = "|".join(re.escape(_relative(path)) for path in missing)
        with tempfile.TemporaryDirectory(prefix="slipway-build-") as folder:
            arguments = build_arguments(target, Path(folder, "events.json"))
            self.bazel.run("build", f"--remote_download_regex=.*/({names})$", *arguments)


def _relative(path: Path) -> str:
    """The part of an output's path that is the same for every output base: after `bazel-out/`."""
    return str(path).rpartition(f"{os.sep}bazel-out{os.sep}")[2]
