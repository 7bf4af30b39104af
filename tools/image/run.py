"""Runs a built image in a Docker engine: `bazel run :NAME_image_run -- ARGUMENTS`."""

import os
import sys
from pathlib import Path

from tools.image.built import find_image, read_built_index
from tools.image.engine import EngineError, host_platform, load
from tools.oci.errors import OciError
from tools.oci.manifest import Platform


def main() -> None:
    """Loads the image and becomes `docker run`.

    Not a click program: every argument of the user is the container's own, `--help` as well. Before them stand those of
    the target: `--image=FOLDER`, `--tag=TAG`, options of `docker run`, and `--`.
    """
    arguments = sys.argv[1:]
    end = arguments.index("--")
    (folder, tag), options = (argument.partition("=")[2] for argument in arguments[:2]), arguments[2:end]
    try:
        # As for docker itself.
        wanted = os.environ.get("DOCKER_DEFAULT_PLATFORM")
        platform = Platform.parse(wanted) if wanted else host_platform()
        index, blobs = read_built_index(Path(folder))
        image = find_image(blobs, index, platform)
        load(blobs, image, tag)
    except (OciError, EngineError, ValueError) as error:
        sys.exit(f"Error: {error}")
    if os.isatty(0) and os.isatty(1):
        options = ["--interactive", "--tty", *options]
    command = ["docker", "run", "--rm", f"--platform={platform}", *options, tag, *arguments[end + 1 :]]
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        sys.exit(f"Error: cannot run {tag}: there is no docker on PATH. Install Docker's command line.")
