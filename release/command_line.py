"""The command line of `release`: publishes an app's image under the names of a release.

Standard output is for machines (`--json -`), standard error for people.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import click

from release.app_release import Outside
from release.caller import calling_directory, calling_workspace, is_packed, read_config
from release.choice import LATER, choose
from release.config import Config
from release.console import Console, standard_error
from release.errors import Exit, InvalidRequest, Refused, SomeFailed, Unasked, exit_status
from release.flow import release_apps
from release.output import check_output, write_output
from release.program import run
from release.provenance import Source
from release.record import Outcome, records_document
from release.request import EngineName, LatestPolicy, Question, Request, VersionWish
from release.selection import split_names
from release.version import Bump, Version
from tools.oci.client import RegistryClient
from tools.oci.reference import Repository

if TYPE_CHECKING:
    from release.git_tags import GitTags
    from release.workshop import Workshop

_VERSION = re.compile(r"v[0-9]|[0-9]+\.|$")
"""What the last word is taken for a version by; whether it is one is another question."""

LOCAL_REGISTRIES = ("127.0.0.1:5000", "localhost:5000")
"""Names of the registry that //tools/localregistry runs."""

HELP = """Publish the images of APPs under the names of a release.

With --commit, the image of that commit is looked for in the registry. Where it is, it is given the tags VERSION and
latest, without a build; where it is not, it is built and pushed with all three tags. Without VERSION, only the commit's
tag is written. Without --commit, the working tree is always built and pushed, with two tags.

APP is DOMAIN-APP, DOMAIN/APP or, where that is unambiguous, APP; a DOMAIN stands for all of its apps, and `all` for
every app. Several go side by side, with one build of what has to be built; one that fails stops no other. VERSION is
vMAJOR.MINOR.PATCH[-pre].
"""

EPILOG = """\b
Examples:
  release hello_python v1.0.0 --commit $(git rev-parse HEAD)
  release all --commit $GITHUB_SHA                        CI, on every merge
  release cart,checkout v1.0.0 --commit 1f2e3d4 --engine registry
  release all --bump minor --commit $GITHUB_SHA --git-tag each app's next version
  release hello_python v1.0.0 --commit 1f2e3d4 --dry-run  what would be done
  release hello_python v1.0.0 --commit 1f2e3d4 --checkout build another commit
  release hello_python v1.0.1 --commit 1f2e3d4 --no-build --json -

\b
Exit status:
  0  done, or already as it should be
  1  something failed
  2  the command line or the configuration is wrong
  3  refused: a guard said no, and nothing was written
  4  the registry could not be asked
     of several apps: that of those that failed, or 1 where they differ
  130, 143  interrupted; the same command finishes the rest
"""


