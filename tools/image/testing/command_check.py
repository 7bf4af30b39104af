"""The test that the commands of an image_test are: containers of the image do what its specification says."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import docker.errors

from tools.image.engine import EngineError
from tools.image.testing.checks import shortened
from tools.image.testing.container import CannotRun, Engine, NoEngine, Outcome
from tools.image.testing.report import Failure, describe, in_ci
from tools.image.testing.spec import Command
from tools.image.testing.spec_file import SpecError, parse_spec
from tools.image.testing.subject import Subject
from tools.oci.digest import digest_of
from tools.oci.errors import OciError


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subject", type=Path, required=True, help="JSON that says where the image's files are")
    parser.add_argument("--spec", type=Path, required=True, help="what is expected")
    parser.add_argument("--spec-name", help="what to call it in messages; its path by default")
    parser.add_argument("--platform", action="append", help="a platform to run on; all by default")
    parser.add_argument(
        "--engine", choices=("required", "if_available"), required=True, help="what it means that there is no engine"
    )
    options = parser.parse_args(arguments)

    subject = Subject.read(options.subject)
    spec_name = options.spec_name or str(options.spec)
    try:
        spec = parse_spec(options.spec.read_text(encoding="utf-8"), spec_name)
    except SpecError as error:
        print(f"Cannot use the specification of {subject.label}:\n{error}")
        return 1
    if not spec.commands:
        print(f"{spec_name} has no commands, so there is nothing to run. Leave out `engine`.")
        return 1
    platforms = options.platform or list(subject.images)
    asked = {*platforms, *(platform for command in spec.commands for platform in command.platforms)}
    if unknown := sorted(asked - set(subject.images)):
        print(f"{subject.label} has no platform {', '.join(unknown)}; it has {', '.join(subject.images)}.")
        return 1
    runs = [
        (command, platform)
        for command in spec.commands
        for platform in platforms
        if not command.platforms or platform in command.platforms
    ]
    if not runs:
        print(f"No command of {spec_name} is for {', '.join(platforms)}. Correct their platforms, or the test's.")
        return 1
    try:
        failures, not_run = _run_all(Engine(), subject, runs)
    except NoEngine as error:
        failures = []
        not_run = [f"no Docker engine answers: {error}. Start one, or name its socket in DOCKER_HOST."]
    except (EngineError, OciError) as error:
        print(f"{subject.label}: {error}")
        return 1
    for reason in not_run:
        print(f"NOT RUN: {reason}")
    if failures:
        print(f"\n{subject.label} does not do what is expected of it:\n\n{describe(failures)}")
    if not_run and (options.engine == "required" or in_ci()):
        why = "this test requires an engine" if options.engine == "required" else "in CI nothing may be left out"
        print(f"Commands were not run, and {why}.")
        return 1
    return 1 if failures else 0


def _run_all(
    engine: Engine, subject: Subject, runs: Sequence[tuple[Command, str]]
) -> tuple[list[tuple[str, Failure]], list[str]]:
    """Failures with their platforms, and what could not be run."""
    assert subject.index is not None
    failures, not_run = [], []
    for platform in dict.fromkeys(platform for _, platform in runs):
        with engine.loaded(subject.index, _blobs(subject, platform), platform) as name:
            for command in (command for command, where in runs if where == platform):
                try:
                    outcome = engine.run(name, platform, command)
                except CannotRun as error:
                    not_run.append(
                        f"{platform}: the engine cannot run its programs ({error}). Register an emulator for it "
                        f"(QEMU's binfmt), or give {command.where} a list of `platforms`."
                    )
                    break
                except docker.errors.DockerException as error:
                    failures.append((platform, Failure(str(command), "to start", str(error), where=command.where)))
                    continue
                unmet = list(check_outcome(command, outcome))
                failures += [(platform, failure) for failure in unmet]
                print(f"{'FAILED' if unmet else 'ok':<6} {platform}: {command} ({outcome.seconds:.1f} s)")
    return failures, not_run


def check_outcome(command: Command, outcome: Outcome) -> Iterator[Failure]:
    """What a container did not do that it should have."""

    def failure(expected: str, found: str) -> Failure:
        return Failure(str(command), expected, found, where=command.where)

    printed = f"standard output: {shortened(outcome.stdout)}\nstandard error: {shortened(outcome.stderr)}"
    if outcome.exit is None:
        yield failure(f"to end within {command.timeout:g} s", f"still running\n{printed}")
        return
    if outcome.exit != command.exit:
        yield failure(f"exit status {command.exit}", f"exit status {outcome.exit}\n{printed}")
    for name, text, found in (
        ("standard output", command.stdout, outcome.stdout),
        ("standard error", command.stderr, outcome.stderr),
    ):
        for expected in text.unmet(found) if text else ():
            yield failure(f"{name}: {expected}", shortened(found))


def _blobs(subject: Subject, platform: str) -> dict[str, Path]:
    """The blobs of one platform's image, and the index, by digest."""
    image = subject.images[platform]
    documents = [path for path in (subject.index, image.manifest, image.config) if path]
    blobs = {digest_of(path.read_bytes()): path for path in documents}
    return blobs | {layer.digest: layer.blob for layer in image.layers if layer.blob}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
