"""Programs that people start with `bazel run`.

    python_program      runs a function of a module
    python_zip          modules in one file, for machines without Bazel
    PROGRAM_ATTRS, declare_program, this_machine: for rules that make such programs
"""

load("//tools/program/private:program.bzl", _PROGRAM_ATTRS = "PROGRAM_ATTRS", _declare_program = "declare_program", _python_program = "python_program", _this_machine = "this_machine")
load("//tools/program/private:python_zip.bzl", _python_zip = "python_zip")

PROGRAM_ATTRS = _PROGRAM_ATTRS
declare_program = _declare_program
python_program = _python_program
python_zip = _python_zip
this_machine = _this_machine
