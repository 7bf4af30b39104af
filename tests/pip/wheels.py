"""Small real wheels, lines of a lock that pin them, and an index made of a folder."""

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path


def write_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    tag: str = "py3-none-any",
    files: Mapping[str, str] | None = None,
    requires: Iterable[str] = (),
) -> Path:
    """Writes a wheel with `files`, by default one module; `requires` are its Requires-Dist."""
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: >=3.8\n"
    metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    metadata += "".join(f"Provides-Extra: {extra}\n" for extra in ("fast", "all"))
    module = name.replace("-", "_")
    dist_info = f"{module}-{version}.dist-info"
    content = {
        **(files if files is not None else {f"{module}/__init__.py": f"VERSION = {version!r}\n"}),
        f"{dist_info}/METADATA": metadata,
        f"{dist_info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{dist_info}/RECORD": "",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in content.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return path


def native_wheels(folder: Path, name: str, machine: str, pythons: Iterable[str], version: str = "1.0") -> list[Path]:
    """One wheel for each interpreter ("313"), with an extension module named as theirs are."""
    module = name.replace("-", "_")
    return [
        write_wheel(
            folder,
            name,
            version,
            tag=f"cp{python}-cp{python}-manylinux_2_17_{machine}",
            files={f"{module}/__init__.py": "", f"{module}/_fast.cpython-{python}-{machine}-linux-gnu.so": python},
        )
        for python in pythons
    ]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pin(*wheels: Path, extras: str = "", marker: str = "", via: str = "") -> str:
    """The lines of a lock that pin the package of `wheels` to their hashes."""
    name, version, *_ = wheels[0].name.split("-")
    lines = [f"{name}{extras}=={version}" + (f" ; {marker}" if marker else "")]
    lines += [f"    --hash=sha256:{sha256(wheel)}" for wheel in wheels]
    return " \\\n".join(lines) + "\n" + (f"    # via {via}\n" if via else "")


def write_index(folder: Path, wheels: Iterable[Path]) -> str:
    """An index (PEP 503) of `wheels` in `folder`; returns its URL."""
    for wheel in wheels:
        name = wheel.name.split("-")[0].replace("_", "-")
        page = folder / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        with page.open("a") as out:
            out.write(f'<a href="{wheel.as_uri()}#sha256={sha256(wheel)}">{wheel.name}</a>\n')
    return folder.as_uri()
