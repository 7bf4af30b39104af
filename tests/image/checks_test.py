"""An image that would not run is not described."""

import json
from collections.abc import Mapping

import pytest

from tools.image.checks import ImageError, check_entrypoint, check_machines
from tools.image.documents import Layer
from tools.oci.manifest import OCI_LAYER_GZIP, Descriptor, Platform

ARM64 = Platform("linux", "arm64")
LABEL = "//app:image"

Entry = tuple[str, str, str, str]
"""Path, kind, mode and target."""


def listing(
    *entries: Entry,
    interpreters: Mapping[str, str] = {},
    loaders: Mapping[str, str] = {},
    formats: Mapping[str, str] = {},
) -> bytes:
    """That of a layer, and what is known of some of its files by their paths."""
    lines = [
        {"path": path, "kind": kind, "mode": mode, "uid": 0, "gid": 0} | ({"target": target} if target else {})
        for path, kind, mode, target in entries
    ]
    for line in lines:
        for key, paths in (("interpreter", interpreters), ("loader", loaders), ("format", formats)):
            if line["path"] in paths:
                line[key] = paths[str(line["path"])]
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


def test_a_python_that_is_not_in_the_image_is_an_error_about_base_and_interpreter() -> None:
    says = (
        r"^//app:image for linux/arm64: its py_binary is started by /usr/bin/python3.99, which is not in the image: "
        r"no layer brings that file. Choose a base .*@slipway//tools/debian:base, or set `interpreter`"
    )
    with pytest.raises(ImageError, match=says) as caught:
        check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/usr/bin/python3.99", "/app/__main__.py"]}, [SYSTEM, APP])
    assert "`entrypoint`" not in str(caught.value)
    check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/usr/bin/python3", "/app/__main__.py"]}, [SYSTEM, APP])


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


