"""Python modules in one file, for machines without Bazel."""

load("@rules_python//python:defs.bzl", "PyInfo")
load(":program.bzl", "PROGRAM_ATTRS", "this_machine")

def _python_zip_impl(ctx):
    output = ctx.actions.declare_file(ctx.attr.out)
    sources = [dep[PyInfo].transitive_sources for dep in ctx.attr.deps]

    # Wheels are folders among the runfiles, and no sources.
    folders = [
        file
        for dep in ctx.attr.deps
        for file in dep[DefaultInfo].default_runfiles.files.to_list()
        if file.is_directory
    ]
    files = depset(folders, transitive = sources)
    workspace = ctx.workspace_name

    def runfile(file):
        path = (workspace + "/" + file.short_path).replace(workspace + "/../", "", 1)
        return "--file=%s=%s" % (path, file.path)

    arguments = ctx.actions.args()
    arguments.use_param_file("@%s", use_always = True)
    arguments.set_param_file_format("multiline")
    arguments.add(output, format = "--output=%s")
    arguments.add(ctx.file.main, format = "--main=%s")
    arguments.add(ctx.attr.version, format = "--version=%s")
    arguments.add_all(depset(transitive = [dep[PyInfo].imports for dep in ctx.attr.deps]), format_each = "--root=%s")
    arguments.add_all(files, map_each = runfile, allow_closure = True)
    ctx.actions.run(
        executable = ctx.executable._pack,
        arguments = [arguments],
        inputs = depset([ctx.file.main], transitive = [files]),
        outputs = [output],
        mnemonic = "PythonZip",
        progress_message = "Packing Python modules into %{output}",
    )
    return [DefaultInfo(
        executable = output,
        files = depset([output]),
    )]

python_zip = rule(
    implementation = _python_zip_impl,
    doc = """One file that any Python runs: `python3 FILE`.

It has the Python sources of its dependencies, wheels included. Extension modules and data are left out, so what is packed has to work without
them.""",
    # Wheels are taken for this machine; what is packed of them is the same for all.
    cfg = this_machine,
    attrs = PROGRAM_ATTRS | {
        "deps": attr.label_list(
            doc = "Libraries with all that the program imports.",
            providers = [PyInfo],
        ),
        "main": attr.label(
            doc = "What runs first. `{VERSION}` in it is replaced by `version`.",
            allow_single_file = [".py"],
            mandatory = True,
        ),
        "out": attr.string(
            doc = "Name of the file.",
            mandatory = True,
        ),
        "version": attr.string(
            doc = "What the program calls its version.",
            mandatory = True,
        ),
        "_pack": attr.label(
            default = "//tools/program:python_zip",
            executable = True,
            cfg = "exec",
        ),
    },
    executable = True,
)
