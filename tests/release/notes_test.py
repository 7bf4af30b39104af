"""Release notes out of records: of real releases, and of what somebody made up."""

import copy
import io
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from release import notes_cli
from release.app import App
from release.config import Config
from release.destination import Destination
from release.errors import ReleaseError
from release.flow import release_apps
from release.marked_block import BEGIN, END
from release.record import records_document
from release.request import EngineName, Request
from release.version import Version
from tests.fault_registry.faults import HTML, Answer, Fault
from tests.release.github_server import GitHubServer
from tests.release.house import BOTH, COMMIT, House
from tests.release.record_schema import check_record
from tests.support.fault_proxy import FaultProxy
from tests.support.registry import LocalRegistry

PROGRAM = Path(notes_cli.__file__).resolve()
TOKEN = "ghs_aVerySecretTokenOfNobody123"
NOBODY = "127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder with records, and the program called in it."""

    folder: Path

    def call(self, *arguments: str, stdin: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("BUILD_", "GITHUB_"))}
        environment = {**kept, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1", **more}
        asked = subprocess.run(
            [sys.executable, str(PROGRAM), *arguments],
            cwd=self.folder,
            env=environment,
            input=stdin.encode() if stdin is not None else None,
            capture_output=True,
            check=False,
        )
        # Not as text, which would make all line ends alike.
        outcome = subprocess.CompletedProcess(
            asked.args, asked.returncode, asked.stdout.decode(), asked.stderr.decode()
        )
        assert "Traceback" not in outcome.stderr
        assert TOKEN not in outcome.stdout + outcome.stderr
        return outcome

    def done(self, *arguments: str, **more: str) -> str:
        """Its standard output, when all is well."""
        outcome = self.call(*arguments, **more)
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    def refused(self, status: int, *arguments: str, **more: str) -> str:
        """Why it ends with a status; in three parts, and with nothing on standard output."""
        outcome = self.call(*arguments, **more)
        assert (outcome.returncode, outcome.stdout) == (status, ""), outcome.stderr
        error = outcome.stderr[outcome.stderr.index("Error: ") :]
        assert re.fullmatch(r"Error: .+?: .+\n.+\n", error), error
        return error

    def write(self, name: str, *entries: Any) -> str:
        """Write a record, and return its name."""
        (self.folder / name).write_text(json.dumps({"schema": 2, "releases": entries}))
        return name


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(folder)


def record(house: House, version: str | None, *further: Destination, **wishes: Any) -> Any:
    """The record of a real release of hello_python."""
    config = Config(registry=house.repository.registry, owner=house.repository.path, further=further, retry_seconds=0.2)
    app = App("hello_python", "demo", "//a:image", BOTH, "//a:metadata")
    of = Version.parse(version) if version else None
    request = Request("hello_python", of, COMMIT, engine=EngineName.REGISTRY, **wishes)
    document = json.loads(records_document(release_apps([(request, app)], config, house.outside())))
    return document["releases"][0]


def made_up(app: str = "shop-api", digit: str = "a", version: str = "v1.2.3", **changes: Any) -> Any:
    """An entry as a release writes it."""
    digest = f"sha256:{digit * 64}"
    tag = {"tag": version, "kind": "version", "before": None, "after": digest, "step": "write"}
    entry = {
        "app": app,
        "version": version,
        "commit": COMMIT,
        "repository": "ghcr.io/acme/shop-api",
        "registries": ["ghcr.io"],
        "digest": digest,
        "artifact_digest": None,
        "platforms": {"linux/amd64": digest},
        "tags": [tag],
        "copies": [],
        "provenance": None,
        "verdict": "present",
        "path": "retag",
        "engine": "registry",
        "dry_run": False,
        "requests": 11,
        "writes": 2,
        "blobs": {"uploaded": 0, "mounted": 0, "present": 0},
        "bytes": 0,
        "seconds": 0.1,
        "error": None,
    }
    check_record({"schema": 2, "releases": [entry]})
    return {**entry, **changes}


def failed(app: str = "shop-web", what: str = "Cannot build", why: str = "it broke", **changes: Any) -> Any:
    """The entry of a release that failed."""
    entry: dict[str, Any] = {
        "app": app,
        "version": "v1.2.3",
        "commit": COMMIT,
        "repository": "ghcr.io/acme/shop-web",
        "registries": [],
        "dry_run": False,
        "requests": 1,
        "writes": 0,
        "seconds": 0.1,
        "error": {"exit_status": 1, "what": what, "why": why, "remedy": "Correct it."},
    }
    check_record({"schema": 2, "releases": [entry]})
    return {**entry, **changes}


# What is said


def test_the_section_of_an_image(desk: Desk) -> None:
    digest = "sha256:" + "a" * 64
    assert desk.done("v1.2.3", "--from", desk.write("record.json", made_up())) == (
        "<!-- slipway:images -->\n"
        "## 🐳 Docker Images\n"
        "\n"
        "### 📦 shop-api\n"
        "\n"
        "```bash\n"
        "# Pull by version tag\n"
        "docker pull ghcr.io/acme/shop-api:v1.2.3\n"
        "\n"
        "# Pull by digest (immutable)\n"
        f"docker pull ghcr.io/acme/shop-api@{digest}\n"
        "```\n"
        "\n"
        f"**Image Digest:** `{digest}`\n"
        "<!-- /slipway:images -->\n"
    )


def test_a_release_to_two_registries_of_which_a_third_lacks_it(
    desk: Desk, house: House, registry: LocalRegistry
) -> None:
    with FaultProxy(registry.address) as second:
        there = Destination(second.address, owner="acme")
        entry = record(house, "v1.2.3", there, Destination(NOBODY, owner="acme", required=False))
    outcome = desk.call("v1.2.3", "--from", desk.write("record.json", entry))
    assert outcome.returncode == 0
    digest = house.shelf.image.digest
    first, other = f"{house.repository}/demo-hello_python", f"{second.address}/acme/demo-hello_python"
    pulls = [line for line in outcome.stdout.splitlines() if line.startswith("docker pull ")]
    assert pulls == [
        *(f"docker pull {repository}:v1.2.3" for repository in (first, other)),
        *(f"docker pull {repository}@{digest}" for repository in (first, other)),
    ]
    assert re.search(rf"^- `{NOBODY}`: not published \(`.*no answer from {NOBODY}.*`\)$", outcome.stdout, re.MULTILINE)
    assert f"Warning: demo-hello_python v1.2.3: not published to {NOBODY}: " in outcome.stderr


def test_a_registry_that_was_not_configured_is_named_as_the_configuration_does(desk: Desk, house: House) -> None:
    entry = record(house, "v1.2.3", Destination("${ECR}", required=False))
    section = desk.done("v1.2.3", "--from", desk.write("record.json", entry))
    assert "- `${ECR}`: not published (`The registry ${ECR} is not configured: " in section


def test_an_app_that_failed_is_not_published_until_another_record_says_so(desk: Desk, house: House) -> None:
    house.shelf.failure = ReleaseError("bazel build failed", "it said why above", "Correct that.")
    broken = desk.write("broken.json", record(house, "v1.2.3"))
    section = desk.done("v1.2.3", "--from", broken)
    assert "### 📦 `demo-hello_python`" not in section
    assert "### 📦 demo-hello_python\n\nNot published (`bazel build failed: it said why above`)\n" in section
    assert "docker pull" not in section
    house.shelf.failure = None
    whole = desk.write("whole.json", record(house, "v1.2.3"))
    assert desk.done("v1.2.3", "--from", broken, whole) == desk.done("v1.2.3", "--from", whole)
    assert desk.done("v1.2.3", "--from", whole, "--from", broken) == desk.done("v1.2.3", "--from", whole)


def test_where_a_required_registry_broke_the_first_one_is_named_alone(
    desk: Desk, house: House, registry: LocalRegistry
) -> None:
    with FaultProxy(registry.address) as second:
        destination = Destination(second.address, owner="later")
        fault = Fault(method="PUT", path=".*/manifests/v1.2.3", answer=Answer(403), times=0)
        second.inject(fault)
        broken = desk.write("broken.json", record(house, "v1.2.3", destination))
        second.check_injected()
        section = desk.done("v1.2.3", "--from", broken)
        assert section.count("docker pull") == 2
        assert f"`{second.address}`: not published (" in section
        second.heal()
        whole = desk.write("whole.json", record(house, "v1.2.3", destination))
    section = desk.done("v1.2.3", "--from", broken, whole)
    assert section.count("docker pull") == 4
    assert "not published" not in section


def test_several_apps_stand_in_their_order_whatever_that_of_the_records(desk: Desk) -> None:
    one = desk.write("1.json", made_up("shop-web", "b"), failed("shop-cart"))
    two = desk.write("2.json", made_up("shop-api", "a"))
    section = desk.done("v1.2.3", "--from", one, "--from", two)
    assert re.findall("### 📦 (.*)", section) == ["shop-api", "shop-cart", "shop-web"]
    assert desk.done("v1.2.3", "--from", two, one) == section
    assert desk.done("--from", one, two, "v1.2.3", "--from", one) == section


def test_without_a_version_each_heading_has_its_own(desk: Desk) -> None:
    name = desk.write("record.json", made_up("shop-api"), made_up("shop-api", "b", "v1.3.0"), failed())
    section = desk.done("--from", name)
    assert re.findall("### 📦 (.*)", section) == ["shop-api v1.2.3", "shop-api v1.3.0", "shop-web v1.2.3"]


def test_a_record_comes_through_a_pipe_in_any_locale(desk: Desk) -> None:
    text = json.dumps({"schema": 2, "releases": [made_up()]})
    outcome = desk.call("v1.2.3", "--from", "-", stdin=text, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (outcome.returncode, outcome.stdout.count("🐳")) == (0, 1)


# What is refused


def test_a_dry_run_has_published_nothing(desk: Desk, house: House) -> None:
    rehearsal = desk.write("record.json", record(house, "v1.2.3", dry_run=True))
    record(house, None)
    of_what_is_there = desk.write("other.json", record(house, "v1.2.3", dry_run=True))
    for name in (rehearsal, of_what_is_there, desk.write("failed.json", failed(dry_run=True))):
        assert "a dry run would have done" in desk.refused(3, "v1.2.3", "--from", name)


def test_records_that_name_two_images_contradict_each_other(desk: Desk) -> None:
    one, two = desk.write("1.json", made_up(digit="a")), desk.write("2.json", made_up(digit="b"))
    said = desk.refused(3, "v1.2.3", "--from", one, two)
    assert f"sha256:{'a' * 64} (1.json) and sha256:{'b' * 64} (2.json)" in said
    place = {key: made_up(digit="b")[key] for key in ("repository", "digest", "tags", "blobs", "bytes")}
    copied = made_up(copies=[{"registry": "r.example", "required": True, "error": None, **place}])
    desk.refused(3, "v1.2.3", "--from", desk.write("3.json", copied))


@pytest.mark.parametrize(
    ("entries", "arguments", "words"),
    [
        ([made_up()], ["v1.2.4"], "its release of shop-api is of v1.2.3, not of v1.2.4"),
        ([{**made_up(), "version": None}], [], "is by commit alone"),
        ([{**made_up(), "version": None}], ["v1.2.3"], "is by commit alone, not of v1.2.3"),
        ([], ["v1.2.3"], "the records name no app"),
        ([made_up()], ["v1.2.3", "v1.2.4"], "Several versions: v1.2.3, v1.2.4"),
        ([made_up()], ["1.2.3"], "Cannot read the record 1.2.3: No such file"),
        ([made_up()], ["v1.2.3", "--from", "."], "Cannot read the record .: Is a directory"),
        ([made_up()], ["v1.2.3", "--tag", "v1"], "--tag and --github-url are about --github"),
        ([made_up()], ["v1.2.3", "--file", "a", "--github", "a/b"], "the notes go to one place"),
        ([made_up()], ["v1.2.3", "--file", "no/NOTES.md"], "there is no folder"),
        ([made_up()], ["--github", "acme/shop"], "there is neither a VERSION nor a --tag"),
        ([made_up()], ["v1.2.3", "--github", "acme"], "'acme' is no repository of GitHub"),
        ([made_up()], ["v1.2.3", "--github", "acme/.."], "'acme/..' is no repository of GitHub"),
        ([made_up()], ["v1.2.3", "--github", "acme/shop"], "GITHUB_TOKEN is not set"),
    ],
)
def test_a_wrong_call_is_told(desk: Desk, entries: Sequence[Any], arguments: Sequence[str], words: str) -> None:
    name = desk.write("record.json", *entries)
    assert words in desk.refused(2, "--from", name, *arguments)


def test_no_record_is_a_wrong_call(desk: Desk) -> None:
    assert "no record is named" in desk.refused(2, "v1.2.3")
    assert "does not follow semantic versioning" in desk.refused(2, "1.2.3")


DIGEST = "sha256:" + "a" * 64
TAG = {"tag": "v1.2.3", "kind": "version", "before": None, "after": DIGEST, "step": "write"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"app": 3}, "releases[0].app is not a text"),
        ({"version": "1.2.3"}, "releases[0].version is not a version"),
        ({"dry_run": None}, "releases[0].dry_run is not true or false"),
        ({"digest": "sha256:00"}, "releases[0].digest is not a digest"),
        ({"digest": None}, "releases[0].digest is not a text"),
        ({"repository": "ghcr.io/a b"}, "a path is lower-case letters"),
        ({"repository": "ghcr.io/a\n```\n# hi"}, "a path is lower-case letters"),
        ({"repository": "x\n`y/a"}, "a registry is HOST"),
        ({"tags": [{**TAG, "tag": "v1\n```"}]}, "releases[0].tags[0].tag is not a tag"),
        ({"tags": [{**TAG, "after": "sha256:" + "b" * 64}]}, "was not seen to name the image"),
        ({"tags": [{**TAG, "step": "stay"}]}, "was not seen to name the image"),
        ({"tags": [{**TAG, "after": None}]}, "releases[0].tags[0].after is not a text"),
        ({"tags": [{**TAG, "kind": "commit"}]}, "releases[0].tags has no tag of the version"),
        ({"tags": {}}, "releases[0].tags is not a list"),
        ({"copies": [1]}, "releases[0].copies[0] is not a mapping"),
        ({"copies": [{}]}, "releases[0].copies[0].error is missing"),
        ({"error": "bad"}, "releases[0].error is not a mapping"),
        ({"error": {"what": "a"}}, "releases[0].error.why is not a text"),
    ],
)
def test_a_record_that_was_tampered_with_is_not_taken(desk: Desk, changes: dict[str, Any], words: str) -> None:
    error = desk.refused(2, "v1.2.3", "--from", desk.write("record.json", {**copy.deepcopy(made_up()), **changes}))
    assert "Cannot use record.json" in error
    assert words in error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "Expecting value"),
        ("[]", "it is not a mapping"),
        ('{"schema": 3, "releases": []}', "its schema is 3, and this program knows 2"),
        ('{"schema": true, "releases": []}', "schema is not a number"),
        ('{"schema": 2}', "releases is not a list"),
        ('{"schema": 2, "releases": [{"app": "a", "version": "v1.2.3", "dry_run": false, "error": null}]}', "neither"),
        ("[" * 100_000, "nested too deeply"),
        ('{"schema": ' + "9" * 5000 + "}", "digits"),
        ("\ud800", "decode"),
    ],
    ids=["empty", "list", "later", "true", "no releases", "nothing", "deep", "huge number", "no text"],
)
def test_what_is_no_record_is_not_taken(desk: Desk, content: str, words: str) -> None:
    (desk.folder / "record.json").write_bytes(content.encode(errors="surrogatepass"))
    assert words in desk.refused(2, "v1.2.3", "--from", "record.json")


