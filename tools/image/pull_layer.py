"""Fetches one layer of a base image from its registry. Called by the build, never by people."""

import argparse
import sys
from pathlib import Path

from tools.oci.client import RegistryClient
from tools.oci.errors import CredentialsError, OciError, Unauthorized
from tools.oci.manifest import OCI_LAYER, Descriptor
from tools.oci.reference import Repository

# The action has its own environment; the login may be there for everybody else.
_LOGIN_ELSEWHERE = "    Where $DOCKER_CONFIG says which login counts, build with --action_env=DOCKER_CONFIG."


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", type=Repository.parse, required=True)
    parser.add_argument("--digest", required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--insecure", action="store_true", help="allow plain HTTP")
    parser.add_argument("--out", type=Path, required=True, help="where it goes")
    options = parser.parse_args(arguments)

    blob = Descriptor(OCI_LAYER, options.digest, options.size)
    try:
        with (
            RegistryClient(options.repository.registry, insecure=options.insecure) as client,
            options.out.open("wb") as out,
        ):
            client.download_blob(options.repository, blob, out)
    except OciError as error:
        print(f"{error.what}\n  Why: {error.why}\n  What to do: {error.remedy}", file=sys.stderr)
        if isinstance(error, CredentialsError | Unauthorized):
            print(_LOGIN_ELSEWHERE, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
