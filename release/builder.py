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
        return BuiltTogether({target: self._image(target, outputs.get(target), failure) for target in targets})

    def _image(
        self, target: str, outputs: BuildOutputs | None, failure: ReleaseError | None
    ) -> BuiltImage | ReleaseError | OciError:
        if outputs is None:
            # Bazel has said why on standard error; what it says is not told apart by target.
            return failure or ReleaseError(
                f"Cannot use what was built for {target}",
                "Bazel has told nothing of it",
                "Name the image by its canonical label.",
            )
        try:
            return image_of(outputs, target, partial(self._download, target), partial(self._fetch, target))
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
                self.bazel.run("build", *options, *build_arguments(targets, events, groups))
            except ReleaseError as error:
                failure = error
            if not events.exists():  # Bazel has not come so far.
                return {}, failure
            with events.open(encoding="utf-8") as lines:
                return read_build_events(lines), failure

    def _fetch(self, target: str, digests: Sequence[str]) -> dict[str, Path]:
        """Build the layers of a pulled base that a registry could not do without. One is a group, of one file."""
        outputs = self._build_again(target, "--remote_download_outputs=toplevel", groups=digests)
        return {digest: outputs.groups[digest][0].path for digest in digests}

    def _download(self, target: str, paths: Sequence[Path]) -> None:
        """With a remote cache and minimal downloads, outputs are left there: fetch those that are needed after all."""
        missing = [path for path in paths if not path.exists()]
        if missing:
            names = "|".join(re.escape(_relative(path)) for path in missing)
            self._build_again(target, f"--remote_download_regex=.*/({names})$")

    def _build_again(self, target: str, *options: str, groups: Sequence[str] = GROUPS) -> BuildOutputs:
        """Build a target of which more is needed. Raises ReleaseError."""
        outputs, failure = self._build([target], *options, groups=groups)
        if failure is not None:
            raise failure
        check_groups(outputs[target], target, groups)
        return outputs[target]


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


def _relative(path: Path) -> str:
    """The part of an output's path that is the same for every output base: after `bazel-out/`."""
    return str(path).rpartition(f"{os.sep}bazel-out{os.sep}")[2]
