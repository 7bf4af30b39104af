"""Prints a greeting that is worth keeping."""

import platform
import sys

from services.greeter.page import render

if __name__ == "__main__":
    print(render(sys.argv[1], platform.machine()))