# Hostile content


HOSTILE = [
    "<script>alert(1)</script>",
    "a](https://evil.example) [b",
    "x`y``z",
    "`",
    f"a\n{END}\n# Not ours\n{BEGIN}",
    f"{END}",
    "a\r\n```\n@everyone #1 www.evil.example",
    "\x1b[31mred\u202egnp.exe\u2066",
    "__init__",
    "\ud800",
    "x" * 5000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_names_and_reasons_are_text_and_nothing_else(desk: Desk, text: str) -> None:
    lack = {"registry": text, "required": False, "repository": None, "digest": None, "tags": []}
    copies = [{**lack, "blobs": None, "bytes": None, "error": {"what": text, "why": text}}]
    name = desk.write("record.json", made_up(text, copies=copies), failed(f"{text} <2>", text, text))
    outcome = desk.call("v1.2.3", "--from", name, "--file", "NOTES.md")
    assert outcome.returncode == 0
    assert "\x1b" not in outcome.stderr
    (desk.folder / "other.md").write_text("Before\n")
    notes = (desk.folder / "NOTES.md").read_text()
    lines = notes.splitlines()
    assert [lines[0], lines[-1]] == [BEGIN, END]
    assert max(map(len, lines)) < 1000
    outside = [without_code(line) for line in lines[1:-1]]
    # What is left without the code is the skeleton, whatever is in the record.
    assert outside == [
        *("## 🐳 Docker Images", "", "### 📦 ", "", "```bash", "# Pull by version tag"),
        *("docker pull ghcr.io/acme/shop-api:v1.2.3", "", "# Pull by digest (immutable)"),
        *(f"docker pull ghcr.io/acme/shop-api@{DIGEST}", "```", "", "**Image Digest:** ", ""),
        *("- : not published ()", "", "### 📦 ", "", "Not published ()"),
    ]
    desk.done("v1.2.3", "--from", name, "--file", "NOTES.md")
    assert (desk.folder / "NOTES.md").read_text() == notes


def without_code(line: str) -> str:
    """A line of Markdown without its code spans (CommonMark 6.1): a run of backticks up to the next of that length."""
    left = io.StringIO()
    while match := re.search(r"(?<!`)(`+)(?!`)", line):
        fence = match[1]
        end = re.compile(rf"(?<!`){fence}(?!`)").search(line, match.end())
        if end is None:
            break
        left.write(line[: match.start()])
        line = line[end.end() :]
    return left.getvalue() + line


# Files


def test_running_twice_leaves_one_block_and_the_rest_as_it_was(desk: Desk) -> None:
    path = desk.folder / "NOTES.md"
    before, behind = b"\xef\xbb\xbf# 1.2.3\r\n\r\n\xff no UTF-8  \r\n", b"\r\nThanks!\r\n\r\n"
    path.write_bytes(before)
    path.chmod(0o640)
    record = desk.write("record.json", made_up())
    assert desk.done("v1.2.3", "--from", record, "--file", "NOTES.md") == ""
    once = path.read_bytes()
    assert once.startswith(before)
    assert b"\n" not in once.replace(b"\r\n", b"")
    path.write_bytes(once + behind)
    desk.done("v1.2.3", "--from", record, "--file", "NOTES.md")
    assert path.read_bytes() == once + behind
    desk.done("v1.2.3", "--from", desk.write("record.json", made_up(digit="b")), "--file", "NOTES.md")
    assert path.read_bytes() == once.replace(b"a" * 64, b"b" * 64) + behind
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(entry.name for entry in desk.folder.iterdir()) == ["NOTES.md", "record.json"]


def test_a_file_is_shown_and_not_written_by_a_dry_run(desk: Desk) -> None:
    record = desk.write("record.json", made_up())
    shown = desk.done("v1.2.3", "--from", record, "--file", "NOTES.md", "--dry-run")
    assert not (desk.folder / "NOTES.md").exists()
    desk.done("v1.2.3", "--from", record, "--file", "NOTES.md")
    assert (desk.folder / "NOTES.md").read_text() == shown
    assert desk.done("v1.2.3", "--from", record, "--file", "-") == shown


def test_a_file_with_broken_markers_is_left_alone(desk: Desk) -> None:
    path = desk.folder / "NOTES.md"
    path.write_text(f"a\n{BEGIN}\nb\n")
    said = desk.refused(3, "v1.2.3", "--from", desk.write("record.json", made_up()), "--file", "NOTES.md")
    assert f"{BEGIN} in line 2, no {END}" in said
    assert path.read_text() == f"a\n{BEGIN}\nb\n"


# GitHub


@pytest.fixture
def github() -> Iterator[GitHubServer]:
    with GitHubServer(TOKEN) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Publisher:
    """The program told to write to that server."""

    desk: Desk
    server: GitHubServer

    @property
    def arguments(self) -> list[str]:
        return ["v1.2.3", "--from", self.desk.write("record.json", made_up()), "--github", "acme/shop"]

    def done(self, *more: str, **environment: str) -> str:
        return self.desk.done(*self.arguments, *more, **{**self.environment, **environment})

    def refused(self, status: int, *more: str, **environment: str) -> str:
        return self.desk.refused(status, *self.arguments, *more, **{**self.environment, **environment})

    @property
    def environment(self) -> dict[str, str]:
        return {"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": self.server.url}

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.server.requests()]


