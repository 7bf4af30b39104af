"""Where apps are found and images are built: a workspace with Bazel and git. Not needed to re-tag an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from release.app import App, query_expression, read_apps
from release.bazel import Bazel
from release.builder import BazelBuilder, Builder
from release.config import Config
from release.source_tree import SourceTree


class Workshop(Protocol):
    """Whatever knows apps and can build their images."""

    def apps(self, config: Config) -> tuple[App, ...]:
        """All apps in the configuration's scope."""
        ...

    def check_may_build(self, commit: str | None, checkout: bool) -> None:
        """Raises Refused when what would be built here would not be that commit."""
        ...

    def builder(self, commit: str | None, checkout: bool) -> AbstractContextManager[Builder]:
        """What builds that commit, or the tree as it is; its images last as long as the context."""
        ...


@dataclass(frozen=True, slots=True)
class BazelWorkshop:
    """The workspace that the release was started in."""

    bazel: Bazel
    environment: Mapping[str, str] = field(repr=False)

    def apps(self, config: Config) -> tuple[App, ...]:
        """See Workshop. One `bazel query`."""
        return read_apps(self.bazel.query(query_expression(config)))

    def check_may_build(self, commit: str | None, checkout: bool) -> None:
        """See Workshop."""
        if commit is None:
            return
        if checkout:
            self._tree.resolve(commit)
        else:
            self._tree.check_is(commit)

    @contextmanager
    def builder(self, commit: str | None, checkout: bool) -> Iterator[Builder]:
        """See Workshop."""
        self.check_may_build(commit, checkout)
        if commit is None or not checkout:
            # Seen again after the build, during which somebody may have gone on editing.
            yield BazelBuilder(self.bazel, partial(self.check_may_build, commit, checkout))
            return
        with self._tree.checked_out(commit, _cache_folder(self.environment)) as copy:
            # A server of its own, which ends soon, since the next checkout may be far away.
            others = [option for option in self.bazel.startup_options if not option.startswith("--output_base=")]
            options = (*others, f"--output_base={copy.output_base}", "--max_idle_secs=60")
            yield BazelBuilder(replace(self.bazel, workspace=copy.workspace, startup_options=options))

    @property
    def _tree(self) -> SourceTree:
        return SourceTree(self.bazel.workspace)


def _cache_folder(environment: Mapping[str, str]) -> Path:
    cache = Path(environment.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "slipway" / "checkout"
