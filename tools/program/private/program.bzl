"""A Python program that starts in one step and always runs on this machine, whatever images are built for."""

load("@rules_python//python:defs.bzl", "PyInfo")

def _this_machine_impl(settings, _attr):
    # `--platforms` says what images are built for; the program that handles them is for whoever calls it. Without the
    # flag nothing changes, so that the program's outputs stay where they are.
    host = [settings["//command_line_option:host_platform"]]
    platforms = settings["//command_line_option:platforms"]
    return {"//command_line_option:platforms": host if platforms else platforms}

this_machine = transition(
    implementation = _this_machine_impl,
    inputs = [
        "//command_line_option:host_platform",
        "//command_line_option:platforms",
    ],
    outputs = ["//command_line_option:platforms"],
)

# Attributes that a rule with `cfg = this_machine` needs to call declare_program().
PROGRAM_ATTRS = {
    "_allowlist_function_transition": attr.label(
        default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
    ),
    "_template": attr.label(
        allow_single_file = True,
        default = "//tools/program/private:program.py.tpl",
    ),
}

def declare_program(ctx, *, module, deps, arguments = [], runfiles = None):
    """Declares the executable of the rule: it runs the function `main()` of a module.

    Unlike a py_binary it is the program itself: a py_binary starts Python for its bootstrap, a shell to look for an
    interpreter, and Python again. Measured on a re-tag without latency: 145 ms through the bootstrap, 102 ms without.

    Args:
      ctx: context of an executable rule with PROGRAM_ATTRS.
      module: full name of the module.
      deps: list of targets with PyInfo: the module and all that it imports.
      arguments: list of strings that stand before the user's; `{RUNFILES}` is the folder of the runfiles.
      runfiles: runfiles object with further files.

    Returns:
      DefaultInfo
    """
    program = ctx.actions.declare_file(ctx.label.name)
    imports = depset(transitive = [dep[PyInfo].imports for dep in deps])
    ctx.actions.expand_template(
        template = ctx.file._template,
        output = program,
        substitutions = {
            "[\"{ARGUMENTS}\"]": json.encode(arguments),
            "[\"{IMPORTS}\"]": json.encode(imports.to_list()),
            "{MODULE}": module,
        },
        is_executable = True,
    )
    own = runfiles or ctx.runfiles()
    return DefaultInfo(
        executable = program,
        runfiles = own.merge_all([dep[DefaultInfo].default_runfiles for dep in deps]),
    )

def _python_program_impl(ctx):
    return [declare_program(ctx, module = ctx.attr.module, deps = ctx.attr.deps)]

python_program = rule(
    implementation = _python_program_impl,
    doc = "Runs the function `main()` of a module, on this machine.",
    cfg = this_machine,
    attrs = {
        "deps": attr.label_list(
            doc = "Libraries with the module and all that it imports.",
            providers = [PyInfo],
        ),
        "module": attr.string(
            doc = "Full name of the module.",
            mandatory = True,
        ),
    } | PROGRAM_ATTRS,
    executable = True,
)