@pytest.fixture
def publisher(desk: Desk, github: GitHubServer) -> Publisher:
    return Publisher(desk, github)


@pytest.mark.parametrize("text", ["What's new\r\n\r\n* all\r\n", "", None], ids=["text", "empty", "null"])
def test_the_release_of_the_tag_gets_the_section_once(publisher: Publisher, github: GitHubServer, text: Any) -> None:
    github.releases = {"v1.2.2": "older", "v1.2.3": text}
    shown = publisher.done("--dry-run")
    assert github.bodies == []
    assert publisher.done() == ""
    after = github.releases["v1.2.3"]
    assert after == shown
    assert after.startswith(text or BEGIN)
    assert after.count("### 📦 shop-api") == 1
    assert github.releases["v1.2.2"] == "older"
    assert [json.loads(body).keys() for body in github.bodies] == [{"body"}]
    github.forget_requests()
    publisher.done()
    assert publisher.asked == ["GET /repos/acme/shop/releases/tags/v1.2.3"]
    assert github.releases["v1.2.3"] == after


def test_a_dry_run_needs_no_token_for_what_is_public(publisher: Publisher, github: GitHubServer) -> None:
    github.releases = {"v1.2.3": "Text"}
    assert publisher.done("--dry-run", GITHUB_TOKEN="").startswith("Text\n\n" + BEGIN)
    assert {request.authorization for request in github.requests()} == {""}


