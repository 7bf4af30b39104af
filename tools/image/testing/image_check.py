"""The test that an image_test is: files and settings of an image index are what its specification says."""

import argparse
import sys
from pathlib import Path

from tools.image.testing.checks import check_index
from tools.image.testing.report import describe
from tools.image.testing.spec_file import SpecError, parse_spec
from tools.image.testing.subject import Subject


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", type=Path, required=True, help="JSON that says where the image's files are")
    parser.add_argument("--spec", type=Path, required=True, help="what is expected")
    parser.add_argument("--spec-name", help="what to call it in messages; its path by default")
    parser.add_argument("--platform", action="append", help="a platform to look at; all by default")
    parser.add_argument(
        "--commands-elsewhere", action="store_true", help="another test runs the specification's commands"
    )
    options = parser.parse_args(arguments)

    subject = Subject.read(options.subject)
    spec_name = options.spec_name or str(options.spec)
    platforms = options.platform or list(subject.images)
    if unknown := [platform for platform in platforms if platform not in subject.images]:
        print(
            f"{subject.label} has no platform {', '.join(unknown)}; it has {', '.join(subject.images)}. "
            "Correct `platforms`."
        )
        return 1
    try:
        spec = parse_spec(options.spec.read_text(encoding="utf-8"), spec_name)
    except SpecError as error:
        print(f"Cannot use the specification of {subject.label}:\n{error}")
        return 1
    if spec.commands and not options.commands_elsewhere:
        print(
            f"{spec.commands[0].where}: commands would not be run: this image_test has no engine.\n"
            'Give it engine = "required", or "if_available", or take the commands out.'
        )
        return 1
    failures = check_index(subject, spec, platforms)
    if failures:
        print(f"{subject.label} is not what is expected of it:\n\n{describe(failures)}")
        return 1
    print(f"{subject.label} is what is expected of it, on {', '.join(platforms)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
