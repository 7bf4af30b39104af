"""Real uv on an index that is a folder: nothing here needs a network."""

from pathlib import Path

import pytest

from tests.pip.wheels import pin, sha256, write_index, write_wheel
from tools.pip.errors import PipError
from tools.pip.lock import check, main, out_of_step, renew
from tools.pip.pins import parse_pins, read_pins

HASH = "--hash=sha256:" + "0" * 64


class Project:
    """Requirements, a lock, and the index that pip is configured with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = root / "requirements.in"
        self.lock = root / "requirements.txt"
        self.files = root / "files"

    def renew(self, *options: str) -> list[str]:
        return renew(self.source, self.lock, "bazel run //:lock", options)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path)
    wheels = [
        write_wheel(project.files, "click", "1.0"),
        write_wheel(project.files, "click", "1.1"),
        write_wheel(project.files, "web", "2.0", requires=["speedup; extra == 'fast'", "click"]),
        write_wheel(project.files, "app", "1.0", requires=["web[fast]", "colorama; sys_platform == 'win32'"]),
        write_wheel(project.files, "speedup", "1.0"),
        write_wheel(project.files, "colorama", "1.0"),
    ]
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", write_index(tmp_path / "simple", wheels))
    project.source.write_text("app\n")
    return project


def test_the_lock_has_every_package_with_hash_extras_and_marker_and_no_index(project: Project) -> None:
    changes = project.renew()
    text = project.lock.read_text()
    assert [(each.requirement, each.marker) for each in read_pins(project.lock)] == [
        ("app==1.0", ""),
        ("click==1.1", ""),
        ("colorama==1.0", 'sys_platform == "win32"'),
        ("speedup==1.0", ""),
        ("web[fast]==2.0", ""),
    ]
    assert f"--hash=sha256:{sha256(project.files / 'web-2.0-py3-none-any.whl')}" in text
    assert "bazel run //:lock" in text
    assert "://" not in text
    assert str(project.root) not in text
    assert changes == ["+ app==1.0", "+ click==1.1", "+ colorama==1.0", "+ speedup==1.0", "+ web[fast]==2.0"]
    check(project.source, project.lock, "bazel run //:lock")


def test_versions_that_still_fit_are_kept_unless_newer_ones_are_asked_for(project: Project) -> None:
    project.source.write_text("click\n")
    project.lock.write_text(pin(project.files / "click-1.0-py3-none-any.whl"))
    assert project.renew() == []
    assert project.renew("--upgrade") == ["click==1.0 -> 1.1"]


def test_hashes_are_asked_of_the_index_even_where_the_version_stays(project: Project) -> None:
    project.source.write_text("click\n")
    project.lock.write_text(f"click==1.0 {HASH}\n")
    assert project.renew() == ["click==1.0: other files"]
    assert sha256(project.files / "click-1.0-py3-none-any.whl") in project.lock.read_text()


def test_requirements_that_cannot_be_met_leave_the_lock_as_it_is(project: Project) -> None:
    project.renew()
    before = project.lock.read_bytes()
    project.source.write_text("app>=9\n")
    with pytest.raises(PipError, match=r"cannot lock requirements.in\n(.|\n)*app>=9") as error:
        project.renew()
    assert "What to do" in str(error.value)
    assert project.lock.read_bytes() == before
    assert not project.lock.with_name("requirements.txt.new").exists()


def test_settings_made_for_uv_come_before_those_made_for_pip(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = write_wheel(tmp_path / "other-files", "click", "7.0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", write_index(tmp_path / "other", [wheel]))
    project.source.write_text("click\n")
    assert project.renew() == ["+ click==7.0"]


def test_without_an_index_pips_own_folder_of_wheels_is_used(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(project.files))
    project.source.write_text("click\n")
    assert project.renew() == ["+ click==1.1"]


@pytest.mark.parametrize(
    ("requirements", "difference"),
    [
        ("app\n", None),
        ("app>=1,<2  # a comment\n\n# another\n", None),
        ("App\nweb[fast]==2.0\n", None),
        ("app>=2\n", "requirements.in:1 asks for app>=2, and the lock has app==1.0"),
        ("app[slow]\n", "requirements.in:1 asks for app[slow], and the lock has app==1.0"),
        ("# new\napp\nnew\n", "requirements.in:3 asks for new, and the lock has nothing"),
        ("web[fast]\n", "requirements.txt:1 pins app==1.0, which nothing asks for"),
    ],
)
def test_the_lock_is_in_step_with_what_is_asked_for(requirements: str, difference: str | None) -> None:
    pins = parse_pins(
        f"app==1.0 {HASH}\n    # via -r requirements.in\nweb[fast]==2.0 {HASH}\n    # via app\n", "requirements.txt"
    )
    assert out_of_step(requirements, "requirements.in", pins) == ([difference] if difference else [])


def test_the_check_says_what_to_do_and_writes_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BUILD_WORKSPACE_DIRECTORY", str(project.root))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    project.source.write_text("click\n")
    project.lock.write_text(f"app==1.0 {HASH}\n")
    assert main(["bazel run //:lock", "requirements.in", "requirements.txt", "--check"]) == 1
    error = capsys.readouterr().err
    assert "requirements.txt is out of step with requirements.in" in error
    assert "requirements.in:1 asks for click, and the lock has nothing" in error
    assert "What to do: renew the lock and commit it with the .in file: bazel run //:lock" in error
    assert project.lock.read_text() == f"app==1.0 {HASH}\n"


def test_an_option_among_the_requirements_is_an_error_with_its_line() -> None:
    with pytest.raises(PipError, match=r"requirements.in:2: `-r other.in` is not a requirement"):
        out_of_step("app\n-r other.in\n", "requirements.in", ())