def test_another_address_and_another_tag(desk: Desk) -> None:
    with GitHubServer(TOKEN, prefix="/api/v3") as server:
        server.releases = {"shop/v1 €": "Text"}
        publisher = Publisher(desk, server)
        publisher.done("--github-url", f"{server.url}/api/v3/", "--tag", "refs/tags/shop/v1 €", GITHUB_API_URL="bad")
        assert BEGIN in server.releases["shop/v1 €"]
        assert publisher.asked[0] == "GET /api/v3/repos/acme/shop/releases/tags/shop%2Fv1%20%E2%82%AC"


def test_the_token_goes_to_github_and_is_nowhere_else(publisher: Publisher, github: GitHubServer) -> None:
    github.releases = {"v1.2.3": ""}
    publisher.done()
    assert {request.authorization for request in github.requests()} == {f"Bearer {TOKEN}"}
    assert TOKEN not in " ".join(publisher.arguments)
    for status, token in ((4, TOKEN + "x"), (2, f"{TOKEN}\n{TOKEN}"), (2, f"{TOKEN} é")):
        assert token not in publisher.refused(status, GITHUB_TOKEN=token)


def test_a_redirect_to_somebody_else_does_not_take_the_token_along(publisher: Publisher, github: GitHubServer) -> None:
    with GitHubServer(TOKEN) as other:
        other.releases = {"v1.2.3": "Text"}
        where = f"{other.url}/repos/acme/shop/releases/tags/v1.2.3"
        github.inject(Fault(answer=Answer(301, {"Location": where})))
        publisher.done("--dry-run")
        github.check_injected()
        assert {request.authorization for request in other.requests()} == {""}


