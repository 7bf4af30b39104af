"""The annotated git tag that a release leaves at its commit, on the remote (`--git-tag`).

Written last, when the image is seen to be right, so nothing here makes a release fail: what goes wrong is a warning.
A tag is pushed before it is kept here: where the push fails, nothing is left behind, and the same command tries again.
"""

from __future__ import annotations

import contextlib
import enum
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from release.git_tags import GitTag, GitTags, list_names, tag_name
from release.unattended_git import GitFailed, UnattendedGit
from release.version import Version

PUSH_SECONDS = 120.0
"""How long a push may take."""

_WHOLE = (40, 64)  # Digits of a commit's whole name, by SHA-1 or SHA-256.
_NOBODY = "Slipway <noreply@slipway.invalid>"
_AGAIN = "The release itself is done; the same command tries the tag again."


@dataclass(frozen=True, slots=True)
class VerifiedRelease:
    """A release of an app that is there and was seen to be right."""

    app: str
    """Its full name."""
    version: Version
    commit: str
    """May be abbreviated."""
    digest: str
    """Of the image index."""
    repositories: tuple[str, ...]
    """Where the image is, the first of them first."""

    @property
    def tag(self) -> str:
        """What the git tag is called."""
        return tag_name(self.app, self.version)

    @property
    def message(self) -> str:
        """What the git tag says; the lower part can be read by `git for-each-ref --format='%(trailers)'`."""
        images = "".join(f"Image: {repository}@{self.digest}\n" for repository in self.repositories)
        return f"Release {self.app} {self.version}\n\nApp: {self.app}\nVersion: {self.version}\n{images}"


class TagState(enum.Enum):
    """What became of a git tag."""

    PLANNED = "planned"
    """It is not there, and would be pushed."""
    PUSHED = "pushed"
    ALREADY = "already"
    """It was on the remote, at the same commit."""
    CONFLICT = "conflict"
    """It is at another commit, and stays there."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TagReport:
    """What became of the git tag of one release."""

    release: VerifiedRelease
    state: TagState
    commit: str | None = None
    """Whole name of the release's commit, as far as it is known."""
    target: str | None = None
    """Name of the tag's object, if there is one here already."""
    why: str = ""
    """With CONFLICT and FAILED."""
    remedy: str = ""

    @property
    def tag(self) -> str:
        """What the git tag is called."""
        return self.release.tag


def survey_git_tags(releases: Sequence[VerifiedRelease], tags: GitTags) -> tuple[TagReport, ...]:
    """What pushing the git tags of these releases would come to, in their order. Nothing is written."""
    try:
        here, there = tags.here(), tags.there()
    except GitFailed as error:
        return tuple(_failed(release, str(error)) for release in releases)
    if there is None:
        remedy = "The release itself is done. Name a remote of git, and the same command tries the tag again."
        return tuple(_failed(release, "there is no remote to push it to", remedy) for release in releases)
    commits = {commit: _resolve(tags, commit) for commit in {release.commit for release in releases}}
    return tuple(_survey(release, commits[release.commit], tags, here, there) for release in releases)


def push_git_tags(releases: Sequence[VerifiedRelease], tags: GitTags) -> tuple[TagReport, ...]:
    """Create the annotated tags of these releases and push them, all by one push, each judged by itself.

    A tag that is there at the same commit is left; one at another commit is never moved. Raises nothing of its own.
    """
    reports = survey_git_tags(releases, tags)
    planned = tuple(report for report in reports if report.state is TagState.PLANNED)
    if not planned:
        return reports
    pushed = {report.tag: report for report in _push(planned, tags)}
    return tuple(pushed.get(report.tag, report) for report in reports)


def warnings(reports: Sequence[TagReport]) -> tuple[str, ...]:
    """What people should know of tags that are not as they should be; tags with one reason share a warning."""
    reasons: dict[tuple[TagState, str, str], list[str]] = {}
    for report in reports:
        if report.state in (TagState.CONFLICT, TagState.FAILED):
            reasons.setdefault((report.state, report.why, report.remedy), []).append(report.tag)
    what = {TagState.CONFLICT: "stays where it is", TagState.FAILED: "is not pushed"}
    return tuple(
        f"git tag {list_names(names)} {what[state]}: {why}\n{remedy}" for (state, why, remedy), names in reasons.items()
    )


def _resolve(tags: GitTags, commit: str) -> str | GitFailed:
    """The whole name of a commit."""
    git = UnattendedGit(tags.folder)
    try:
        full = git.ask("rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}").splitlines()[-1]
    except GitFailed as error:
        return error
    # A branch may be called like an abbreviated commit.
    return full if full.startswith(commit.lower()) else GitFailed("it is the name of something else")


def _survey(
    release: VerifiedRelease,
    commit: str | GitFailed,
    tags: GitTags,
    here: Mapping[str, GitTag],
    there: Mapping[str, GitTag],
) -> TagReport:
    name = release.tag
    # A commit that is not in this clone may be compared all the same, and then has nothing to be pushed.
    full = commit if isinstance(commit, str) else release.commit.lower()
    if (found := there.get(name)) and (isinstance(commit, str) or len(full) in _WHOLE):
        return _found_there(release, full, found, tags)
    if isinstance(commit, GitFailed):
        remedy = (
            f"The release itself is done. Fetch the commit (git fetch {tags.remote} {release.commit}), and the same "
            "command tries the tag again."
        )
        return _failed(release, f"git does not have commit {release.commit} here ({commit})", remedy)
    if name.endswith(".lock"):
        remedy = "The release itself is done, and has no git tag; end the next version otherwise."
        return replace(_failed(release, "git allows no name that ends with .lock", remedy), commit=full)
    own = here.get(name)
    if own and own.commit != full:
        return TagReport(
            release,
            TagState.CONFLICT,
            full,
            why=f"here it is at commit {own.commit[:12]}, not at {full[:12]}, and {tags.remote} has none",
            remedy=f"The release itself is done. Delete the tag (git tag -d {name}) if it is wrong, and the same "
            "command tries again.",
        )
    return TagReport(release, TagState.PLANNED, full, target=own.target if own else None)


