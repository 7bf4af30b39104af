"""What must hold for a program to start: Linux knows its format, and its interpreter or its loader is there.

The first line of a script names its interpreter (execve(2)), the program header PT_INTERP of an ELF file its loader
(System V ABI, "Program Interpreter").
"""

import re
import struct

# As much of a script's first line as Linux reads, and as long as it lets a loader's path be.
_LINE_BYTES = 256
_PATH_BYTES = 4096
# No more does Linux take for a program header table.
_TABLE_BYTES = 1 << 16

_SCRIPT = re.compile(rb"#![ \t]*([^ \t\n\0]+)[ \t\n\0]")
_PT_INTERP = 3
# By the class of an ELF file: where its program headers are, their size and number; and of each its type, offset, size.
_ELF_HEADERS = {1: "28xI10xHH", 2: "32xQ14xHH"}
_PROGRAM_HEADERS = {1: "II8xI12x", 2: "I4xQ16xQ16x"}
_BYTE_ORDERS = {1: "<", 2: ">"}


class InterpreterReader:
    """Reads what a file needs to be started out of its content as it passes by, and keeps nothing else of it."""

    def __init__(self) -> None:
        self._need = "interpreter"
        self._known = False
        self._start = self._end = 0
        self._position = 0
        self._path = b""

    def feed(self, chunk: bytes) -> None:
        """Takes the next piece of the content. All headers must be in the first one; what they point to need not be."""
        if self._position == 0:
            self._locate(chunk)
        if self._start < self._position + len(chunk) and self._position < self._end:
            self._path += chunk[max(0, self._start - self._position) : self._end - self._position]
        self._position += len(chunk)

    def found(self) -> dict[str, str]:
        """{"interpreter": its path} of a script, {"loader": its path} of an ELF file that names one.

        {"format": "unknown"} of what is neither, and nothing of an ELF file that starts by itself or is malformed.
        """
        if not self._known:
            return {"format": "unknown"}
        path, _, _ = self._path.partition(b"\0")
        if not path or len(self._path) < self._end - self._start:
            return {}
        # Paths of layers are UTF-8, so that what is not leads nowhere, spelled in whatever way.
        return {self._need: path.decode(errors="backslashreplace")}

    def _locate(self, head: bytes) -> None:
        if script := _SCRIPT.match(head[:_LINE_BYTES].ljust(_LINE_BYTES, b"\0")):
            self._known = True
            self._start, self._end = script.span(1)
        elif head.startswith(b"\x7fELF"):
            self._known = True
            self._need = "loader"
            self._start, self._end = _loader_place(head)


def _loader_place(head: bytes) -> tuple[int, int]:
    """Where in an ELF file its loader's path begins and ends; (0, 0) where there is none, or the file is malformed."""
    nowhere = (0, 0)
    if len(head) < 64 or head[4] not in _ELF_HEADERS or head[5] not in _BYTE_ORDERS:
        return nowhere
    order = _BYTE_ORDERS[head[5]]
    program_header = struct.Struct(order + _PROGRAM_HEADERS[head[4]])
    offset, size, number = struct.unpack_from(order + _ELF_HEADERS[head[4]], head)
    table = head[offset : offset + number * size]
    if size != program_header.size or not len(table) == number * size <= _TABLE_BYTES:
        return nowhere
    for kind, start, length in program_header.iter_unpack(table):
        if kind == _PT_INTERP:
            return (start, start + length) if 1 < length <= _PATH_BYTES else nowhere
    return nowhere
