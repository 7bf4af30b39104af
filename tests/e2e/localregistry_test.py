"""The registry of this machine is started by the release that needs it."""

import subprocess
from pathlib import Path

from tests.e2e.releasing import APP, Releaser
from tests.support.tools import tool

# In a network of its own, so that whatever listens on port 5000 of this machine has no part in it.
ALONE = """
ip link set lo up
{release} || echo "status $?"
{release} || echo "status $?"
{localregistry} status
{localregistry} stop
"""


def test_the_release_starts_the_configured_local_registry_where_nothing_answers(
    release: Releaser, tmp_path: Path
) -> None:
    release.workspace.build("//tools/localregistry")
    # Without a build, since Bazel's server is in another network; so the answer is that the image is not there.
    arguments = f"{APP} v1.0.0 --commit {release.workspace.commit} --no-build --repository 127.0.0.1:5000/demo-{APP}"
    script = ALONE.format(
        release=f"bazel-bin/release/release {arguments}",
        localregistry="bazel-bin/tools/localregistry/localregistry",
    )
    result = subprocess.run(
        [*tool("unshare"), "--map-root-user", "--net", "sh", "-c", script],
        cwd=release.workspace.path,
        env=release.environment({"XDG_CACHE_HOME": str(tmp_path)}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    said = result.stdout
    assert result.returncode == 0, said
    assert said.count("Starting a registry on 127.0.0.1:5000") == 1, said
    assert said.count("status 3") == 2, said
    assert f"data in {tmp_path}/slipway/registry/5000/data" in said
    assert said.endswith("Stopped the registry on 127.0.0.1:5000\n")
