"""The command line of `notes`: writes down where the images of a release are, for people.

Standard output is the section itself, or what would be written; standard error is for people.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from release.caller import calling_directory
from release.console import Console, standard_error
from release.errors import InvalidRequest
from release.marked_block import put_block
from release.notes import gather, render, unpublished
from release.output import check_output, write_output
from release.program import run
from release.record_file import RecordedRelease, read_record
from release.version import Version

RETRY_SECONDS = 30.0
"""How long GitHub is asked again."""

HELP = """Write the section "Docker Images" of the release notes of VERSION, out of the records of the release.

A RECORD is a file that `release --json` has written, or - for standard input. Nothing but what a record says was
verified is taken for published. Without VERSION, each app is of its own. The section goes to standard output, into a
file, or into a release on GitHub: there it stands between two comments, and is replaced the next time. All else in the
file stays as it is.

$GITHUB_TOKEN is the token for GitHub.
"""

EPILOG = """\b
Examples:
  notes v1.2.3 --from record.json
  notes v1.2.3 --from records/*.json --file NOTES.md
  notes v1.2.3 --from record.json --github acme/shop --dry-run
  notes --from record.json --github acme/shop --tag 2026-11-21

\b
Exit status:
  0  done, or already as it should be
  1  something failed: GitHub has no such release, or refused
  2  the command line or a record is wrong
  3  refused: the records do not say what is published, or the markers are broken; nothing was written
  4  GitHub could not be asked
  130, 143  interrupted; the same command finishes the rest
"""


@click.command(help=HELP, epilog=EPILOG, context_settings={"max_content_width": 100})
@click.argument("words", nargs=-1, metavar="[VERSION] --from RECORD...")
@click.option("--from", "records", multiple=True, metavar="RECORD...", help="Records of the release.")
@click.option("--file", metavar="FILE|-", help="Put the section into this file; - is standard output.")
@click.option("--github", metavar="OWNER/REPO", help="Put the section into the release of a tag on GitHub.")
@click.option("--tag", metavar="TAG", help="The release on GitHub [VERSION].")
@click.option("--github-url", metavar="URL", help="Address of the API [$GITHUB_API_URL, https://api.github.com].")
@click.option("--dry-run", is_flag=True, help="Write the whole new text to standard output, and nothing else.")
@click.help_option("-h", "--help")
def command(
    words: tuple[str, ...],
    records: tuple[str, ...],
    file: str | None,
    github: str | None,
    tag: str | None,
    github_url: str | None,
    dry_run: bool,
) -> None:
    """Read the command line and the records, and write."""
    environment = dict(os.environ)
    console = standard_error()
    version, names = read_words(words, records)
    if file is not None and github is not None:
        raise InvalidRequest("--file and --github", "the notes go to one place", "Call it twice, once for each.")
    if github is None and (tag, github_url) != (None, None):
        raise InvalidRequest("--tag and --github-url are about --github", "that is not given", "Add --github.")
    if not dry_run:
        check_output(file, environment, "the notes", "--file")
    releases = [release for name in names for release in read_records(name, environment)]
    notes = gather(releases, version)
    for line in unpublished(notes):
        console.warn(line)
    section = render(notes, with_versions=version is None)

    if github is not None:
        release_tag = tag if tag is not None else str(version or "")
        write_to_github(github, release_tag, github_url, section, environment, console, dry_run=dry_run)
    elif file in (None, "-"):
        write_output(put_block("", section, "the notes"), "-", environment)
    else:
        write_to_file(str(file), section, environment, console, dry_run=dry_run)


def read_words(words: tuple[str, ...], records: tuple[str, ...]) -> tuple[Version | None, tuple[str, ...]]:
    """The version, and the names of the records, which a shell may have made several of: `--from records/*.json`."""
    versions = [word for word in words if Version.find(word) is not None]
    names = (*records, *(word for word in words if Version.find(word) is None))
    if len(versions) > 1:
        raise InvalidRequest(
            f"Several versions: {', '.join(versions)}", "the notes are of one", "Leave all but one of them out."
        )
    if not records:
        for word in words:
            Version.parse(word)
        raise InvalidRequest(
            "Nothing to note", "no record is named", "Add --from RECORD, which `release --json` wrote."
        )
    # A record that was named twice says nothing more.
    return Version.parse(versions[0]) if versions else None, tuple(dict.fromkeys(names))


def read_records(name: str, environment: Mapping[str, str]) -> tuple[RecordedRelease, ...]:
    """Read one record."""
    try:
        file = calling_directory(environment) / name
        content = sys.stdin.buffer.read() if name == "-" else file.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or error)
        remedy = "Name files that `release --json` has written; VERSION is vMAJOR.MINOR.PATCH[-pre]."
        raise InvalidRequest(f"Cannot read the record {name}", why, remedy) from None
    return read_record(text, name)


def write_to_file(file: str, section: str, environment: Mapping[str, str], console: Console, *, dry_run: bool) -> None:
    """Put the section into a file, which need not be there yet."""
    before = read_notes(calling_directory(environment) / file)
    # Bytes that are no UTF-8 are none of this program's business, and stay.
    after = put_block(before.decode("utf-8", "surrogateescape"), section, file).encode("utf-8", "surrogateescape")
    if dry_run:
        write_output(after, "-", environment)
    elif after == before:
        console.say(f"{file} is as it should be")
    else:
        write_output(after, file, environment, "the notes", "Correct that, then run the same command again.")
        console.say(f"Wrote {file}")


def read_notes(path: Path) -> bytes:
    """What is in a file; nothing if it is not there."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise InvalidRequest(f"Cannot read {path}", str(error.strerror), "Name another --file.") from None


def write_to_github(
    repository: str,
    tag: str,
    url: str | None,
    section: str,
    environment: Mapping[str, str],
    console: Console,
    *,
    dry_run: bool,
) -> None:
    """Put the section into the text of a release."""
    from release.github import PUBLIC_URL, GitHub, GitHubRelease  # What a client takes is not needed for a file.
    from tools.oci.retrying import Sender

    if not tag:
        raise InvalidRequest(
            f"Cannot tell which release of {repository} is meant",
            "there is neither a VERSION nor a --tag",
            "Add --tag.",
        )
    release = GitHubRelease(repository, tag.removeprefix("refs/tags/"))
    token = environment.get("GITHUB_TOKEN", "").strip() or None
    if token is None and not dry_run:
        raise InvalidRequest(
            f"Cannot write {release}",
            "GITHUB_TOKEN is not set",
            "Set it in the environment to a token that may write: in a workflow of GitHub, "
            "`env: {GITHUB_TOKEN: ${{ github.token }}}` and `permissions: {contents: write}`.",
        )

    def change(text: str) -> str:
        return put_block(text, section, f"the text of {release}")

    sender = Sender(retry_for=RETRY_SECONDS, on_wait=console.say, max_connections=1)
    try:
        client = GitHub(url or environment.get("GITHUB_API_URL") or PUBLIC_URL, token, sender)
        edit = client.edit(release, change, dry_run=dry_run)
    finally:
        sender.close()
    if dry_run:
        write_output(edit.text.encode("utf-8", "surrogatepass"), "-", environment)
    else:
        console.say(f"{'Wrote' if edit.changed else 'As it should be already:'} {release}")


def main(arguments: list[str]) -> int:
    """Run the program, and return its exit status."""
    return run(command, "notes", arguments, "nothing is half written, and the same command finishes the rest")
