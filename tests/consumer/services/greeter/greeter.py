"""Prints a page."""

import platform
import sys

from services.greeter.page import render

if __name__ == "__main__":
    print(render(sys.argv[1] if len(sys.argv) > 1 else "world", platform.machine()))
