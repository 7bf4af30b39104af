"""`python3 release.zip VERB ...`: what starts the verbs that need no build, on any Python from 3.11 on.

It imports nothing before it knows what for, and can be read by an older Python, to say that it is too old.
"""

from __future__ import annotations

import sys

VERSION = "{VERSION}"

VERBS = {
    "release": ("release.command_line", "give an image that is in a registry the names of a release"),
    "inspect": ("release.inspect_command", "say what registries hold of an app, and where they differ"),
    "publish": ("release.publish_command", "push the images of an artifact, which build has made, as a release"),
    "notes": ("release.notes_command", "write down for people where the images of a release are"),
    "doctor": ("release.doctor_command", "say what a registry offers, and whether a release can go there"),
}
"""For each verb the module whose main() runs it, and what it does."""

OUTSIDE = ("build", "changes", "plan")
"""Verbs that read the workspace by Bazel, or build in it."""


def main(arguments: list[str]) -> int:
    """Run the verb that the first word names, and return the exit status."""
    verb = arguments[0] if arguments else "--help"
    if verb == "--version":
        print("slipway " + VERSION)
        return 0
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts it chooses the Python
        return fail(
            "Cannot run " + sys.argv[0],
            "it needs Python 3.11 or later, and this is " + sys.version.split()[0],
            "Name a later one: python3.11 " + sys.argv[0],
        )
    if verb in ("-h", "--help", "help"):
        print(usage())
        return 0
    if verb not in VERBS:
        names = ", ".join(sorted(VERBS))
        if verb in OUTSIDE:
            todo = "Call it in the workspace: bazel run //release:" + verb + " -- ..."
            return fail("Cannot run " + verb, "it needs Bazel, and release.zip works without", todo)
        return fail("Cannot run " + repr(verb), "there is no such verb", "Name one of these: " + names + ".")
    from importlib import import_module

    return int(import_module(VERBS[verb][0]).main(arguments[1:]))


def usage() -> str:
    """What the program can do."""
    lines = ["Usage: python3 release.zip VERB [ARGUMENTS]", "       python3 release.zip --version", ""]
    lines += [f"  {verb:<9}{VERBS[verb][1]}" for verb in sorted(VERBS)]
    return "\n".join([*lines, "", "VERB --help says more. What needs a build is called by bazel run //release:VERB."])


def fail(what: str, why: str, todo: str) -> int:
    """Say what is wrong with the call."""
    sys.stderr.write(f"Error: {what}: {why}\n{todo}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
