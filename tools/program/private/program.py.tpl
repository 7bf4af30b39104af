#!/usr/bin/env python3
"""Starts {MODULE} out of its runfiles."""

import os
import sys

if sys.version_info < (3, 11):
    sys.exit(f"error: this needs Python 3.11 or later, and python3 on PATH is {sys.version.split()[0]}")

# Compiled modules beside Bazel's outputs would be outputs that Bazel does not know.
sys.dont_write_bytecode = True

ARGUMENTS = ["{ARGUMENTS}"]
IMPORTS = ["{IMPORTS}"]

# The tree beside this file, or the one that this file is a part of.
root = os.path.abspath(__file__) + ".runfiles"
if not os.path.isdir(root):
    root = root.rpartition(".runfiles/")[0] + ".runfiles"

sys.argv[1:1] = [argument.replace("{RUNFILES}", root) for argument in ARGUMENTS]

# In place of this file's own folder, whose files are not meant to be modules.
sys.path[0:1] = [os.path.join(root, path) for path in IMPORTS]

from {MODULE} import main  # noqa: E402 - not before there is a search path

main()
