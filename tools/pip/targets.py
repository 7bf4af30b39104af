"""What wheels are chosen for: the machine that runs Bazel, and each platform of the images.

The names are also in `tools/pip/private/repositories.bzl`; the platforms of images are those of `//tools/platforms`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """One machine with its CPython versions.

    `glibc` is the newest minor version of glibc 2 that its wheels may ask for.
    """

    name: str
    machine: str
    pythons: tuple[str, ...]
    glibc: int

    def __str__(self) -> str:
        return f"{self.name} ({self.machine})"

    def platform_tags(self) -> tuple[str, ...]:
        """The platform tags that wheels may carry, the most wanted first (PEP 600 and the names before it)."""
        older = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
        tags = []
        for minor in range(self.glibc, 4, -1):
            tags.append(f"manylinux_2_{minor}_{self.machine}")
            if minor in older:
                tags.append(f"{older[minor]}_{self.machine}")
        return (*tags, f"linux_{self.machine}")

    def marker_environment(self, python: str) -> dict[str, str]:
        """What environment markers see there (PEP 508), save for the running kernel, which nobody knows beforehand."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{python}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux",
            "python_full_version": f"{python}.0",
            "python_version": python,
            "sys_platform": "linux",
        }


# An image runs the Python of Debian trixie; the host runs whichever its toolchain has.
TARGETS = {
    target.name: target
    for target in (
        Target("host", "x86_64", ("3.11", "3.12", "3.13", "3.14"), glibc=36),
        Target("linux_amd64", "x86_64", ("3.13",), glibc=41),
        Target("linux_arm64", "aarch64", ("3.13",), glibc=41),
    )
}
