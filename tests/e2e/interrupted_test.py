"""A release that is killed leaves nothing misleading, and the same command finishes the rest."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.releasing import APP, REVISION, Releaser, crane, json_of, output, referrers
from tests.support.fault_proxy import FaultProxy, Seen
from tests.support.registry import LocalRegistry
from tests.support.tools import tool

LATENCY = 0.1  # Seconds a request: enough for the killer to come between two of them.


@pytest.fixture
def slow(registry: LocalRegistry) -> Iterator[FaultProxy]:
    with FaultProxy(registry.address, latency=LATENCY) as proxy:
        yield proxy


def puts(pattern: str) -> Callable[[Seen], bool]:
    return lambda request: request.method == "PUT" and re.search(pattern, request.path) is not None


# What the registry was just asked to store when the release is killed, in the order of publication.
MOMENTS = {
    "a blob": puts("/blobs/uploads/"),
    "a manifest by digest": puts("/manifests/sha256:"),
    "the list of what refers to the image": puts("/manifests/sha256-"),
    "the commit tag": puts("/manifests/[0-9a-f]{40}$"),
    "the version tag": puts("/manifests/v1.0.0$"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_release_that_is_killed_is_finished_by_the_same_command(
    release: Releaser, slow: FaultProxy, moment: str
) -> None:
    commit = release.workspace.commit
    call = [*release.command, APP, "v1.0.0", "--commit", commit, "--engine", "registry", *release.to]
    through = ["--registry", slow.address]
    victim = subprocess.Popen(
        [*call, *through],
        cwd=release.workspace.path,
        env=release.environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while victim.poll() is None and not any(map(MOMENTS[moment], slow.requests())):
        time.sleep(0.002)
    assert victim.poll() is None, victim.communicate()[1]
    os.killpg(victim.pid, signal.SIGKILL)
    victim.communicate()

    left = release.tags()
    assert set(left) <= {commit, "v1.0.0"}
    for tag in left:  # Whatever has a name is whole.
        for child in json_of(crane("manifest", f"{release.repository}:{tag}"))["manifests"]:
            image = f"{release.repository}@{child['digest']}"
            # The layers of attestations are no archives, as crane expects.
            fast = ["--fast"] if child["platform"]["os"] == "unknown" else []
            output([*tool("crane"), "validate", "--insecure", *fast, "--remote", image])

    outcome = release.run(call)
    assert outcome.status == 0, outcome.stderr
    tags = release.tags()
    assert set(tags) == {commit, "v1.0.0", "latest"}
    assert len({*tags.values(), *left.values()}) == 1
    assert crane("manifest", f"{release.repository}:latest")
    assert [each["annotations"][REVISION] for each in referrers(f"{release.repository}:latest")] == [commit]
