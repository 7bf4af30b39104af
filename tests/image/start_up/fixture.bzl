"""A program as rules_python 1.4 and later make it, which cannot run here: what it is started by is among its runfiles."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("@rules_python//python:defs.bzl", "PyInfo", "PyRuntimeInfo")
load("//tools/image:defs.bzl", "ImageInfo")

def _bootstrapped_program_impl(ctx):
    def write(name, content):
        file = ctx.actions.declare_file(name)
        ctx.actions.write(file, content, is_executable = True)
        return file

    name = ctx.label.name
    executable = write(name, "#!/bin/sh\n")
    start_up = [
        write("_%s_stage2_bootstrap.py" % name, ""),
        write("_%s.venv/pyvenv.cfg" % name, ""),
        write("_%s.venv/lib/python3.13/site-packages/bazel.pth" % name, "import _bazel_site_init\n"),
        # The build's time and user, where it is stamped.
        write(name + ".build_data.txt", "BUILD_TIMESTAMP 1\n"),
    ]
    python = ctx.actions.declare_symlink("_%s.venv/bin/python3" % name)
    ctx.actions.symlink(output = python, target_path = "../../../interpreter")
    interpreter = ctx.file.interpreter
    return [
        DefaultInfo(
            executable = executable,
            runfiles = ctx.runfiles(files = [executable, interpreter, python] + start_up + ctx.files.srcs),
        ),
        PyInfo(transitive_sources = depset(ctx.files.srcs)),
        PyRuntimeInfo(
            files = depset([interpreter]),
            interpreter = interpreter,
            python_version = "PY3",
        ),
    ]

bootstrapped_program = rule(
    implementation = _bootstrapped_program_impl,
    attrs = {
        "interpreter": attr.label(allow_single_file = True),
        "main": attr.label(allow_single_file = True),
        "srcs": attr.label_list(allow_files = True),
    },
    executable = True,
)

def _only_the_program_is_in_the_layer_impl(ctx):
    env = analysistest.begin(ctx)
    layers = analysistest.target_under_test(env)[ImageInfo].layers
    asserts.equals(env, 1, len(layers))
    action = [action for action in analysistest.target_actions(env) if layers[0].blob in action.outputs.to_list()][0]
    placed = [
        file.short_path
        for file in action.inputs.to_list()
        if file.short_path.startswith("tests/") and not file.basename.endswith((".params", "repo_mapping"))
    ]
    asserts.equals(
        env,
        ["tests/image/start_up/fixture.bzl"],
        sorted([path for path in placed if "layer_tool" not in path]),
    )
    asserts.true(env, layers[0].key != None, "Nothing but sources: the layer is the same for every platform.")
    return analysistest.end(env)

only_the_program_is_in_the_layer_test = analysistest.make(_only_the_program_is_in_the_layer_impl)
