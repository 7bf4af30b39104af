"""Who builds images: Bazel with our rules, BuildKit in a Docker engine of its own, and buildah."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.measure import disk_use
from bench.workload import DOCKERFILE_NAME, Workload
from tests.support.tools import tool
from tests.support.workspace import bazel_program, clean_environment

PLATFORMS = "linux/amd64,linux/arm64"
START_SECONDS = 60.0
STOP_SECONDS = 30.0

# The engine with mounts of its own; it ends with the standard input, so that nothing is left behind whatever happens.
ENGINE = r"""
set -eu
PATH=$PATH:/usr/sbin:/sbin
exec 3<&0
"$@" < /dev/null 3<&- & engine=$!
(read -r _ <&3 || kill $engine) &
wait $engine
"""

# buildah in a mount namespace, where it may mount what it stores without anybody seeing that.
APART = ("unshare", "--mount", "sh", "-ec")


@dataclass(frozen=True, slots=True)
class Facts:
    """What Bazel says about a build: actions that were run by a process, and by mnemonic their number and seconds."""

    spawned: int
    by_mnemonic: Mapping[str, tuple[int, float]]
    critical: float


class Engine:
    """A Docker engine that can hold images of several platforms, in a folder that is gone at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.host = f"unix://{folder}/socket"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart(self) -> None:
        """Start it, with nothing in it."""
        self._stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        log = self.folder / "log"
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [*entered("dockerd"), "unshare", "--mount", "sh", "-c", ENGINE, "sh",
                 "dockerd", "--feature=containerd-snapshotter=true", "--iptables=false", "--ip6tables=false",
                 "--bridge=none", f"--host={self.host}", f"--data-root={self.data}",
                 f"--exec-root={self.folder}/exec", f"--pidfile={self.folder}/pid"],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"no Docker engine starts here:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        question = [*tool("docker"), "--host", self.host, "version"]
        return subprocess.run(question, capture_output=True, check=False).returncode == 0

    def _stop(self) -> None:
        if self._process is not None:
            self._process.communicate(timeout=STOP_SECONDS)
            self._process = None


class Builder(ABC):
    """Something that builds the workload's apps."""

    name: str
    slow = False
    """Whether one cold build must do where there are many apps."""

    @abstractmethod
    def clean(self) -> None:
        """Forget what was built; what was downloaded, and servers, stay."""

    @abstractmethod
    def build(self, apps: Sequence[str]) -> None:
        """Build some apps. Raises SystemExit with the builder's own words when that fails."""

    def prepare(self) -> None:  # noqa: B027 - most have nothing to fetch
        """Fetch what an edit made necessary, which is not part of any time."""

    @abstractmethod
    def size(self) -> int:
        """Bytes on disk of what is built."""


