"""Each kind of check of an image_test, on an image for which it holds and on one for which it does not."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.image.testing.fixtures import SubjectMaker, directory, file, hardlink, layer, symlink
from tools.image.testing.image_check import main

CONTENT = "greeting: hello\nname: world\n"
SHA256 = hashlib.sha256(CONTENT.encode()).hexdigest()

BASE = layer(
    directory("etc"),
    file("etc/passwd", "root:x:0:0\n"),
    directory("usr"),
    symlink("lib", "usr/lib"),
    file("usr/lib/libc.so", "c"),
    symlink("usr/bin/python3", "python3.13"),
    file("usr/bin/python3.13", "elf", mode=0o755),
    name="base",
)
APP = layer(
    directory("app", 0o750),
    file("app/config.yaml", CONTENT, mode=0o640, uid=10, gid=20),
    file("app/five", "12345"),
    hardlink("app/five_too", "app/five"),
    file("app/lib/code.py", "code"),
    file("app/lib/__pycache__/code.cpython-313.pyc", "compiled"),
    directory("app/empty"),
    name="app",
)
CONFIG = {
    "User": "65532:65532",
    "WorkingDir": "/app",
    "Entrypoint": ["/usr/bin/python3", "/app/main"],
    "Env": ["PATH=/usr/bin", "MODE=a=b"],
    "Labels": {"org.example.team": "shipping"},
    "ExposedPorts": {"8080/tcp": {}},
    "StopSignal": "SIGTERM",
}


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    maker = SubjectMaker(
        tmp_path / "files",
        config=CONFIG,
        annotations={"org.example.note": "of the manifest"},
        index_annotations={"org.example.note": "of the index"},
    )
    return maker.make({"linux/amd64": [BASE, APP], "linux/arm64": [BASE, APP]})


def check(subject: Path, spec: str, *options: str) -> int:
    path = subject.with_suffix(".yaml")
    path.write_text(spec, encoding="utf-8")
    return main(["--subject", str(subject), "--spec", str(path), "--spec-name", "spec.yaml", *options])


@pytest.mark.parametrize(
    "spec",
    [
        "platforms: [linux/arm64, linux/amd64]",
        "files: {/app/config.yaml: }",
        "files: {/nowhere: {exists: false}}",
        "files: {/app/config.yaml: {mode: 0640, owner: 10:20, kind: file}}",
        "files: {/app: {mode: '0750', kind: directory}}",
        "files: {/app/five: {size: 5}}",
        "files: {/app/five: {size: {min: 5, max: 5}}}",
        "files: {/app/five_too: {kind: file, content: '12345'}}",
        f"files: {{/app/config.yaml: {{sha256: {SHA256}}}}}",
        "files: {/app/config.yaml: {content: 'greeting: hello\n\n  name: world\n\n'}}",
        "files: {/app/config.yaml: {content: {contains: [greeting, world], matches: '^name:'}}}",
        "files: {/usr/bin/python3: {target: python3.13}}",
        "files: {/usr/bin/python3: {kind: file, mode: 0755}}",
        "files: {/lib/libc.so: {size: 1}}",
        "absent: [/root/.netrc, '**/*.pem', /bin/sh]",
        "only: {/app/lib: ['*.py', __pycache__/**]}",
        "only: {/app: [config.yaml, 'five*', lib/**, empty]}",
        "config: {user: 65532:65532, workdir: /app, stop_signal: SIGTERM, exposed_ports: [8080]}",
        "config: {entrypoint: [/usr/bin/python3, /app/main], cmd: null}",
        "config: {cmd: []}",
        "config: {env: {PATH: {contains: /usr/bin}, MODE: a=b, HOME: null}}",
        "config: {env: {PATH: {matches: ^/}, MODE: {equals: a=b}, '*': null}}",
        "config: {labels: {org.example.team: shipping, '*': null}}",
        "annotations: {manifest: {org.example.note: of the manifest}, index: {org.example.note: of the index}}",
    ],
)
def test_what_holds_passes(subject: Path, spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = check(subject, spec)
    assert (capsys.readouterr().out, status) == (
        "//app:image is what is expected of it, on linux/amd64, linux/arm64.\n",
        0,
    )


BOTH = "linux/amd64, linux/arm64"
APP_LAYER = "layer 2 of 2 (app)"


@pytest.mark.parametrize(
    ("spec", "about", "expected", "found", "layer"),
    [
        ("platforms: [linux/amd64]", "platforms", "linux/amd64", "linux/amd64, linux/arm64", ""),
        ("files: {/app/conf.yaml: }", "/app/conf.yaml", "to be there", "/app has no conf.yaml; it has config.yaml", ""),
        ("files: {/app/five: {exists: false}}", "/app/five", "not to be there", "a file", APP_LAYER),
        ("files: {/app/five: {mode: 0600}}", "/app/five: mode", "0600", "0644", APP_LAYER),
        ("files: {/app/five: {owner: 1:2}}", "/app/five: owner", "1:2", "0:0", APP_LAYER),
        ("files: {/app/five: {kind: directory}}", "/app/five: kind", "directory", "file", APP_LAYER),
        ("files: {/app: {content: x}}", "/app: kind", "file", "directory", APP_LAYER),
        ("files: {/app/five: {size: {max: 4}}}", "/app/five: size", "at most 4 bytes", "5 bytes", APP_LAYER),
        ("files: {/app/five: {size: {min: 6}}}", "/app/five: size", "at least 6 bytes", "5 bytes", APP_LAYER),
        ("files: {/app/five: {content: '1234'}}", "/app/five: content", "'1234'", "'12345'", APP_LAYER),
        (
            "files: {/app/five_too: {content: {contains: 9}}}",
            "/app/five_too: content",
            "something with '9' in it",
            "'12345'",
            APP_LAYER,
        ),
        (
            "files: {/app/five: {content: {matches: '^2'}}}",
            "/app/five: content",
            "something that matches '^2'",
            "'12345'",
            APP_LAYER,
        ),
        (
            f"files: {{/app/five: {{sha256: {'0' * 64}}}}}",
            "/app/five: SHA-256",
            "0" * 64,
            "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5",
            APP_LAYER,
        ),
        (
            "files: {/usr/bin/python3: {target: x}}",
            "/usr/bin/python3: target",
            "x",
            "python3.13",
            "layer 1 of 2 (base)",
        ),
        (
            "files: {/lib/libc.so: {mode: 0755}}",
            "/lib/libc.so (which is /usr/lib/libc.so): mode",
            "0755",
            "0644",
            "layer 1 of 2 (base)",
        ),
        (
            "absent: ['**/__pycache__/**']",
            "absent: **/__pycache__/**",
            "nothing",
            "/app/lib/__pycache__/code.cpython-313.pyc (file, layer 2 of 2 (app))",
            "",
        ),
        (
            "absent: [/lib/libc.so]",
            "absent: /lib/libc.so",
            "nothing",
            "/usr/lib/libc.so (file, layer 1 of 2 (base))",
            "",
        ),
        ("absent: [/lib]", "absent: /lib", "nothing", "/lib (symlink, layer 1 of 2 (base))", ""),
        ("only: {/nowhere: []}", "only: /nowhere", "a folder", "/ has no nowhere", ""),
        ("only: {/app/five: []}", "only: /app/five", "a folder", "/app/five is a file", ""),
        ("config: {user: root}", "config: user", "'root'", "'65532:65532'", ""),
        ("config: {user: null}", "config: user", "not to be set", "'65532:65532'", ""),
        ("config: {cmd: [--help]}", "config: cmd", "['--help']", "not set", ""),
        ("config: {entrypoint: []}", "config: entrypoint", "not set", "['/usr/bin/python3', '/app/main']", ""),
        ("config: {exposed_ports: [53/udp]}", "config: exposed_ports", "['53/udp']", "['8080/tcp']", ""),
        ("config: {env: {PATH: /bin}}", "config: env: PATH", "'/bin'", "'/usr/bin'", ""),
        ("config: {env: {HOME: {contains: x}}}", "config: env: HOME", "to be set", "not set; there are MODE, PATH", ""),
        ("config: {env: {MODE: null}}", "config: env: MODE", "not to be set", "'a=b'", ""),
        ("config: {env: {PATH: /usr/bin, '*': null}}", "config: env", "no others than PATH", "MODE", ""),
        (
            "config: {labels: {org.example.team: {matches: ^x}}}",
            "config: labels: org.example.team",
            "something that matches '^x'",
            "'shipping'",
            "",
        ),
        (
            "annotations: {manifest: {org.example.note: x}}",
            "annotations: manifest: org.example.note",
            "'x'",
            "'of the manifest'",
            "",
        ),
    ],
)
def test_what_does_not_hold_is_told_with_what_was_expected_and_found(
    subject: Path, spec: str, about: str, expected: str, found: str, layer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(subject, spec) == 1
    lines = capsys.readouterr().out.splitlines()
    wanted = ["//app:image is not what is expected of it:", ""]
    wanted += [f"  {about}", f"      expected  {expected}", f"      found     {found}"]
    wanted += [f"      in        {layer}"] if layer else []
    wanted += [] if about == "platforms" else [f"      on        {BOTH}"]
    wanted += ["      see       spec.yaml:1", ""]
    assert lines == wanted


def test_a_folder_that_holds_more_than_it_may_lists_what_is_too_much(
    subject: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(subject, "only: {/app: [config.yaml, 'fiv?']}") == 1
    assert (
        "      expected  nothing but config.yaml, fiv?\n"
        "      found     besides:\n"
        "                /app/empty (directory, layer 2 of 2 (app))\n"
        "                /app/five_too (file, layer 2 of 2 (app))\n"
        "                /app/lib/__pycache__/code.cpython-313.pyc (file, layer 2 of 2 (app))\n"
        "                /app/lib/code.py (file, layer 2 of 2 (app))\n"
    ) in capsys.readouterr().out


def test_a_long_text_is_told_from_the_first_line_that_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"line {number}" for number in range(1, 101)]
    made = layer(file("long", "\n".join(lines)))
    lines[79] = "line eighty"
    spec = json.dumps({"files": {"/long": {"content": "\n".join(lines)}}})
    assert check(SubjectMaker(tmp_path).make({"linux/amd64": [made]}), spec) == 1
    said = capsys.readouterr().out
    assert "  /long: content from line 80 on\n      expected  'line eighty\\nline 81\\n" in said
    assert "      found     'line 80\\nline 81\\n" in said


def test_many_files_that_must_not_be_there_are_told_by_the_first_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = layer(*(file(f"etc/{number}.pem") for number in range(12)))
    assert check(SubjectMaker(tmp_path).make({"linux/amd64": [many]}), "absent: ['**/*.pem']") == 1
    said = capsys.readouterr().out
    assert "/etc/0.pem" in said
    assert "and 7 more" in said


def test_all_failures_are_listed_together_and_those_of_one_platform_name_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = layer(file("app/five", "1234"), name="other")
    subject = SubjectMaker(tmp_path).make({"linux/amd64": [BASE, APP], "linux/arm64": [BASE, other]})
    spec = "files:\n  /app/five: {size: 5}\n  /app/nothing:\n  /etc/passwd: {mode: 0600}\n"
    assert check(subject, spec) == 1
    said = capsys.readouterr().out
    assert [line.strip() for line in said.splitlines()] == [
        "//app:image is not what is expected of it:",
        "",
        "/app/nothing",
        "expected  to be there",
        "found     /app has no nothing",
        f"on        {BOTH}",
        "see       spec.yaml:3",
        "",
        "/etc/passwd: mode",
        "expected  0600",
        "found     0644",
        "in        layer 1 of 2 (base)",
        f"on        {BOTH}",
        "see       spec.yaml:4",
        "",
        "/app/five: size",
        "expected  5 bytes",
        "found     4 bytes",
        "in        layer 2 of 2 (other)",
        "on        linux/arm64",
        "see       spec.yaml:2",
        "",
    ]


def test_a_check_can_be_limited_to_a_platform(tmp_path: Path) -> None:
    other = layer(file("only_here", ""), name="other")
    subject = SubjectMaker(tmp_path).make({"linux/amd64": [BASE], "linux/arm64": [BASE, other]})
    assert check(subject, "files: {/only_here: {platforms: [linux/arm64]}}") == 0
    assert check(subject, "files: {/only_here: {platforms: [linux/amd64]}}") == 1
    assert check(subject, "files: {/only_here: }", "--platform", "linux/arm64") == 0


def test_a_check_for_a_platform_that_the_image_lacks_is_not_left_out_quietly(
    subject: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(subject, "files: {/nowhere: {platforms: [linux/arm]}}") == 1
    assert "expected  one of linux/amd64, linux/arm64\n      found     linux/arm\n" in capsys.readouterr().out
    assert check(subject, "files: {/etc: }", "--platform", "linux/arm") == 1
    assert "//app:image has no platform linux/arm; it has linux/amd64, linux/arm64." in capsys.readouterr().out


def test_layers_that_engines_do_not_agree_on_fail_whatever_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject = SubjectMaker(tmp_path).make({"linux/amd64": [BASE, layer(file("lib/mine.so"), name="mine")]})
    assert check(subject, "files: {/etc: }") == 1
    assert "layer 2 of 2 (mine) places /lib/mine.so, but /lib is a symlink" in capsys.readouterr().out


def test_only_a_check_of_content_opens_a_layer_and_only_the_one_that_has_the_file(tmp_path: Path) -> None:
    subject = SubjectMaker(tmp_path).make({"linux/amd64": [BASE, APP]})
    base, app = (tmp_path / made.metadata["digest"].removeprefix("sha256:") for made in (BASE, APP))
    base.unlink()
    app.unlink()
    assert (
        check(
            subject, f"files: {{/app/config.yaml: {{mode: 0640, sha256: {SHA256}}}, /app/five: {{content: '12345'}}}}"
        )
        == 0
    )
    app.write_bytes(APP.blob)
    assert check(subject, "files: {/etc/passwd: {mode: 0644}, /app/five: {content: {contains: '345'}}}") == 0


def test_commands_without_an_engine_are_not_left_out_quietly(subject: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = "files: {/etc: }\ncommands:\n  - args: [--help]\n"
    assert check(subject, spec) == 1
    assert capsys.readouterr().out == (
        "spec.yaml:3: commands would not be run: this image_test has no engine.\n"
        'Give it engine = "required", or "if_available", or take the commands out.\n'
    )
    assert check(subject, spec, "--commands-elsewhere") == 0


def test_a_specification_that_cannot_be_read_fails_with_its_lines(
    subject: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(subject, "files:\n  /etc: {mod: 0755}\nabsence: []\n") == 1
    assert capsys.readouterr().out == (
        "Cannot use the specification of //app:image:\n"
        "spec.yaml:2: unknown key 'mod' in /etc. Did you mean mode? "
        "Known are exists, kind, mode, owner, size, content, sha256, target, platforms.\n"
        "spec.yaml:3: unknown key 'absence' in the file. Did you mean absent? "
        "Known are platforms, files, absent, only, config, annotations, commands.\n"
    )
