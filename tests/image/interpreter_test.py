"""What a file needs to be started, read out of its content."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.tools import tool
from tools.image.interpreter import InterpreterReader

LOADER = "/lib64/ld-linux-x86-64.so.2"
PT_LOAD, PT_INTERP = 1, 3


def needs(content: bytes, pieces: int = 1 << 20) -> dict[str, str]:
    reader = InterpreterReader()
    for start in range(0, len(content), pieces):
        reader.feed(content[start : start + pieces])
    return reader.found()


def program(
    *,
    bits: int = 64,
    order: str = "<",
    path: bytes = LOADER.encode() + b"\0",
    at: int = 0x318,
    size: int | None = None,
    table: int | None = None,
    header_size: int | None = None,
    number: int = 3,
) -> bytes:
    """An ELF file whose second program header is of a loader."""
    wide = bits == 64
    length = len(path) if size is None else size
    headers = []
    for kind, offset, count in ((PT_LOAD, 0, 8), (PT_INTERP, at, length), (PT_LOAD, 0, 8)):
        if wide:
            headers.append(struct.pack(order + "IIQQQQQQ", kind, 4, offset, 0, 0, count, count, 1))
        else:
            headers.append(struct.pack(order + "IIIIIIII", kind, offset, 0, 0, count, count, 4, 1))
    start = (64 if wide else 52) if table is None else table
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    words = "QQQ" if wide else "III"
    fields = (3, 62, 1, 0, start, 0, 0, 64, len(headers[0]) if header_size is None else header_size, number, 0, 0, 0)
    content = ident + struct.pack(f"{order}HHI{words}IHHHHHH", *fields) + b"".join(headers)
    return content.ljust(min(at, 4 << 20), b".") + path + b"the rest"


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("at", [0x318, 4000, 4090, 3 << 20])
@pytest.mark.parametrize("pieces", [4096, 1 << 20])
def test_the_loader_of_a_program_is_found_wherever_its_path_is(bits: int, order: str, at: int, pieces: int) -> None:
    assert needs(program(bits=bits, order=order, at=at), pieces) == {"loader": LOADER}


@pytest.mark.parametrize(
    "content",
    [
        program(at=9 << 20),  # beyond the end of the file
        program(at=1 << 63),
        program(size=0),
        program(size=1),
        program(size=4097),
        program(size=4096),
        program(size=1 << 62),
        program(path=b"\0\0"),
        program(table=1 << 62),
        program(table=0x318),
        program(header_size=0),
        program(header_size=32),
        program(header_size=55),
        program(number=0),
        program(number=1),
        program(number=0xFFFF),
        program()[:64],
        program()[:100],
        program()[:63],
        b"\x7fELF",
        b"\x7fELF\x03\x01" + program()[6:],
        b"\x7fELF\x02\x00" + program()[6:],
        program(bits=32, table=0xFFFFFFFF),
    ],
)
def test_a_malformed_program_needs_nothing_that_is_known(content: bytes) -> None:
    assert needs(content) == {}


def test_a_path_without_an_end_or_of_no_text_is_taken_as_it_is() -> None:
    assert needs(program(path=b"/ld")) == {"loader": "/ld"}
    assert needs(program(path=b"/ld\0other\0")) == {"loader": "/ld"}
    assert needs(program(path=b"/\xff\0")) == {"loader": "/\\xff"}


def test_what_is_found_in_this_python_is_what_readelf_finds() -> None:
    program_headers = subprocess.run(
        [*tool("readelf"), "--program-headers", "--wide", str(Path(sys.executable).resolve())],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"Requesting program interpreter: (.*)\]", program_headers)
    assert found is not None
    assert needs(Path(sys.executable).read_bytes()) == {"loader": found[1]}


@pytest.mark.parametrize(
    ("content", "interpreter"),
    [
        (b"#!/bin/sh\n", "/bin/sh"),
        (b"#!/bin/sh", "/bin/sh"),
        (b"#! \t/bin/sh -e\nexit", "/bin/sh"),
        (b"#!/usr/bin/env -S python3 -I\n", "/usr/bin/env"),
        (b"#!/bin/sh\r\n", "/bin/sh\r"),
        (b"#!python\n", "python"),
        ("#!/opt/größe\n".encode(), "/opt/größe"),
        (b"#!/\xff\n", "/\\xff"),
        (b"#!/bin/sh\0\n", "/bin/sh"),
        (b"#!" + b"x" * 253 + b"\n", "x" * 253),
    ],
)
def test_the_interpreter_of_a_script_is_the_first_word_of_its_first_line(content: bytes, interpreter: str) -> None:
    assert needs(content) == {"interpreter": interpreter}


@pytest.mark.parametrize(
    "content",
    [
        b"#!",
        b"#!\n/bin/sh\n",
        b"#! \t\n",
        b"# !/bin/sh\n",
        b"\n#!/bin/sh\n",
        b"\xef\xbb\xbf#!/bin/sh\n",
        b"#!" + b"x" * 254 + b"\n",
        b"echo Hello\n",
        b"\x7fEL",
        b"",
    ],
)
def test_what_does_not_begin_as_linux_wants_it_is_no_program(content: bytes, tmp_path: Path) -> None:
    assert needs(content) == {"format": "unknown"}
    (tmp_path / "program").write_bytes(content)
    (tmp_path / "program").chmod(0o755)
    with pytest.raises(OSError, match=r"Exec format error|Permission denied"):  # what this Linux says of it
        subprocess.run([tmp_path / "program"], check=False)


@given(st.binary(max_size=2000), st.sampled_from([b"", b"#!", b"\x7fELF\x02\x01", b"\x7fELF\x01\x02"]))
@example(bytes(2000), b"\x7fELF\x02\x01")
def test_whatever_the_content_is_what_is_found_is_bounded(rest: bytes, start: bytes) -> None:
    assert all(0 < len(value) <= 4 * 4096 for value in needs(start + rest).values())


@given(st.data())
def test_a_damaged_program_is_read_to_its_end(data: st.DataObject) -> None:
    content = bytearray(program())
    for place in data.draw(st.lists(st.integers(0, 0x140), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    assert set(needs(bytes(content))) <= {"loader", "interpreter", "format"}