@click.command(help=HELP, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("words", nargs=-1, required=True, metavar="APP... [VERSION]")
@click.option("--versions", "versions_file", metavar="FILE", help="Versions by app, YAML or JSON, instead of VERSION.")
@click.option(
    "--bump",
    type=click.Choice([bump.value for bump in Bump]),
    help="Instead of VERSION, the next one of each app after its git tags {domain}-{app}.vX.Y.Z.",
)
@click.option("--git-tag", is_flag=True, help="Push the git tag {domain}-{app}.VERSION when the release is verified.")
@click.option("--local-git-tags", is_flag=True, help="Let --bump count the tags of this clone only, not the remote's.")
@click.option("--commit", metavar="SHA", help="Commit whose image is released; its tag is written as it is given here.")
@click.option("--checkout", is_flag=True, help="Build the commit in a work tree of its own, not in this one.")
@click.option("--registry", metavar="HOST[:PORT]", help="Registry, instead of the configured one.")
@click.option("--owner", metavar="OWNER", help="Path segment after the registry [config, $GITHUB_REPOSITORY_OWNER].")
@click.option("--repository", metavar="HOST[:PORT]/PATH", help="The whole repository; the app is then not looked up.")
@click.option(
    "--engine",
    type=click.Choice([engine.value for engine in EngineName]),
    default="imagetools",
    show_default=True,
    help="What re-tags: docker buildx imagetools, or the registry's own API.",
)
@click.option("--no-build", is_flag=True, help="Only re-tag; without a complete image of the commit, exit with 3.")
@click.option("--rebuild", is_flag=True, help="Build although the image is there; if it differs, exit with 3.")
@click.option("--allow-overwrite", is_flag=True, help="Let commit and version tags move to another image.")
@click.option("--no-provenance", is_flag=True, help="Do not say in the registry where the commit's image comes from.")
@click.option(
    "--latest",
    type=click.Choice([policy.value for policy in LatestPolicy]),
    default="newest",
    show_default=True,
    help="When to move latest: forward only, always, never.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done. Builds nothing, writes nothing.")
@click.option("--json", "json_file", metavar="FILE|-", help="Write a record of the release; - is standard output.")
@click.option("--insecure", is_flag=True, help="Allow plain HTTP to a registry that is not on this machine.")
@click.option("--config", "config_file", metavar="FILE", help="Configuration [release/config.yaml of the workspace].")
@click.option("--bazel-option", "bazel_options", multiple=True, metavar="OPT", help="Option of Bazel's commands.")
@click.help_option("-h", "--help")
def command(
    words: tuple[str, ...],
    versions_file: str | None,
    bump: str | None,
    git_tag: bool,
    local_git_tags: bool,
    json_file: str | None,
    config_file: str | None,
    **wishes: Any,
) -> None:
    """Read the command line, and release."""
    environment = dict(os.environ)
    console = standard_error()
    names, version = read_words(words)
    wish = VersionWish(
        version=Version.parse(version) if version is not None else None,
        file=calling_directory(environment) / versions_file if versions_file is not None else None,
        bump=Bump(bump) if bump is not None else None,
    )
    request = read_request(names, wish, **wishes)
    if git_tag and not (request.version and request.commit):
        raise InvalidRequest(
            "--git-tag needs a version and --commit",
            "a git tag names the version of a commit",
            "Add what is missing, or leave out --git-tag.",
        )
    config = read_config(config_file, environment)
    check_output(json_file, environment)
    outside = outside_world(request, config, console, environment)

    def tags(remote: str | None = "origin") -> GitTags:
        from release.git_tags import GitTags  # Not needed to re-tag.

        return GitTags(calling_workspace(environment) or calling_directory(environment), remote)

    counted = partial(tags, None) if local_git_tags else tags
    outcomes = release_apps(choose(names, request, wish, config, outside, counted), config, outside)
    if git_tag:
        write_git_tags(outcomes, tags(), console)
    if json_file is not None:
        write_output(records_document(outcomes), json_file, environment)
    conclude(outcomes, console)


def read_words(words: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """The names of apps, and the version if the last word is one."""
    *names, last = words
    if names and _VERSION.match(last):
        return split_names(names), last
    return split_names(words), None


def read_request(
    names: Sequence[str], wish: VersionWish, repository: str | None, engine: str, latest: str, **wishes: Any
) -> Request:
    """What the command line asks for of every app. Raises InvalidRequest or InvalidReference."""
    if not names:
        raise InvalidRequest("Nothing to release", "no app is named", "Name apps, a domain, or `all`.")
    return Request(
        app=", ".join(names),
        version=LATER if wish.by_app else wish.version,
        repository=Repository.parse(repository) if repository is not None else None,
        engine=EngineName(engine),
        latest=LatestPolicy(latest),
        **wishes,
    )


def write_git_tags(outcomes: Sequence[Outcome], tags: GitTags, console: Console) -> None:
    """Push the git tag of each release that was done, or say what it would come to. A failure is a warning."""
    from release.git_tagging import TagState, VerifiedRelease, push_git_tags, survey_git_tags, warnings

    # A rehearsal does not know the digest of what is yet to be built, and needs none.
    done = [
        VerifiedRelease(outcome.app, request.version, request.commit, outcome.digest or "", outcome.repositories)
        for outcome in outcomes
        if outcome.error is None and (request := outcome.request).version and request.commit
    ]
    rehearsal = any(outcome.request.dry_run for outcome in outcomes)
    reports = survey_git_tags(done, tags) if rehearsal else push_git_tags(done, tags)
    said = {
        TagState.PLANNED: "would be pushed",
        TagState.PUSHED: "is pushed",
        TagState.ALREADY: "is there already",
    }
    for report in reports:
        if report.state in said:
            console.say(f"git tag {report.tag} {said[report.state]}")
    for warning in warnings(reports):
        console.warn(warning)


def conclude(outcomes: Sequence[Outcome], console: Console) -> None:
    """Say what became of several apps, and raise the error of one that failed."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if len(outcomes) == 1:
        for outcome in failed:
            assert outcome.error is not None
            raise outcome.error
        return
    for outcome in failed:
        console.about(outcome.app).fail(str(outcome.error))
    if not failed:
        console.say(f"{len(outcomes)} apps done")
        return
    statuses = {exit_status(outcome.error) for outcome in failed if outcome.error is not None}
    raise SomeFailed(
        f"{len(failed)} of {len(outcomes)} apps failed",
        ", ".join(outcome.app for outcome in failed),
        "Their reasons stand above; the same command does what is left.",
        statuses.pop() if len(statuses) == 1 else Exit.FAILED,
    )


def outside_world(question: Question, config: Config, console: Console, environment: Mapping[str, str]) -> Outside:
    """The real registry, workspace and console."""

    def connect(registry: str, connections: int) -> RegistryClient:
        if registry == config.registry and registry in LOCAL_REGISTRIES:
            start_local_registry(registry, console)
        return RegistryClient(
            registry,
            insecure=question.insecure,
            retry_for=config.retry_seconds,
            on_wait=console.say,
            max_connections=connections,
        )

    @cache
    def workshop() -> Workshop:
        if is_packed():
            # Where the registry was asked and lacks the image, that is a guard's no, and not a wrong call.
            raise (Refused if question.repository else InvalidRequest)(
                f"Cannot look up or build {question.app}",
                "release.zip works without Bazel",
                "To re-tag an image that is there, name its --repository and --commit (--no-build says what is there); "
                "to build it: bazel run //release:release, in its workspace.",
            )
        from release.bazel import find_bazel  # None of this is needed to re-tag.
        from release.workshop import BazelWorkshop

        workspace = calling_workspace(environment)
        if workspace is None:
            raise InvalidRequest(
                f"Cannot look for {question.app}",
                f"{calling_directory(environment)} is not in a Bazel workspace",
                "Call it in one; to re-tag an image from anywhere, name its --repository.",
            )
        return BazelWorkshop(find_bazel(workspace, question.bazel_options, environment), environment)

    def source(commit: str) -> Source:
        from release.source_tree import source_of

        return source_of(commit, calling_workspace(environment) or calling_directory(environment))

    return Outside(console, connect, workshop, source, environment)


def start_local_registry(registry: str, console: Console) -> None:
    """Start the registry of this machine when nothing listens there. Raises Unasked when that fails."""
    host, _, port = registry.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        from tools.localregistry.server import LocalRegistryError, ensure_running

        try:
            ensure_running(int(port), report=console.say)
        except LocalRegistryError as error:
            why, _, remedy = str(error).partition("\n")
            raise Unasked(f"Cannot ask {registry}, the registry of this machine", why, remedy) from None
    except OSError:
        return  # The client tries again, and says what is wrong.


def main(arguments: list[str]) -> int:
    """Run the program, and return its exit status."""
    return run(command, "release", arguments, "nothing misleading is left, and the same command finishes the rest")