class Slipway(Builder):
    """Our rules in the workload's workspace, in which Bazel leaves blobs and the JSON that names them."""

    name = "slipway"

    def __init__(self, workload: Workload, output_base: Path, group: str = "blobs") -> None:
        self._workload = workload
        self.output_base = output_base
        self._startup = [f"--output_base={output_base}", "--nohome_rc", "--max_idle_secs=900"]
        self._group = group
        links = f"{os.environ.get('PIP_FIND_LINKS', '')} {workload.wheel_page.as_uri()}".strip()
        self._environment = {**clean_environment(), "PIP_FIND_LINKS": links}
        self._info: dict[str, str] = {}

    def clean(self) -> None:
        self.bazel("clean")

    def build(self, apps: Sequence[str]) -> None:
        self.bazel(*self._command(apps))

    def prepare(self) -> None:
        self.bazel("query", "--noimplicit_deps", "--notool_deps", "deps(@pip//click, 1)")

    def size(self) -> int:
        return disk_use(Path(self.info("output_path")))

    def size_of_tools(self) -> int:
        """Bytes of what was built for the build itself."""
        return disk_use(*Path(self.info("output_path")).glob("*-exec*"))

    def process(self) -> int:
        """The server, which all actions are below of."""
        return int(self.info("server_pid"))

    def restart(self) -> None:
        """A server that knows nothing but the rules and the repositories."""
        self.bazel("shutdown")
        self._info = {}
        self.prepare()
        self.analyse("//:base")

    def analyse(self, *targets: str) -> None:
        """Everything up to the actions."""
        self.bazel("build", "--nobuild", *targets)

    def measured_build(self, apps: Sequence[str]) -> Facts:
        """A build that tells how it went."""
        with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
            events, profile = Path(folder, "events.json"), Path(folder, "profile.json")
            build, *rest = self._command(apps)
            self.bazel(
                build,
                f"--build_event_json_file={events}",
                f"--profile={profile}",
                "--noslim_profile",
                "--experimental_profile_include_target_label",
                *rest,
            )
            return Facts(_spawned(events), *_where(profile))

    def files(self, targets: Sequence[str], group: str) -> list[Path]:
        """Builds an output group of one file or folder and says where it is, in the order of `targets`."""
        self.bazel("build", f"--output_groups={group}", *targets)
        # One line a target: its label, without the @@ of the main repository, and the path.
        outputs = f"providers(target)['OutputGroupInfo'].{group}.to_list()"
        expression = f"str(target.label).lstrip('@') + ' ' + {outputs}[0].path"
        question = f"set({' '.join(targets)})"
        answer = self.bazel("cquery", question, "--output=starlark", f"--starlark:expr={expression}")
        found = dict(line.split(" ", 1) for line in answer.splitlines())
        return [Path(self.info("execution_root"), found[target]) for target in targets]

    def wheel(self, distribution: str) -> Path:
        """The file that the workload's lock names."""
        self.prepare()
        (wheel,) = Path(self.info("output_base"), "external").glob(f"*bench_pip_{distribution}/{distribution}-*.whl")
        return wheel

    def info(self, key: str) -> str:
        """What `bazel info` says; asked once a server."""
        if key not in self._info:
            self._info[key] = self.bazel("info", key).strip()
        return self._info[key]

    def bazel(self, *arguments: str) -> str:
        """Standard output of a call; raises SystemExit with its own words when it fails."""
        command = [bazel_program(), *self._startup, *arguments]
        return run(command, cwd=self._workload.workspace, env=self._environment)

    def _command(self, apps: Sequence[str]) -> list[str]:
        return ["build", f"--output_groups=+{self._group}", *(f"//apps/{app}:{app}_image" for app in apps)]


class SlipwayArchives(Slipway):
    """The same, and an OCI archive for each app: what BuildKit is asked for here, and nobody needs for a push."""

    name = "slipway, OCI archives too"

    def __init__(self, workload: Workload, output_base: Path) -> None:
        super().__init__(workload, output_base, group="tarball")


class Floor(Slipway):
    """Bazel, with as many actions that do nothing as we spawn."""

    name = "Bazel, empty actions"

    def build(self, apps: Sequence[str]) -> None:
        self.bazel("build", "//floor")


class Buildx(Builder):
    """BuildKit in a Docker engine: `docker buildx bake`, which leaves one OCI archive an app."""

    name = "buildx, OCI archives"

    def __init__(self, workload: Workload, engine: Engine) -> None:
        self._context = workload.context
        self._engine = engine
        self._folder = engine.folder / "bake"
        self._archives = self._folder / "archives"

    def clean(self) -> None:
        # Not by `prune`: the engine goes on removing for a while, and then misses what a new build has found.
        self._engine.restart()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._archives.mkdir(parents=True)
        # The builder in the engine starts with the first build.
        (self._folder / DOCKERFILE_NAME).write_text("FROM scratch\nLABEL warm=up\n")
        self._docker("buildx", "build", "--quiet", "--output=type=cacheonly", str(self._folder))

    def build(self, apps: Sequence[str]) -> None:
        options = ["--progress=quiet", "--provenance=false", "--sbom=false", "--allow=fs=*"]
        self._docker("buildx", "bake", *options, "--file", self._bake(apps))

    def size(self) -> int:
        return disk_use(self._archives, self._engine.data)

    def output(self, app: str) -> str:
        """What becomes of an image."""
        return f"type=oci,dest={self._archives}/{app}.tar"

    def _bake(self, apps: Sequence[str]) -> str:
        targets = {
            app: {
                "args": {"APP": app},
                "context": str(self._context),
                "platforms": PLATFORMS.split(","),
                "output": [self.output(app)],
            }
            for app in apps
        }
        path = self._folder / "bake.json"
        path.write_text(json.dumps({"group": {"default": {"targets": list(apps)}}, "target": targets}))
        return str(path)

    def _docker(self, *arguments: str) -> None:
        environment = {
            **clean_environment(),
            "DOCKER_HOST": self._engine.host,
            "BUILDX_CONFIG": str(self._folder / "buildx"),
        }
        run([*tool("docker"), *arguments], env=environment)


