"""`unpack DIRECTORY WHEEL...`: unpacks wheels of one package, for one or several interpreters, into one folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tools.pip.errors import PipError
from tools.pip.wheel import WheelEntry, wheel_entries


def unpack(directory: Path, wheels: list[Path]) -> None:
    """Writes the files of all `wheels` below `directory`.

    Extension modules carry the tag of their interpreter in their names, so that the wheels of several fit together.
    The same path with another content is a PipError, except in `*.dist-info`, where RECORD and WHEEL name the tags: the
    first stays.
    """
    written: dict[str, tuple[WheelEntry, Path]] = {}
    for wheel in wheels:
        for entry in wheel_entries(wheel):
            earlier = written.get(entry.path)
            if earlier is None:
                try:
                    _write(entry, directory / entry.path)
                except (FileExistsError, NotADirectoryError) as error:
                    raise _refusal(wheel, wheels[0], f"{entry.path} is a file in one, a folder in another") from error
                written[entry.path] = (entry, wheel)
            elif not _is_metadata(entry.path) and not _same(entry, earlier[0]):
                raise _refusal(wheel, earlier[1], f"{entry.path} differs between them")


def _refusal(wheel: Path, other: Path, why: str) -> PipError:
    return PipError(
        f"{wheel.name} and {other.name} cannot share one folder",
        why,
        "pin a version of the package whose wheels differ in extension modules only",
    )


def _write(entry: WheelEntry, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with entry.open() as source, path.open("xb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    path.chmod(entry.mode)


def _is_metadata(path: str) -> bool:
    return path.split("/", 1)[0].endswith(".dist-info")


def _same(entry: WheelEntry, other: WheelEntry) -> bool:
    with entry.open() as content, other.open() as other_content:
        return content.read() == other_content.read()


def main(arguments: list[str]) -> int:
    """The build action; a PipError goes to standard error and the exit code is 1."""
    directory, *wheels = arguments
    try:
        unpack(Path(directory), [Path(wheel) for wheel in wheels])
    except PipError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