def _found_there(release: VerifiedRelease, commit: str, found: GitTag, tags: GitTags) -> TagReport:
    if found.commit == commit:
        return TagReport(release, TagState.ALREADY, commit)
    return TagReport(
        release,
        TagState.CONFLICT,
        commit,
        why=f"on {tags.remote} it is at commit {found.commit[:12]}, not at {commit[:12]}",
        remedy="The release itself is done. A tag is never moved: see which commit is the right one, and if it is this "
        f"one, delete the tag (git push {tags.remote} :refs/tags/{release.tag}) and repeat the command.",
    )


def _failed(release: VerifiedRelease, why: str, remedy: str = _AGAIN) -> TagReport:
    return TagReport(release, TagState.FAILED, why=why, remedy=remedy)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What git says of a push: for each tag the flag and the reason, and what is said of the whole."""

    of_tags: Mapping[str, tuple[str, str]]
    errors: str


def _push(planned: Sequence[TagReport], tags: GitTags) -> tuple[TagReport, ...]:
    git = UnattendedGit(tags.folder)
    try:
        targets = _make_objects(planned, git)
        answer = _push_objects(targets, tags, git)
    except (GitFailed, OSError) as error:
        return tuple(replace(_failed(report.release, str(error)), commit=report.commit) for report in planned)
    # Somebody else may have pushed the tag meanwhile, and a push that broke off may have got through.
    done = all(answer.of_tags.get(report.tag, ("", ""))[0] == "*" for report in planned)
    there = {} if done else _ask_again(tags)

    @cache
    def explain(reason: str) -> str:
        return git.words(f"{reason}\n{answer.errors}") or "git push says nothing of it"

    results = []
    for report in planned:
        flag, reason = answer.of_tags.get(report.tag, ("", ""))
        found = there.get(report.tag)
        assert report.commit is not None, "only a tag of a known commit is planned"
        if flag == "*" or (found and found.target == targets[report.tag]):
            results.append(replace(report, state=TagState.PUSHED, target=targets[report.tag]))
        elif found:
            results.append(_found_there(report.release, report.commit, found, tags))
        else:
            results.append(replace(_failed(report.release, explain(reason)), commit=report.commit))
    _keep(results, planned, git)
    return tuple(results)


def _make_objects(planned: Sequence[TagReport], git: UnattendedGit) -> dict[str, str]:
    """The names of the tags' objects, which no tag here refers to yet. A tag that is here has one already."""
    tagger = _tagger(git)
    targets = {report.tag: report.target for report in planned if report.target is not None}
    missing = [report for report in planned if report.tag not in targets]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, report in enumerate(missing):
            file = Path(folder, str(number))
            head = f"object {report.commit}\ntype commit\ntag {report.tag}\ntagger {tagger}\n\n"
            file.write_text(head + report.release.message, encoding="utf-8")
            files.append(f"{file}\n")
        # By one call, and not by `git tag`, which signs or opens an editor where it is configured to.
        names = git.ask("hash-object", "-t", "tag", "-w", "--stdin-paths", given="".join(files)) if files else ""
    return targets | {report.tag: name for report, name in zip(missing, names.split(), strict=True)}


def _tagger(git: UnattendedGit) -> str:
    """Who git is told to be by its configuration or the environment, never what it would guess from host and user."""
    told = git.run("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT")
    return told.output.strip() if told.status == 0 else f"{_NOBODY} {int(time.time())} +0000"


def _push_objects(targets: Mapping[str, str], tags: GitTags, git: UnattendedGit) -> _Answer:
    """Push objects as tags, all by one call."""
    assert tags.remote is not None, "without a remote no tag is planned"
    refs = [f"{target}:refs/tags/{name}" for name, target in targets.items()]
    # What a configuration may add to a push, such as all other tags, a signature or submodules, is not asked for.
    options = ("--porcelain", "--no-atomic", "--no-follow-tags", "--no-signed", "--recurse-submodules=no")
    try:
        finished = git.run("push", *options, tags.remote, *refs, limit=PUSH_SECONDS)
    except GitFailed as error:
        return _Answer({}, str(error))
    answers = {}
    for line in finished.output.splitlines():
        flag, _, rest = line.partition("\t")
        source_and_name, parted, reason = rest.partition("\t")
        if parted:
            answers[source_and_name.partition(":refs/tags/")[2]] = (flag, reason)
    return _Answer(answers, finished.errors)


def _ask_again(tags: GitTags) -> Mapping[str, GitTag]:
    try:
        return tags.there() or {}
    except GitFailed:
        return {}


def _keep(results: Sequence[TagReport], planned: Sequence[TagReport], git: UnattendedGit) -> None:
    """Have the tags that were pushed here, too. Where that fails the next fetch brings them."""
    own = {report.tag for report in planned if report.target is not None}
    new = [report for report in results if report.state is TagState.PUSHED and report.tag not in own]
    # Created, not updated: a tag that has appeared here meanwhile stays as it is.
    with contextlib.suppress(GitFailed):
        git.run("update-ref", "--stdin", given="".join(f"create refs/tags/{each.tag} {each.target}\n" for each in new))