def test_a_release_that_is_not_there(publisher: Publisher, github: GitHubServer) -> None:
    github.releases = {"v1.2.2": ""}
    said = publisher.refused(1)
    assert "Cannot read the release v1.2.3 of acme/shop: release not found (127.0.0.1:" in said
    assert "answered 404 Not Found: Not Found)" in said
    assert github.bodies == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(method="GET", answer=Answer(502, {}, b"<html>Unicorn</html>")),
        Fault(method="GET", keep=10),
        Fault(method="PATCH", answer=Answer(503)),
        Fault(method="PATCH", lose_answer=True),
        Fault(method="PATCH", reset_after=5),
        Fault(method="PATCH", answer=Answer(429, {"Retry-After": "0"})),
        Fault(method="PATCH", answer=Answer(403, {"Retry-After": "0"}, b'{"message": "secondary rate limit"}')),
        Fault(method="GET", answer=Answer(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"})),
    ],
    ids=["502", "half", "503", "lost", "reset", "429", "secondary limit", "primary limit"],
)
def test_what_passes_is_tried_again(publisher: Publisher, github: GitHubServer, fault: Fault) -> None:
    github.releases = {"v1.2.3": "Text"}
    github.inject(fault)
    publisher.done()
    github.check_injected()
    assert github.releases["v1.2.3"].count(BEGIN) == 1


