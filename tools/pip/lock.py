"""Renews a lock from its .in file with uv, and tells whether the two are in step.

    bazel run //tools/pip:lock                            keeps the versions that still fit
    bazel run //tools/pip:lock -- --upgrade               takes the newest; other options of `uv pip compile` go too
    bazel run //tools/pip:lock -- --check                 writes nothing, asks nobody: exit 1 where they are out of step

Only pip's first index (index-url) is asked. Further ones of a machine may have some files of a version and lack the
rest, and a lock with their hashes alone would shut other platforms out; `-- --index URL` adds one on purpose.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
from pip._vendor.packaging.utils import canonicalize_name

from tools.pip.errors import PipError
from tools.pip.pins import Pin, parse_pins, read_pins

# Options of pip, as `pip config list` calls them, and what uv calls them.
_UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "trusted-host": "UV_INSECURE_HOST",
}
_UV_NAMES_WITHOUT_INDEX = {"no-index": "UV_NO_INDEX", "find-links": "UV_FIND_LINKS"}


def renew(source: Path, lock: Path, command: str, options: Iterable[str] = ()) -> list[str]:
    """Writes `lock` anew from the requirements in `source`, and returns the changes in words.

    Raises PipError and leaves the lock as it is where uv fails.

    `command` is what a person types to do so; it goes to the head of the lock. `options` are handed to uv.
    """
    from uv import find_uv_bin

    pins = read_pins(lock) if lock.exists() else ()
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, lock.name)
        # Versions without hashes: uv would take known hashes over, wrong ones too, and miss files added since.
        kept = (f"{pin.requirement} ; {pin.marker}".rstrip(" ;") for pin in pins)
        output.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        arguments = [
            *(find_uv_bin(), "pip", "compile", source.name, "--output-file", str(output), "--quiet"),
            *("--universal", "--python-version=3.11", "--fork-strategy=fewest", "--no-strip-extras"),
            *("--generate-hashes", "--only-binary=:all:", "--no-emit-index-url", "--no-emit-find-links"),
            *("--no-python-downloads", f"--custom-compile-command={command}", *options),
        ]
        environment = {**os.environ, **_uv_environment(_pip_configuration(), os.environ)}
        result = subprocess.run(
            arguments, cwd=source.parent, env=environment, capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise PipError(
                f"cannot lock {source.name}",
                "uv says:\n" + "\n".join(f"    {line}" for line in result.stderr.splitlines()),
                "change the requirements so that they can be met, or make the index of `pip config list` reachable",
            )
        text = output.read_text(encoding="utf-8")
    changes = _changes(pins, parse_pins(text, lock.name))
    staged = lock.with_name(f"{lock.name}.new")
    staged.write_text(text, encoding="utf-8")
    staged.replace(lock)
    return changes


def _changes(before: Iterable[Pin], after: Iterable[Pin]) -> list[str]:
    old = {(pin.name, pin.marker): pin for pin in before}
    new = {(pin.name, pin.marker): pin for pin in after}
    changes = [f"- {pin.requirement}" for key, pin in old.items() if key not in new]
    for key, pin in new.items():
        if key not in old:
            changes.append(f"+ {pin.requirement}")
        elif pin.requirement != old[key].requirement:
            changes.append(f"{old[key].requirement} -> {pin.version}")
        elif pin.hashes != old[key].hashes:
            changes.append(f"{pin.requirement}: other files")
    return changes


def check(source: Path, lock: Path, command: str) -> None:
    """Raises PipError where `lock` was not made from `source` as it is now; `command` renews it."""
    differences = out_of_step(source.read_text(encoding="utf-8"), source.name, read_pins(lock))
    if differences:
        raise PipError(
            f"{lock.name} is out of step with {source.name}",
            "; ".join(differences),
            f"renew the lock and commit it with the .in file: {command}",
        )


def out_of_step(text: str, name: str, pins: Iterable[Pin]) -> list[str]:
    """How the pins differ from what the requirements in `text`, the file called `name`, ask for; in words."""
    pins = tuple(pins)
    asked: dict[str, list[tuple[int, Requirement]]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        requirement = _requirement(line, f"{name}:{number}")
        if requirement:
            asked.setdefault(canonicalize_name(requirement.name), []).append((number, requirement))

    differences = []
    for package, requirements in asked.items():
        locked = [pin for pin in pins if pin.name == package]
        for number, requirement in requirements:
            if not any(_meets(pin, requirement) for pin in locked):
                found = ", ".join(pin.requirement for pin in locked) or "nothing"
                differences.append(f"{name}:{number} asks for {requirement}, and the lock has {found}")
    locked_names = {pin.name for pin in pins}
    for pin in pins:
        reasons = locked_names | ({f"-r {name}"} if pin.name in asked else set())
        if pin.needed_by and reasons.isdisjoint(pin.needed_by):
            differences.append(f"{pin.place} pins {pin.requirement}, which nothing asks for")
    return differences


def _requirement(line: str, place: str) -> Requirement | None:
    text = re.sub(r"(^|\s)#.*", "", line).strip()
    if not text:
        return None
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise PipError(
            f"{place}: `{text}` is not a requirement", str(error), "write one requirement a line, and no options"
        ) from error


def _meets(pin: Pin, requirement: Requirement) -> bool:
    wanted = {canonicalize_name(extra) for extra in requirement.extras}
    return requirement.specifier.contains(pin.version, prereleases=True) and wanted <= set(pin.extras)


def _pip_configuration() -> Mapping[str, str]:
    """The settings that `pip download` would take from the machine's files and environment."""
    command = ["python3", "-m", "pip", "config", "list"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PipError(
            "cannot read pip's configuration",
            str(getattr(error, "stderr", None) or error),
            "install pip for the python3 that is first on PATH (Debian: apt install python3-pip)",
        ) from error
    return _parse_configuration(result.stdout)


def _parse_configuration(text: str) -> Mapping[str, str]:
    """`SECTION.OPTION='VALUE'` lines; the environment (":env:") outdoes `download`, which outdoes `global`."""
    ranked: dict[str, dict[str, str]] = {"global": {}, "download": {}, ":env:": {}}
    for line in text.splitlines():
        match = re.fullmatch(r"(global|download|:env:)\.([\w-]+)=(.+)", line)
        if match:
            ranked[match[1]][match[2]] = str(ast.literal_eval(match[3]))
    return {**ranked["global"], **ranked["download"], **ranked[":env:"]}


def _uv_environment(configuration: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The same settings by uv's names; what the environment already says to uv stays."""
    names = dict(_UV_NAMES)
    if configuration.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        names |= _UV_NAMES_WITHOUT_INDEX
    return {
        uv_name: configuration[option]
        for option, uv_name in names.items()
        if configuration.get(option) and uv_name not in environment
    }


def main(arguments: list[str]) -> int:
    """`lock COMMAND SOURCE LOCK [--check | OPTION OF UV...]`, paths from the workspace's root."""
    command, source_name, lock_name, *options = arguments
    root = Path(os.environ.get("BUILD_WORKSPACE_DIRECTORY", "."))
    source, lock = root / source_name, root / lock_name
    try:
        if options == ["--check"]:
            check(source, lock, command)
        else:
            changes = renew(source, lock, command, options)
            print("\n".join(changes) or f"{lock_name} stays as it is", file=sys.stderr)
    except PipError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
