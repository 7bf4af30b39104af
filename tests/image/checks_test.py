"""An image that would not run is not described."""

import json

import pytest

from tools.image.checks import ImageError, check_entrypoint, check_machines
from tools.image.documents import Layer
from tools.oci.manifest import OCI_LAYER_GZIP, Descriptor, Platform

ARM64 = Platform("linux", "arm64")
LABEL = "//app:image"

Entry = tuple[str, str, str, str]
"""Path, kind, mode and target."""


def listing(*entries: Entry) -> bytes:
    lines = [
        {"path": path, "kind": kind, "mode": mode, "uid": 0, "gid": 0} | ({"target": target} if target else {})
        for path, kind, mode, target in entries
    ]
    return "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines).encode()


SYSTEM = listing(
    ("bin", "symlink", "0777", "usr/bin"),
    ("etc/alternatives/tool", "symlink", "0777", "/bin/real-tool"),
    ("loop", "symlink", "0777", "/loop"),
    ("usr/bin", "directory", "0755", ""),
    ("usr/bin/notes.txt", "file", "0644", ""),
    ("usr/bin/python3", "symlink", "0777", "python3.13"),
    ("usr/bin/python3.13", "file", "0755", ""),
    ("usr/bin/real-tool", "hardlink", "0755", "usr/bin/python3.13"),
    ("usr/bin/tool", "symlink", "0777", "../../etc/alternatives/tool"),
)
APP = listing(("app/prögram", "file", "0755", ""), ("usr/bin/late", "file", "0755", ""))


@pytest.mark.parametrize(
    "path",
    [
        "/usr/bin/python3.13",
        "/usr/bin/python3",
        "/bin/python3",
        "/bin/tool",
        "/app/prögram",
        "/bin/late",
        "/bin/../bin/late",
    ],
)
def test_an_entrypoint_is_found_through_links_and_in_any_layer(path: str) -> None:
    check_entrypoint(LABEL, ARM64, {"Entrypoint": [path]}, [SYSTEM, APP])


@pytest.mark.parametrize("path", ["/usr/bin/python4", "/usr/bin/python3.1", "/app", "/loop", "/bin/python3/x"])
def test_an_entrypoint_that_is_not_in_the_image_is_an_error_that_says_what_to_do(path: str) -> None:
    with pytest.raises(ImageError, match=rf"(?s)//app:image for linux/arm64.*{path} is not in the image.*Correct"):
        check_entrypoint(LABEL, ARM64, {"Entrypoint": [path]}, [SYSTEM, APP])


@pytest.mark.parametrize("path", ["/usr/bin", "/bin/notes.txt"])
def test_an_entrypoint_must_be_a_program(path: str) -> None:
    with pytest.raises(ImageError, match="cannot be executed"):
        check_entrypoint(LABEL, ARM64, {"Cmd": [path]}, [SYSTEM])


def test_what_nobody_can_judge_is_let_through() -> None:
    check_entrypoint(LABEL, ARM64, {"Entrypoint": ["python4"]}, [SYSTEM])  # by the container's PATH
    check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/usr/bin/python4"]}, [None, SYSTEM])  # a pulled layer may have it
    check_entrypoint(LABEL, ARM64, {}, [SYSTEM])


def test_the_topmost_layer_decides_what_a_path_is() -> None:
    above = listing(("usr/bin/python3.13", "file", "0600", ""))
    with pytest.raises(ImageError, match="mode 0600"):
        check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/usr/bin/python3"]}, [SYSTEM, above])


@pytest.mark.parametrize(
    "taken",
    [
        ("usr/bin/.wh.python3.13", "file", "0644", ""),
        ("usr/.wh.bin", "file", "0644", ""),
        ("usr/bin/.wh..wh..opq", "file", "0644", ""),
        ("usr", "file", "0644", ""),
    ],
)
def test_what_a_layer_takes_away_is_not_in_the_image(taken: Entry) -> None:
    with pytest.raises(ImageError, match="is not in the image"):
        check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/usr/bin/python3.13"]}, [SYSTEM, listing(taken)])


def test_a_layer_that_platforms_share_must_fit_each_of_them() -> None:
    descriptor = Descriptor(OCI_LAYER_GZIP, "sha256:" + "a" * 64, 1)
    layers = [Layer(descriptor, descriptor.digest, "app hello", machine) for machine in (None, "amd64")]
    check_machines(LABEL, Platform("linux", "amd64"), layers)
    says = r"(?s)//app:image for linux/arm64.*'app hello' holds programs for amd64.*select"
    with pytest.raises(ImageError, match=says):
        check_machines(LABEL, ARM64, layers)
