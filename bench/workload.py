"""What is built: N apps that share a base and dependencies, for Bazel and for builders that take archives.

W1 is one app, W20 twenty, for two platforms each. An app is a main.py and 1 MiB of random bytes, the same in every run;
it depends on click and PyYAML and stands on the Debian base. Others get the very same files: their base and their
dependencies are the content of our layers.
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
import random
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

APP_BYTES = 1024 * 1024
ARCHITECTURES = ("amd64", "arm64")
DOCKERFILE_NAME = "Dockerfile"

MODULE = """module(name = "bench")

bazel_dep(name = "rules_python", version = "1.4.1")
bazel_dep(name = "slipway", version = "0.1.0")
local_path_override(
    module_name = "slipway",
    path = {slipway},
)

pip = use_extension("@slipway//tools/pip:extensions.bzl", "pip")
pip.lock(
    name = "bench_pip",
    requirements = "//:requirements.txt",
)
use_repo(pip, pip = "bench_pip")
"""

BAZELRC = """common --lockfile_mode=off
common --incompatible_strict_action_env
common --incompatible_default_to_explicit_init_py
common --noshow_progress --color=no --show_result=0
# A module that lies in /tmp is seen by sandboxed actions too.
build --noincompatible_sandbox_hermetic_tmp
"""

BUILD = """load("@slipway//tools/image:defs.bzl", "image_index")

image_index(
    name = "base",
    image = "@slipway//tools/debian:base",
    platforms = {
        "@slipway//tools/platforms:linux_amd64": "linux/amd64",
        "@slipway//tools/platforms:linux_arm64": "linux/arm64",
    },
)
"""

APP = """load("@rules_python//python:defs.bzl", "py_binary")
load("@slipway//tools/release:defs.bzl", "release_app")

py_binary(
    name = "{name}",
    srcs = ["main.py"],
    main = "main.py",
    data = ["data.bin"],
    deps = [
        "@pip//click",
        "@pip//pyyaml",
    ],
)

release_app(
    name = "{name}",
    description = "One of many",
    domain = "bench",
)
"""

MAIN = '''"""App {name} of a benchmark."""

from pathlib import Path

import click
import yaml


@click.command()
def main() -> None:
    size = Path(__file__).with_name("data.bin").stat().st_size
    click.echo(yaml.safe_dump({{"name": "{name}", "bytes": size}}))


if __name__ == "__main__":
    main()
'''

# What Bazel itself needs for so many sandboxed actions that do nothing.
FLOOR = """def _floor_impl(ctx):
    outputs = [ctx.actions.declare_file("%s/%d" % (ctx.label.name, number)) for number in range(ctx.attr.count)]
    for output in outputs:
        ctx.actions.run_shell(outputs = [output], command = "touch $1", arguments = [output.path], mnemonic = "Nothing")
    return [DefaultInfo(files = depset(outputs))]

floor = rule(_floor_impl, attrs = {"count": attr.int()})
"""

# The same py_binaries, analysed for the same platforms by the same transition, and nothing else.
BOTH = """load("@slipway//tools/platforms:defs.bzl", "image_platforms_transition")

def _both_impl(ctx):
    return []

both = rule(_both_impl, attrs = {
    "binaries": attr.label_list(cfg = image_platforms_transition),
    "platforms": attr.label_keyed_string_dict(),
    "_allowlist_function_transition": attr.label(
        default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
    ),
})
"""

SYNTHETIC = """load("@rules_python//python:defs.bzl", "py_binary")
load("@slipway//tools/release:defs.bzl", "release_app")
load("//synthetic:both.bzl", "both")

NAMES = ["synthetic%d" % number for number in range({count})]

[
    py_binary(
        name = name,
        srcs = ["main.py"],
        main = "main.py",
        deps = [
            "@pip//click",
            "@pip//pyyaml",
        ],
    )
    for name in NAMES
]
"""

BINARIES = """
both(
    name = "all_of_them",
    binaries = NAMES,
    platforms = {
        "@slipway//tools/platforms:linux_amd64": "linux/amd64",
        "@slipway//tools/platforms:linux_arm64": "linux/arm64",
    },
)
"""

APPS = """
[
    release_app(
        name = name,
        description = "One of many",
        domain = "bench",
    )
    for name in NAMES
]

