"""Calls of Bazel: the server that is there answers, and what it builds is found."""

import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from release.app import read_apps
from release.bazel import Bazel, clean_environment, output_base_of, startup_options
from release.builder import BazelBuilder
from release.errors import ReleaseError
from tests.support.images import ImageMaker
from tests.support.workspace import bazel_program
from tests.support.workspace import clean_environment as user_environment
from tools.oci.manifest import ImageIndex, Platform

# A stand-in for the rules of this project, which takes blobs that the test has made. `app_metadata` is only looked at.
RULES = """
def _image(ctx):
    descriptor = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.run_shell(
        inputs = [ctx.file.descriptor], outputs = [descriptor],
        command = "cp $1 $2", arguments = [ctx.file.descriptor.path, descriptor.path],
    )
    blobs = []
    for blob in ctx.files.blobs:
        copy = ctx.actions.declare_file(ctx.attr.folder + "/" + blob.basename)
        ctx.actions.run_shell(
            inputs = [blob], outputs = [copy], command = "cp $1 $2", arguments = [blob.path, copy.path],
        )
        blobs.append(copy)
    return [
        DefaultInfo(files = depset([descriptor])),
        OutputGroupInfo(descriptor = depset([descriptor]), made_blobs = depset(blobs)),
    ]

image = rule(implementation = _image, attrs = {
    "blobs": attr.label_list(allow_files = True),
    "descriptor": attr.label(allow_single_file = True),
    "folder": attr.string(default = "built"),
})

app_metadata = rule(implementation = lambda ctx: [], attrs = {
    "app": attr.string(), "domain": attr.string(), "image": attr.label(), "platforms": attr.string_list(),
})
"""
BUILD = """
load(":rules.bzl", "app_metadata", "image")
image(name = "a_image", blobs = glob(["blobs/*"]), descriptor = "descriptor.json")
app_metadata(name = "a_metadata", app = "a", domain = "demo", image = ":a_image", platforms = ["linux/amd64"])
image(name = "b_image", blobs = glob(["blobs/*"]), descriptor = "descriptor.json", folder = "b")
genrule(name = "broken", outs = ["broken.json"], cmd = "echo it is broken >&2; false")
image(name = "broken_image", descriptor = ":broken", folder = "broken")
filegroup(name = "other")
"""