class BuildxStore(Buildx):
    """The same without archives: compressed blobs in the engine's store, from which it would push."""

    name = "buildx, image store"

    def output(self, app: str) -> str:
        return f"type=image,name=bench/{app}:dev,push=false,unpack=false,store=true"


class Buildah(Builder):
    """buildah with a storage of its own. It leaves uncompressed layers there, and compresses them when it pushes."""

    name = "buildah, storage"
    slow = True

    def __init__(self, workload: Workload, folder: Path) -> None:
        self._context = workload.context
        self._folder = folder

    def clean(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        (self._folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        # buildah looks for what makes networks also when nothing is run; Debian only recommends it.
        (self._folder / "containers.conf").write_text(f'[engine]\nhelper_binaries_dir = ["{self._folder}"]\n')
        (self._folder / "netavark").symlink_to("/bin/true")

    def build(self, apps: Sequence[str]) -> None:
        script = f"""
        context={self._context}
        policy={self._folder}/policy.json
        for app in "$@"; do
            buildah --root {self._folder}/root --runroot {self._folder}/run --storage-driver overlay build --quiet \
                --isolation chroot --layers --platform {PLATFORMS} --manifest "localhost/bench-$app:dev" \
                --build-arg APP="$app" --signature-policy "$policy" --file "$context/{DOCKERFILE_NAME}" "$context"
        done"""
        environment = {**clean_environment(), "CONTAINERS_CONF": f"{self._folder}/containers.conf"}
        run([*entered("buildah"), *APART, script, "sh", *apps], env=environment)

    def size(self) -> int:
        return disk_use(self._folder)


def run(command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Standard output of a command; raises SystemExit with its own words when it fails."""
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode:
        raise SystemExit(f"failed: {' '.join(command)}\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
    return result.stdout


def entered(program: str) -> list[str]:
    """What to put before a script so that it finds `program`: nothing, or the way into the devroot."""
    here = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return [] if here else list(tool(program)[:-1])


def _spawned(events: Path) -> int:
    """How many actions a process was started for, or a worker asked, by the build event file."""
    counts: dict[str, int] = {}
    for line in events.read_text().splitlines():
        metrics = json.loads(line).get("buildMetrics")
        for runner in metrics["actionSummary"].get("runnerCount", ()) if metrics else ():
            counts[runner["name"]] = runner["count"]
    return counts["total"] - counts.get("internal", 0)


def _where(profile: Path) -> tuple[dict[str, tuple[int, float]], float]:
    """By mnemonic the number of actions and their seconds, and the seconds of the critical path, of Bazel's profile."""
    found: dict[str, tuple[int, float]] = {}
    critical = 0.0
    for event in json.loads(profile.read_text())["traceEvents"]:
        if event.get("cat") == "action processing":
            mnemonic = event.get("args", {}).get("mnemonic", "?")
            number, total = found.get(mnemonic, (0, 0.0))
            found[mnemonic] = number + 1, total + event["dur"] / 1e6
        elif event.get("cat") == "critical path component":
            critical += event["dur"] / 1e6
    return found, critical