filegroup(
    name = "all_of_them",
    srcs = [name + "_image" for name in NAMES],
)
"""

# How one writes it by hand for such content: a layer each for base, dependencies and app.
DOCKERFILE = """FROM scratch
ARG TARGETARCH
ADD base-${TARGETARCH}.tar.gz /
ADD dependencies-${TARGETARCH}.tar.gz /
ENV LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER 65532:65532
WORKDIR /home/nonroot
ENTRYPOINT ["/usr/bin/python3", "/app/main.py"]
ARG APP
COPY apps/${APP} /app
"""

BIG = """load("@slipway//tools/image:defs.bzl", "image_layer")

image_layer(
    name = "big",
    files = {"big.bin": "/srv/big.bin"},
)
"""


class Workload:
    """The files of both sides, in a folder that may be there from another run.

    Args:
        folder: where; `bazel` in it is the workspace, `context` what others build from.
        slipway: the module that is measured.
        count: number of apps.
        synthetic: number of apps that are only analysed.
    """

    def __init__(self, folder: Path, slipway: Path, count: int, synthetic: int) -> None:
        self.workspace = folder / "bazel"
        self.context = folder / "context"
        self.wheels = folder / "wheels"
        self.wheel_page = self.wheels / "index.html"
        self.apps = tuple(f"app{number:02}" for number in range(count))
        self._edits = 0
        self._pins = _pins(slipway / "tools/pip/requirements.txt", ("click", "pyyaml"))
        for old in (self.context, self.wheels, self.workspace):
            shutil.rmtree(old, ignore_errors=True)
            old.mkdir(parents=True)
        _write(self.wheel_page, "<!DOCTYPE html><html><body></body></html>")
        self._write_workspace(slipway, synthetic)

    @property
    def images(self) -> list[str]:
        """Labels of the apps' image indexes."""
        return [f"//apps/{app}:{app}_image" for app in self.apps]

    def set_floor(self, count: int) -> str:
        """Makes //floor:floor so many empty actions."""
        _write(
            self.workspace / "floor/BUILD.bazel",
            f'load(":floor.bzl", "floor")\n\nfloor(name = "floor", count = {count})\n',
        )
        return "//floor:floor"

    def keep(self, fetched_wheel: Path) -> None:
        """Keeps the wheel that will be edited."""
        shutil.copy(fetched_wheel, self.wheels / "click.whl.orig")
        (self.wheels / "name").write_text(fetched_wheel.name)

    def export(self, base_layout: Path, app_layout: Path) -> None:
        """Gives others the content of our layers, once ours are built."""
        base = _layers(base_layout)
        layers = _layers(app_layout)
        for architecture in ARCHITECTURES:
            bottom, whole = base[architecture], layers[architecture]
            assert whole[: len(bottom)] == bottom, "an app's image does not begin with the layers of its base"
            _merge([base_layout / blob for blob in bottom], self.context / f"base-{architecture}.tar.gz")
            # The topmost is the app's own.
            dependencies = [app_layout / blob for blob in whole[len(bottom) : -1]]
            _merge(dependencies, self.context / f"dependencies-{architecture}.tar.gz")
            shutil.copy(
                self.context / f"dependencies-{architecture}.tar.gz",
                self.wheels / f"dependencies-{architecture}.tar.gz",
            )
        _write(self.context / DOCKERFILE_NAME, DOCKERFILE)

    def edit_line(self) -> None:
        """Changes one line of the first app's main.py, differently each time."""
        app = self.apps[0]
        self._edits += 1
        for folder in (self.workspace, self.context):
            _write(folder / "apps" / app / "main.py", MAIN.format(name=app) + f"# edit {self._edits}\n")

    def edit_wheel(self) -> None:
        """Changes one module of click, differently each time: in a wheel that a lock pins, and in others' archives."""
        self._edits += 1
        line = f"\n# edit {self._edits}\n".encode()
        wheel = self.wheels / (self.wheels / "name").read_text()
        _edit_wheel(self.wheels / "click.whl.orig", wheel, "click/__init__.py", line)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        # A page, since pip trusts a hash that a link gives: in a mere folder it would prefer the wheel of the index.
        link = f'<a href="{wheel.as_uri()}#sha256={digest}">{wheel.name}</a>'
        _write(self.wheel_page, f"<!DOCTYPE html><html><body>{link}</body></html>")
        version = wheel.name.split("-")[1]
        pins = {**self._pins, "click": f"click=={version} --hash=sha256:{digest}\n"}
        _write(self.workspace / "requirements.txt", "".join(pins.values()))
        for archive in self.wheels.glob("dependencies-*.tar.gz"):
            _merge([archive], self.context / archive.name, {"click/__init__.py": line})

    def write_big(self, size: int) -> str:
        """Makes a target that is one layer with a file of so many bytes, half of which can be compressed."""
        numbers = random.Random("big")
        with (self.workspace / "big/big.bin").open("wb") as out:
            for _ in range(size // (2 * APP_BYTES)):
                out.write(numbers.randbytes(APP_BYTES) + b"0123456789abcdef" * (APP_BYTES // 16))
        return "//big"

    def restore(self) -> None:
        """Takes the edit of the wheel back: the next run begins with the wheel that everybody has."""
        _write(self.workspace / "requirements.txt", "".join(self._pins.values()))

    def _write_workspace(self, slipway: Path, synthetic: int) -> None:
        def write(name: str, text: str) -> None:
            _write(self.workspace / name, text)

        write("MODULE.bazel", MODULE.format(slipway=json.dumps(str(slipway))))
        write(".bazelrc", BAZELRC)
        write("BUILD.bazel", BUILD)
        self.restore()
        for number, app in enumerate(self.apps):
            data = random.Random(number).randbytes(APP_BYTES)
            for folder in (self.workspace, self.context):
                _write(folder / "apps" / app / "main.py", MAIN.format(name=app))
                _write(folder / "apps" / app / "data.bin", data)
            write(f"apps/{app}/BUILD.bazel", APP.format(name=app))
        write("floor/floor.bzl", FLOOR)
        self.set_floor(1)
        write("synthetic/BUILD.bazel", "")
        write("synthetic/both.bzl", BOTH)
        for kind, text in (("binaries", BINARIES), ("apps", APPS)):
            write(f"synthetic/{kind}/main.py", MAIN.format(name=kind))
            write(f"synthetic/{kind}/BUILD.bazel", SYNTHETIC.format(count=synthetic) + text)
        write("big/BUILD.bazel", BIG)


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _pins(lock: Path, names: Sequence[str]) -> dict[str, str]:
    """The lines of some packages in a lock."""
    blocks = re.split(r"^(?=\S)", lock.read_text(), flags=re.MULTILINE)
    return {name: next(block for block in blocks if block.startswith(f"{name}==")) for name in names}


def _layers(layout: Path) -> dict[str, list[str]]:
    """Paths of the layers in an OCI layout of one index, by architecture, bottom first."""

    def document(descriptor: dict[str, str]) -> dict[str, list[dict[str, str]]]:
        content = (layout / _blob(descriptor)).read_bytes()
        found: dict[str, list[dict[str, str]]] = json.loads(content)
        return found

    (index,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    found = {}
    for child in document(index)["manifests"]:
        platform: dict[str, str] = child["platform"]  # type: ignore[assignment]
        if platform["architecture"] in ARCHITECTURES:
            found[platform["architecture"]] = [_blob(layer) for layer in document(child)["layers"]]
    return found


def _blob(descriptor: dict[str, str]) -> str:
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


def _merge(archives: Iterable[Path], out: Path, added: dict[str, bytes] | None = None) -> None:
    """Writes one .tar.gz with the entries of several; to members whose names end so, bytes are `added`."""
    made: set[str] = set()
    with (
        gzip.GzipFile(out, "wb", compresslevel=6, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as to,
    ):
        for path in archives:
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.isdir() and member.name in made:
                        continue
                    made.add(member.name)
                    file = archive.extractfile(member) if member.isreg() else None
                    content = file.read() if file else b""
                    for suffix, extra in (added or {}).items():
                        content += extra if member.name.endswith("/" + suffix) else b""
                    member.size = len(content)
                    to.addfile(member, io.BytesIO(content))


def _edit_wheel(wheel: Path, out: Path, name: str, added: bytes) -> None:
    """Copies a wheel; `added` is appended to the file `name`, and the wheel's RECORD says so."""
    with zipfile.ZipFile(wheel) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as changed:
        content = archive.read(name) + added
        for info in archive.infolist():
            if info.filename == name:
                changed.writestr(info, content)
            elif info.filename.endswith(".dist-info/RECORD"):
                lines = list(csv.reader(io.StringIO(archive.read(info).decode())))
                digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                text = io.StringIO()
                csv.writer(text, lineterminator="\n").writerows(
                    [name, f"sha256={digest}", len(content)] if line[0] == name else line for line in lines
                )
                changed.writestr(info, text.getvalue())
            else:
                changed.writestr(info, archive.read(info))
