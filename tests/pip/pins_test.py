from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.pip.errors import PipError
from tools.pip.pins import Pin, cycles, holds, parse_pins, pins_of, read_pins
from tools.pip.targets import TARGETS

HASH = "sha256:" + "0123456789abcdef" * 4
OTHER_HASH = "sha256:" + "f" * 64
HOST = TARGETS["host"]
ARM64 = TARGETS["linux_arm64"]


def one(text: str) -> Pin:
    (pin,) = parse_pins(text, "lock.txt")
    return pin


def test_a_pin_spans_lines_and_knows_its_own() -> None:
    text = f"""# written by uv

Typing_Extensions==4.15.0 ; python_full_version < '3.13' \\
    --hash={HASH} \\
    --hash={OTHER_HASH}
    # via
    #   -r requirements.in
    #   pytest
click==8.5.1 --hash={HASH}
"""
    first, second = parse_pins(text, "lock.txt")
    assert first == Pin(
        name="typing-extensions",
        version="4.15.0",
        extras=(),
        marker='python_full_version < "3.13"',
        hashes=(HASH, OTHER_HASH),
        place="lock.txt:3",
        needed_by=("-r requirements.in", "pytest"),
    )
    assert (second.name, second.place, second.needed_by) == ("click", "lock.txt:9", ())


def test_comments_at_the_end_of_a_line_and_windows_line_ends_do_no_harm() -> None:
    assert one(f"click==8.5.1 --hash={HASH}  # via nobody\r\n").hashes == (HASH,)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"click>=8 --hash={HASH}", "is not pinned"),
        (f"click==8.* --hash={HASH}", "is not pinned"),
        (f"click==8.5,!=8.6 --hash={HASH}", "is not pinned"),
        (f"click --hash={HASH}", "is not pinned"),
        (f"click @ https://example.com/click-8.5.1-py3-none-any.whl --hash={HASH}", "is not pinned"),
        ("click==8.5.1", "has no hash"),
        ("click==8.5.1 --hash=md5:0123", "has no hash"),
        ("click==8.5.1 ; python_version ~ '3' --hash=" + HASH, "is not a requirement"),
        ("click==8.5.1 ; planet == 'earth' --hash=" + HASH, "is not a requirement"),
        ("./click --hash=" + HASH, "is not a requirement"),
        ("--index-url https://example.com/simple", "has the option"),
        ("-r other.txt", "has the option"),
        ("-e .", "has the option"),
    ],
)
def test_a_line_that_pins_nothing_is_refused_with_its_number(line: str, why: str) -> None:
    with pytest.raises(PipError) as error:
        parse_pins(f"# head\n{line}\n", "lock.txt")
    assert error.value.what.startswith("lock.txt:2: ")
    assert why in error.value.what
    assert error.value.why
    assert error.value.remedy


def test_a_lock_that_is_not_there_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(PipError, match=r"cannot read the lock .*nowhere\.txt\n.*No such file"):
        read_pins(tmp_path / "nowhere.txt")


names = st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,5})?", fullmatch=True)
pins = st.builds(
    Pin,
    name=names,
    version=st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}(rc[0-9])?(\+[a-z0-9]{1,4})?", fullmatch=True),
    extras=st.lists(names, max_size=3, unique=True).map(lambda extras: tuple(sorted(extras))),
    marker=st.sampled_from(["", 'sys_platform == "linux"', 'python_version < "3.13" and os_name == "posix"']),
    hashes=st.lists(st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True), min_size=1, max_size=3).map(tuple),
    place=st.just("lock.txt:1"),
)


@given(pins)
def test_a_pin_written_as_a_line_reads_as_the_same_pin(pin: Pin) -> None:
    assert one(str(pin)) == pin


@pytest.mark.parametrize(
    ("marker", "on_host", "on_arm64"),
    [
        ("", HOST.pythons, ("3.13",)),
        ("sys_platform == 'linux'", HOST.pythons, ("3.13",)),
        ("sys_platform == 'win32'", (), ()),
        ("os_name == 'nt' or platform_system == 'Darwin'", (), ()),
        ("python_version < '3.13'", ("3.11", "3.12"), ()),
        ("python_full_version < '3.11.3'", ("3.11",), ()),
        ("python_version >= '3.9'", HOST.pythons, ("3.13",)),
        ("platform_machine == 'aarch64'", (), ("3.13",)),
        ("platform_machine in 'x86_64 amd64'", HOST.pythons, ()),
        ("implementation_name == 'pypy'", (), ()),
        (
            "platform_python_implementation == 'CPython' and python_version ~= '3.12'",
            ("3.12", "3.13", "3.14"),
            ("3.13",),
        ),
        ("extra == 'fast'", (), ()),
    ],
)
def test_a_marker_is_evaluated_for_each_interpreter_of_a_target(
    marker: str, on_host: tuple[str, ...], on_arm64: tuple[str, ...]
) -> None:
    pin = replace(one(f"click==8.5.1 --hash={HASH}"), marker=marker)
    assert (pin.pythons(HOST), pin.pythons(ARM64)) == (on_host, on_arm64)


@pytest.mark.parametrize("marker", ["platform_release >= '6'", "platform_version == 'x'", "sys_platform ~= 'linux'"])
def test_a_marker_that_cannot_be_evaluated_is_an_error_with_its_place(marker: str) -> None:
    with pytest.raises(PipError, match=r"the environment marker .* cannot be evaluated") as error:
        holds(marker, HOST.marker_environment("3.13"), "lock.txt:7")
    assert error.value.what.startswith("lock.txt:7: ")


def test_each_target_has_the_version_whose_marker_holds_there() -> None:
    pins = parse_pins(
        f"numpy==2.2 ; platform_machine != 'aarch64' --hash={HASH}\n"
        f"numpy==2.4 ; platform_machine == 'aarch64' --hash={HASH}\n"
        f"colorama==0.4.6 ; sys_platform == 'win32' --hash={HASH}\n",
        "lock.txt",
    )
    assert {name: pin.version for name, pin in pins_of(HOST, pins).items()} == {"numpy": "2.2"}
    assert {name: pin.version for name, pin in pins_of(ARM64, pins).items()} == {"numpy": "2.4"}


def test_two_versions_for_the_interpreters_of_one_target_are_an_error_that_names_both_lines() -> None:
    pins = parse_pins(
        f"numpy==2.2 ; python_version < '3.12' --hash={HASH}\nnumpy==2.4 ; python_version >= '3.12' --hash={HASH}\n",
        "lock.txt",
    )
    with pytest.raises(PipError, match=r"lock.txt:1 pins 2.2 and lock.txt:2 pins 2.4"):
        pins_of(HOST, pins)
    assert pins_of(ARM64, pins)["numpy"].version == "2.4"


def test_packages_that_need_one_another_are_found_by_the_comments_of_the_lock() -> None:
    pins = parse_pins(
        f"a==1 --hash={HASH}\n    # via\n    #   -r requirements.in\n    #   c\n"
        f"b==1 --hash={HASH}\n    # via a\n"
        f"c==1 --hash={HASH}\n    # via b\n"
        f"d==1 --hash={HASH}\n    # via\n    #   c\n    #   e\n"
        f"e==1 --hash={HASH}\n    # via -r requirements.in\n",
        "lock.txt",
    )
    assert cycles(pins) == dict.fromkeys("abc", ("a", "b", "c"))
