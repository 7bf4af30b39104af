"""Specifications are read strictly, and mean what they look like."""

import pytest

from tools.image.testing.spec import Command, FileCheck, Text
from tools.image.testing.spec_file import SpecError, parse_spec


def test_values_are_what_is_written_and_not_what_yaml_makes_of_them() -> None:
    spec = parse_spec(
        "files:\n  /a: {mode: 0755, owner: 10:20}\n  /b: {mode: '1777', content: 010}\n  /c: {mode: 0o644}\n", "s"
    )
    assert spec.files == (
        FileCheck("/a", "s:2", mode=0o755, owner=(10, 20)),
        FileCheck("/b", "s:3", mode=0o1777, content=Text(equals="010")),
        FileCheck("/c", "s:4", mode=0o644),
    )


def test_json_is_read_as_well() -> None:
    spec = parse_spec('{"commands": [{"args": ["--help"], "exit": 2, "timeout": 1.5, "env": {"A": "b"}}]}', "s")
    assert spec.commands == (Command(("--help",), "s:1", exit=2, timeout=1.5, env={"A": "b"}),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("files: [", "s:1: this is not YAML: expected the node content, but found '<stream end>'"),
        ("- files", "s:1: the file has to be a mapping of names to values."),
        ("file: {}", "s:1: unknown key 'file' in the file. Did you mean files? Known are platforms, files, absent,"),
        ("commands:\n- {arg: []}", "s:2: unknown key 'arg' in a command. Did you mean args?"),
        ("config: {environment: {}}", "s:1: unknown key 'environment' in config."),
        ("files: {/a: {content: {contain: x}}}", "s:1: unknown key 'contain' in a text. Did you mean contains?"),
        ("files: {/a: {size: {maximum: 1}}}", "s:1: unknown key 'maximum' in size. Did you mean max?"),
        ("files:\n  /a:\n  /a:\n", "s:3: '/a' is there twice in files."),
        ("files: {a: }", "s:1: 'a' is not an absolute path; it begins with a slash."),
        ("files: {/a: {mode: rwx}}", "s:1: 'rwx' is not permission bits, such as \"0644\"."),
        ("files: {/a: {mode: 0999}}", "s:1: '0999' is not permission bits"),
        ("files: {/a: {owner: root}}", "s:1: 'root' is not numbers of user and group, such as 0:0."),
        ("files: {/a: {kind: folder}}", "s:1: 'folder' is none of file, directory, symlink."),
        ("files: {/a: {exists: maybe}}", "s:1: 'maybe' is none of true, false."),
        ("files: {/a: {exists: false, mode: 0644}}", "s:1: /a cannot be expected not to exist and to have mode."),
        ("files: {/a: {target: b, mode: 0777}}", "s:1: /a is a symlink, which has no mode; leave out kind and target"),
        ("files: {/a: {target: b, kind: file}}", "s:1: /a has a target, so its kind is symlink."),
        ("files: {/a: {sha256: abc}}", "s:1: 'abc' is not 64 hexadecimal digits."),
        ("files: {/a: {content: {}}}", "s:1: this expects nothing; give equals, contains or matches."),
        ("files: {/a: {content: {matches: '('}}}", "s:1: '(' is not a regular expression: missing ), unterminated"),
        ("files: {/a: {platforms: [amd64]}}", "s:1: 'amd64' is not a platform, such as linux/arm64."),
        ("files: {/a: {platforms: []}}", "s:1: a list of no platforms; leave it out to mean all of them."),
        ("absent: '**/*.pem'", "s:1: a list is expected here."),
        ("absent: [a**b]", "s:1: 'a**b' is not a pattern of paths; it is like /etc/*.conf, **/*.pem or /app/**."),
        ("only: {/app: [/app/x]}", "s:1: '/app/x' begins with a slash; patterns here are relative to /app."),
        ("config: {user: [a]}", "s:1: a text has to be a mapping of names to values."),
        ("config: {exposed_ports: [http]}", "s:1: 'http' is not a port, such as 8080/tcp."),
        ("config: {env: {'*': x}}", "s:1: '*' can only be null, which says that there are no other names."),
        ("commands: [{exit: one}]", "s:1: 'one' is not a whole number."),
        ("commands: [{timeout: 0}]", "s:1: a command needs more than 0 seconds."),
        ("", "s: this asks for nothing, so nothing could fail. Known keys: platforms, files,"),
        ("files: {}", "s: this asks for nothing"),
    ],
)
def test_what_cannot_be_is_an_error_with_file_and_line(text: str, message: str) -> None:
    with pytest.raises(SpecError) as error:
        parse_spec(text, "s")
    assert str(error.value).startswith(message)


def test_all_errors_of_a_file_are_told_at_once() -> None:
    with pytest.raises(SpecError) as error:
        parse_spec("files:\n  /a: {mod: 1, own: 2}\n  b:\nconfig:\n  usr: x\n", "s")
    assert [line.partition(".")[0] for line in str(error.value).splitlines()] == [
        "s:2: unknown key 'mod' in /a",
        "s:2: unknown key 'own' in /a",
        "s:3: 'b' is not an absolute path; it begins with a slash",
        "s:5: unknown key 'usr' in config",
    ]
