"""Starts a Python program in its image: the runfiles of the program are the folder that this file lies in."""

import os
import runpy
import sys

MAIN = "{MAIN}"
IMPORTS = ["{IMPORTS}"]

root = os.path.dirname(os.path.abspath(__file__))
repositories = [entry.path for entry in sorted(os.scandir(root), key=lambda entry: entry.name) if entry.is_dir()]

# The order of Bazel's own start-up: the tree, what libraries ask for, each repository. Python has put the tree first.
sys.path[1:1] = IMPORTS + repositories
os.environ["RUNFILES_DIR"] = root
# For what the program starts itself, as Bazel's own start-up does it.
os.environ["PYTHONPATH"] = os.pathsep.join([root, *IMPORTS, *repositories])
sys.argv[0] = os.path.join(root, MAIN)
runpy.run_path(sys.argv[0], run_name="__main__")