def test_what_somebody_else_wrote_meanwhile_is_kept(publisher: Publisher, github: GitHubServer) -> None:
    github.releases = {"v1.2.3": "Text"}

    def edit(asked: object) -> None:
        github.releases["v1.2.3"] = "Another text"

    github.inject(Fault(method="PATCH", before=edit, answer=Answer(502)))
    publisher.done()
    github.check_injected()
    assert github.releases["v1.2.3"].startswith("Another text\n\n" + BEGIN)


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        (
            Fault(answer=Answer(403, {}, b'{"message": "Resource not accessible"}')),
            4,
            "403 Forbidden: Resource not acc",
        ),
        (Fault(answer=HTML), 4, "the answer is not JSON"),
        (Fault(answer=Answer(200, {}, b"[]")), 4, "the answer is no release"),
        (Fault(answer=Answer(200, {}, b'{"id": "1", "body": ""}')), 4, "has no `id` or `body`"),
        (Fault(method="PATCH", answer=Answer(422, {}, b'{"message": "body is too long"}')), 1, "body is too long"),
        (Fault(method="PATCH", answer=Answer(200, {}, b'{"id": 1, "body": "x"}')), 4, "did not keep the text"),
        (Fault(answer=Answer(403, {"Retry-After": "3600"})), 4, "it asks to wait 3600 s"),
        (Fault(method="PATCH", answer=Answer(404)), 1, "Cannot write the release v1.2.3 of acme/shop"),
    ],
)
def test_what_does_not_pass_ends_it(
    publisher: Publisher, github: GitHubServer, fault: Fault, status: int, words: str
) -> None:
    github.releases = {"v1.2.3": "Text"}
    github.inject(fault)
    assert words in publisher.refused(status)
    github.check_injected()
    assert github.releases["v1.2.3"] == "Text"


def test_broken_markers_on_github_are_left_alone(publisher: Publisher, github: GitHubServer) -> None:
    github.releases = {"v1.2.3": f"a\r\n{END}\r\n"}
    assert "the text of the release v1.2.3 of acme/shop" in publisher.refused(3)
    assert github.bodies == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://github.example", "unencrypted"),
        ("ftp://github.example", "its address is not"),
        ("https://me:secret@github.example", "its address is not"),
        ("https://github.example?token=secret", "its address is not"),
        ("github.example", "its address is not"),
        ("https://[", "its address is not"),
    ],
)
def test_an_address_that_cannot_be_used(publisher: Publisher, url: str, words: str) -> None:
    said = publisher.refused(2, "--github-url", url)
    assert words in said
    assert "secret" not in said