@dataclass(frozen=True, slots=True)
class Small:
    """A small workspace with a server of its own."""

    path: Path
    output_base: Path
    maker: ImageMaker
    index: str

    @property
    def server(self) -> str:
        """The server's process id."""
        return (self.output_base / "server" / "server.pid.txt").read_text()

    def bazel(self, *options: str) -> Bazel:
        """Bazel as the release calls it."""
        found = startup_options(self.output_base, self.path)
        return Bazel(self.path, bazel_program(), found, options, user_environment())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    path = tmp_path_factory.mktemp("workspace")
    output_base = tmp_path_factory.mktemp("output_base")
    package = path / "apps" / "a"
    maker = ImageMaker(package / "blobs")
    index = maker.index()
    (package / "descriptor.json").write_text(f'{{"mediaType": "{index.media_type}", "digest": "{index.digest}", ')
    with (package / "descriptor.json").open("a") as file:
        file.write(f'"size": {len(index.content)}}}')
    (package / "rules.bzl").write_text(RULES)
    (package / "BUILD.bazel").write_text(BUILD)
    (path / "MODULE.bazel").write_text('module(name = "small")\n')
    (path / ".bazelrc").write_text(
        "startup --host_jvm_args=-Dfrom.rc=1\ncommon --lockfile_mode=off\nbuild:of_builds --jobs=2\n"
    )
    # Options typed by the user; each one that were not passed on, or passed twice, would restart the server.
    typed = [f"--output_base={output_base}", "--max_idle_secs=300", "--noidle_server_tasks"]
    call = [bazel_program(), *typed]
    result = subprocess.run(
        [*call, "info", "server_pid"], cwd=path, env=user_environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    yield Small(path, output_base, maker, index.digest)
    subprocess.run([*call, "shutdown"], cwd=path, env=user_environment(), capture_output=True, check=True)


def test_the_server_that_is_there_answers(small: Small) -> None:
    before = small.server
    expression = "kind('^app_metadata rule$', //apps/...)"
    apps = read_apps(small.bazel().query(expression))
    assert [(app.full_name, app.image, app.platforms) for app in apps] == [
        ("demo-a", "//apps/a:a_image", (Platform("linux", "amd64"),))
    ]
    assert small.server == before


def test_options_that_an_rc_file_gives_are_left_to_it(small: Small) -> None:
    assert startup_options(small.output_base, small.path) == (
        f"--output_base={small.output_base}",
        "--max_idle_secs=300",
        "--noidle_server_tasks",
    )


def test_another_workspace_gets_a_server_of_its_own(small: Small, tmp_path: Path) -> None:
    assert startup_options(small.output_base, tmp_path) == ()
    assert startup_options(tmp_path, small.path) == ()


def test_an_image_that_bazel_builds_is_found_with_its_blobs(small: Small) -> None:
    image = BazelBuilder(small.bazel()).build("//apps/a:a_image")
    assert image.digest == small.index
    for digest, path in small.maker.paths.items():
        assert image.blobs.read(digest) == path.read_bytes()


def test_a_target_that_is_no_image_is_told_apart(small: Small) -> None:
    with pytest.raises(ReleaseError, match="has no output group"):
        BazelBuilder(small.bazel()).build("//apps/a:other")


def test_a_failing_build_is_an_error_with_bazels_own_words_above_it(
    small: Small, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ReleaseError, match=r"build //apps/a:missing failed in .*: it ended with status 1"):
        BazelBuilder(small.bazel()).build("//apps/a:missing")
    output = capfd.readouterr()
    assert "no such target '//apps/a:missing'" in output.err
    assert output.out == ""


def test_of_several_targets_those_that_build_are_there_though_another_fails(small: Small) -> None:
    images = ("//apps/a:a_image", "//apps/a:broken_image", "//apps/a:b_image")
    built = BazelBuilder(small.bazel()).prepare(images)
    assert [built.build(target).digest for target in images[::2]] == [small.index] * 2
    with pytest.raises(
        ReleaseError, match=r"bazel\w* build .* failed in .*: it ended with status 1, and said why above"
    ):
        built.build(images[1])


def test_options_are_handed_on_to_every_command(small: Small) -> None:
    """Here one by which no package is found."""
    options = ("--deleted_packages=apps/a",)
    with pytest.raises(ReleaseError, match=r"query //apps/a:all failed"):
        small.bazel(*options).query("//apps/a:all")
    with pytest.raises(ReleaseError, match=r"build //apps/a:a_image failed"):
        BazelBuilder(small.bazel(*options)).build("//apps/a:a_image")


def test_an_option_that_only_builds_know_is_left_out_of_the_query(
    small: Small, capfd: pytest.CaptureFixture[str]
) -> None:
    assert '"//apps/a:a_image"' in small.bazel("--config=of_builds").query("//apps/...")
    assert "of_builds" not in capfd.readouterr().err
    BazelBuilder(small.bazel("--config=of_builds")).build("//apps/a:a_image")
    with pytest.raises(ReleaseError):
        BazelBuilder(small.bazel("--config=of_nobody")).build("//apps/a:a_image")


def test_a_bazel_that_is_not_there_is_an_error_with_what_to_do(small: Small) -> None:
    with pytest.raises(ReleaseError, match=r"(?s)Cannot run no-bazel query.*\$BAZEL"):
        replace(small.bazel(), program="no-bazel").query("//...")


@pytest.fixture
def remote_cache(tmp_path: Path) -> Iterator[str]:
    """A remote cache over HTTP."""
    kept: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            kept[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(200)

        def do_GET(self) -> None:
            self.answer(200 if self.path in kept else 404, kept.get(self.path, b""))

        def answer(self, status: int, body: bytes = b"") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_of_an_image_in_a_remote_cache_only_what_is_needed_is_downloaded(small: Small, remote_cache: str) -> None:
    options = (f"--remote_cache={remote_cache}", "--remote_download_minimal")
    # The first build fills the cache, the second one begins with nothing on this machine.
    small.bazel().run("clean")
    BazelBuilder(small.bazel(*options)).build("//apps/a:a_image")
    small.bazel().run("clean")
    image = BazelBuilder(small.bazel(*options)).build("//apps/a:a_image")
    built = small.path / "bazel-bin" / "apps" / "a" / "built"

    def here() -> set[str]:
        return {path.name for path in built.glob("*")}

    assert isinstance(image.manifest, ImageIndex)
    children = [child.digest for child in image.manifest.manifests]
    manifests = {small.maker.paths[digest].name for digest in (image.digest, *children)}
    assert here() == manifests
    layer = next(path for digest, path in small.maker.paths.items() if path.name not in manifests)
    digest = layer.name.replace("-", ":")
    image.blobs.prepare([digest])
    assert here() == manifests | {layer.name}
    assert image.blobs.read(digest) == layer.read_bytes()


def test_the_output_base_is_read_off_the_running_binarys_path(tmp_path: Path) -> None:
    output_base = tmp_path / "base"
    runfiles = output_base / "execroot" / "_main" / "bazel-out" / "k8" / "bin" / "release" / "release.runfiles"
    (runfiles / "_main" / "release").mkdir(parents=True)
    source = tmp_path / "workspace" / "release" / "bazel.py"
    source.parent.mkdir(parents=True)
    source.touch()
    (runfiles / "_main" / "release" / "bazel.py").symlink_to(source)
    link = tmp_path / "workspace" / "bazel-bin"
    link.symlink_to(runfiles.parent.parent)
    for path in (runfiles, link / "release" / "release.runfiles"):
        assert output_base_of(path / "_main" / "release" / "bazel.py") == output_base
    assert output_base_of(source) is None


def test_what_our_own_start_added_to_the_environment_and_the_signers_password_are_not_handed_on() -> None:
    ours = "/out/release.runfiles"
    environment = {
        "HOME": "/home/me",
        "PYTHONPATH": os.pathsep.join([ours, f"{ours}/_main", "/home/me/python"]),
        "PYTHONSAFEPATH": "1",
        "RUNFILES_DIR": ours,
        "BUILD_WORKSPACE_DIRECTORY": "/work",
        "COSIGN_PASSWORD": "hidden",
    }
    assert clean_environment(environment) == {"HOME": "/home/me", "PYTHONPATH": "/home/me/python"}
    assert clean_environment({"PYTHONPATH": ours}) == {}
