"""Programs that people start with `bazel run`.

    python_program      runs a function of a module
    PROGRAM_ATTRS, declare_program, this_machine: for rules that make such programs
"""

load("//tools/program/private:program.bzl", _PROGRAM_ATTRS = "PROGRAM_ATTRS", _declare_program = "declare_program", _python_program = "python_program", _this_machine = "this_machine")

PROGRAM_ATTRS = _PROGRAM_ATTRS
declare_program = _declare_program
python_program = _python_program
this_machine = _this_machine