# As in Debian: folders that are links since their merge into usr, and a loader behind links of three kinds.
LOADER = "/lib64/ld-linux-x86-64.so.2"
MERGED = listing(
    ("bin", "symlink", "0777", "usr/bin"),
    ("lib", "symlink", "0777", "usr/lib"),
    ("lib64", "symlink", "0777", "usr/lib64"),
    ("usr/bin/dash", "file", "0755", ""),
    ("usr/bin/env", "file", "0755", ""),
    ("usr/bin/sh", "symlink", "0777", "dash"),
    ("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "file", "0755", ""),
    ("usr/lib64/ld-linux-x86-64.so.2", "symlink", "0777", "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
    loaders={"usr/bin/dash": LOADER, "usr/bin/env": LOADER},
)
WITHOUT_LOADER = listing(("bin/sh", "file", "0755", ""), loaders={"bin/sh": LOADER})


def app(**needs: str) -> bytes:
    """A layer of programs by their names and what each needs: a script, an ELF file where that is a loader."""
    return listing(
        *((f"app/{name}", "file", "0755", "") for name in needs),
        interpreters={f"app/{name}": path for name, path in needs.items() if "/ld" not in path},
        loaders={f"app/{name}": path for name, path in needs.items() if "/ld" in path},
    )


@pytest.mark.parametrize(
    "need", ["/bin/sh", "/usr/bin/env", "/usr/bin/../bin/sh", "//bin/./sh", LOADER, "/usr/lib64/ld-linux-x86-64.so.2"]
)
def test_what_starts_an_entrypoint_is_found_through_links_and_in_any_layer(need: str) -> None:
    check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/run"]}, [MERGED, app(run=need)])
    check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/run"]}, [app(run=need), MERGED])


@pytest.mark.parametrize(
    ("need", "says"),
    [
        ("/bin/bash", "is a script for /bin/bash, which is not in the image.*Choose a base that has it.*shell_base"),
        (
            "/opt/bin/env",
            "is a script for /opt/bin/env, which is not .*Name the interpreter itself .*a py_binary, .*README",
        ),
        ("/bin/sh\r", r"is a script for '/bin/sh\\r', which is not in the image.*save it with LF"),
        (
            "/lib/ld-musl-x86_64.so.1",
            "needs /lib/ld-musl-x86_64.so.1, which is not .*minimal_base, or link .* statically",
        ),
        ("/usr/bin", "is a script for /usr/bin, which is not in the image"),
    ],
)
def test_an_entrypoint_that_nothing_can_start_is_an_error_that_says_what_to_do(need: str, says: str) -> None:
    with pytest.raises(ImageError, match=rf"^//app:image for linux/arm64: its entrypoint /app/run .*{says}"):
        check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/run"]}, [MERGED, app(run=need)])


def test_a_program_that_starts_by_itself_needs_nothing() -> None:
    check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/run"]}, [listing(("app/run", "file", "0755", ""))])


def test_an_interpreter_needs_what_starts_it() -> None:
    scripts = app(run="/app/tool", tool="/bin/sh")
    run = {"Entrypoint": ["/app/run"]}
    check_entrypoint(LABEL, ARM64, run, [MERGED, scripts])
    with pytest.raises(
        ImageError, match="run is a script for /app/tool, which is a script for /bin/sh, which is not in"
    ):
        check_entrypoint(LABEL, ARM64, run, [scripts])
    with pytest.raises(ImageError, match=f"/bin/sh, which is linked dynamically and needs {LOADER}, which is not in"):
        check_entrypoint(LABEL, ARM64, run, [WITHOUT_LOADER, scripts])


def test_scripts_for_scripts_end_where_linux_ends_them() -> None:
    chain = {f"s{number}": f"/app/s{number + 1}" for number in range(6)}
    layers = [MERGED, app(**chain, s6="/bin/sh")]
    check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/s2"]}, layers)
    with pytest.raises(ImageError, match="which is a script again: Linux follows 5"):
        check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/s1"]}, layers)
    with pytest.raises(ImageError, match="which is a script again"):
        check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/run"]}, [app(run="/app/run")])


def test_a_loader_is_started_as_it_is() -> None:
    """The C library names its own loader as its interpreter; Linux asks no loader for one."""
    libc = listing(("lib/ld.so", "file", "0755", ""), loaders={"lib/ld.so": "/lib/ld-nowhere.so"})
    check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/run"]}, [libc, app(run="/lib/ld.so")])


def test_an_interpreter_must_be_a_program() -> None:
    text = listing(("bin/sh", "file", "0644", ""))
    with pytest.raises(ImageError, match="script for /bin/sh, which cannot be executed: it is a file of mode 0644"):
        check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/run"]}, [text, app(run="/bin/sh")])


TEXT = listing(
    ("app/notes", "file", "0755", ""), ("app/link", "hardlink", "0755", "app/notes"), formats={"app/notes": "unknown"}
)


@pytest.mark.parametrize("path", ["/app/notes", "/app/link"])
def test_text_is_no_program_whatever_its_mode(path: str) -> None:
    says = rf"^//app:image for linux/arm64: its entrypoint {path} cannot be executed: it is no program.*#!/bin/sh"
    with pytest.raises(ImageError, match=says):
        check_entrypoint(LABEL, ARM64, {"Entrypoint": [path]}, [None, TEXT])


@pytest.mark.parametrize(
    "start", [app(run="/app/notes"), listing(("app/run", "file", "0755", ""), loaders={"app/run": "/app/notes"})]
)
def test_text_starts_no_program(start: bytes) -> None:
    with pytest.raises(ImageError, match="/app/notes, which cannot be executed: it is no program"):
        check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/run"]}, [TEXT, start])


def test_another_name_of_a_file_needs_what_the_file_needs() -> None:
    linked = listing(
        ("app/a", "file", "0755", ""), ("app/b", "hardlink", "0755", "app/a"), interpreters={"app/a": "/bin/bash"}
    )
    with pytest.raises(ImageError, match="entrypoint /app/b is a script for /bin/bash"):
        check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/b"]}, [MERGED, linked])


def test_an_interpreter_that_nobody_can_judge_is_let_through() -> None:
    check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/run"]}, [None, app(run="/bin/sh")])  # the pulled layer's
    check_entrypoint(LABEL, ARM64, {"Entrypoint": ["/app/run"]}, [app(run="bin/sh")])  # of the working directory
    check_entrypoint(LABEL, ARM64, {"Entrypoint": ["app/run"]}, [app(run="/bin/sh")])


def test_a_layer_that_platforms_share_must_fit_each_of_them() -> None:
    descriptor = Descriptor(OCI_LAYER_GZIP, "sha256:" + "a" * 64, 1)
    layers = [Layer(descriptor, descriptor.digest, "app hello", machine) for machine in (None, "amd64")]
    check_machines(LABEL, Platform("linux", "amd64"), layers)
    says = r"(?s)//app:image for linux/arm64.*'app hello' holds programs for amd64.*select"
    with pytest.raises(ImageError, match=says):
        check_machines(LABEL, ARM64, layers)
