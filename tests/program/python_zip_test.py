"""Python modules in one file: what is packed, and that the bytes depend on nothing else."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools.program import python_zip

MAIN = """
import sys
VERSION = "{VERSION}"
if __name__ == "__main__":
    import plain.inner
    import whole
    print(VERSION, plain.inner.NAME, whole.NAME, *sys.argv[1:])
"""
FILES = {
    "_main/plain/inner.py": "NAME = 'inner'\n",
    "_main/plain/data.txt": "no module",
    "other~/site-packages/whole/__init__.py": "NAME = 'whole'\n",
    "other~/site-packages/whole/_speedups.cpython-313-x86_64-linux-gnu.so": "no source",
    "other~/site-packages/whole-1.0.dist-info/METADATA": "Name: whole\n",
    "other~/site-packages/whole-1.0.dist-info/RECORD": "names what is not here\n",
    "other~/site-packages/whole-1.0.dist-info/licenses/LICENSE": "do as you like\n",
    "other~/setup.py": "raise SystemExit('below no entry of the search path')\n",
}
ROOTS = ("_main", "_main/plain/..", "other~/site-packages")


def pack(folder: Path, files: dict[str, str], *, roots: Sequence[str] = ROOTS, time: int = 1) -> tuple[int, Path]:
    """Write the files, and pack them in the order in which they are given."""
    output = folder / "out.zip"
    arguments = [f"--output={output}", f"--main={folder / 'main.py'}", "--version=1.2.3"]
    arguments += [f"--root={root}" for root in roots]
    folder.mkdir()
    (folder / "main.py").write_text(MAIN)
    for number, (name, content) in enumerate(files.items()):
        path = folder / f"{number}"
        path.write_text(content)
        os.utime(path, (time, time))
        arguments.append(f"--file={name}={path}")
    return python_zip.main(arguments), output


def test_sources_and_licences_are_packed_below_one_entry_of_the_search_path(tmp_path: Path) -> None:
    status, output = pack(tmp_path / "one", FILES)
    assert status == 0
    with zipfile.ZipFile(output) as archive:
        assert [name for name in archive.namelist() if not name.endswith("/")] == [
            "__main__.py",
            "plain/inner.py",
            "whole-1.0.dist-info/METADATA",
            "whole-1.0.dist-info/licenses/LICENSE",
            "whole/__init__.py",
        ]


def test_it_runs_by_itself_and_by_an_interpreter(tmp_path: Path) -> None:
    _, output = pack(tmp_path / "one", FILES)
    for command in ([sys.executable, str(output)], [str(output)]):
        outcome = subprocess.run(
            [*command, "word"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
        )
        assert (outcome.returncode, outcome.stdout) == (0, "1.2.3 inner whole word\n"), outcome.stderr


def test_order_times_and_folders_leave_no_trace(tmp_path: Path) -> None:
    _, one = pack(tmp_path / "one", FILES, time=1)
    _, other = pack(tmp_path / "other", dict(reversed(FILES.items())), roots=ROOTS[::-1], time=1_700_000_000)
    assert one.read_bytes() == other.read_bytes()
    assert str(tmp_path).encode() not in one.read_bytes()


def test_packages_that_share_a_path_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clash = {"_main/whole/__init__.py": "NAME = 'mine'\n"}
    status, output = pack(tmp_path / "one", FILES | clash)
    assert status == 1
    assert not output.exists()
    assert "whole/__init__.py is there twice, and differs" in capsys.readouterr().err
