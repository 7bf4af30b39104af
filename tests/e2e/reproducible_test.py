"""One content, one digest: whoever builds it, wherever and whenever."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.workspace import Workspace, bazel_program, clean_environment

# What a compiler makes differs by mode, as it should; nothing else does.
ANY_MODE = [
    "apps/hello_python:hello_python_image",
    "apps/hello_web:hello_web_image",
    "tests/image/runfiles:image",  # with links of every kind, which a sandbox shows in its own way
]
ONE_MODE = ["apps/hello_cc:hello_cc_image"]
SOMEBODY = 12345  # A user id that has no name on any machine.


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder at another path, that of another user where the test may become one."""
    # Not in the test's own folder: the way to it may be closed to others.
    folder = Path(tempfile.mkdtemp(prefix="slipway-elsewhere-"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "--recursive", "u+w", folder], check=True)
    shutil.rmtree(folder)


def test_another_path_user_umask_time_zone_and_compilation_mode_give_the_same_digest(
    workspace: Workspace, elsewhere: Path
) -> None:
    clone = elsewhere / "clone"
    workspace.git("clone", "--quiet", str(workspace.path), str(clone))
    # Without root it is the same user, and all the rest differs still.
    somebody = SOMEBODY if os.geteuid() == 0 else None
    if somebody:
        subprocess.run(["chown", "--recursive", f"{somebody}:{somebody}", elsewhere], check=True)

    def bazel(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [bazel_program(), f"--output_base={elsewhere}/output", f"--output_user_root={elsewhere}/user", *arguments],
            cwd=clone,
            env=clean_environment() | {"HOME": str(elsewhere), "USER": "somebody", "TZ": "Pacific/Chatham"},
            user=somebody,
            group=somebody,
            extra_groups=[somebody] if somebody else None,
            umask=0o077,
            capture_output=True,
            text=True,
            check=False,
        )

    theirs: dict[str, Any] = {}
    try:
        for images, options in ((ANY_MODE, ["--compilation_mode=opt"]), (ONE_MODE, [])):
            # Not by the disk cache of the workspace, nor by workers.
            options += ["--jobs=1", "--disk_cache=", "--spawn_strategy=sandboxed,local"]
            built = bazel("build", *options, *map(label, images))
            assert built.returncode == 0, built.stderr
            theirs |= {image: descriptor(clone, image) for image in images}
    finally:
        bazel("shutdown")

    workspace.build(*map(label, ANY_MODE + ONE_MODE))
    assert theirs == {image: descriptor(workspace.path, image) for image in ANY_MODE + ONE_MODE}


def label(image: str) -> str:
    return f"//{image}"


def descriptor(workspace: Path, image: str) -> Any:
    """The digest of the image index, its size and its media type, as they were built last."""
    return json.loads((workspace / f"bazel-bin/{image.replace(':', '/')}.descriptor.json").read_text())
