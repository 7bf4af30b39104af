"""A Python library out of wheels."""

load("@rules_python//python:defs.bzl", "PyInfo")
load(":providers.bzl", "WheelInfo")

def _wheel_library_impl(ctx):
    directory = ctx.actions.declare_directory("site-packages")
    arguments = ctx.actions.args()
    arguments.add(directory.path)
    arguments.add_all(ctx.files.wheels)
    ctx.actions.run(
        executable = ctx.executable._unpack,
        arguments = [arguments],
        inputs = ctx.files.wheels,
        outputs = [directory],
        mnemonic = "WheelUnpack",
        progress_message = "Unpacking wheels of %s %s" % (ctx.attr.distribution, ctx.attr.version),
    )

    # Where it lies below the root of a runfiles tree.
    site_packages = (ctx.workspace_name + "/" + directory.short_path).removeprefix(ctx.workspace_name + "/../")
    files = depset([directory])
    runfiles = ctx.runfiles(transitive_files = files)
    return [
        DefaultInfo(
            files = files,
            runfiles = runfiles.merge_all([dep[DefaultInfo].default_runfiles for dep in ctx.attr.deps]),
        ),
        PyInfo(
            imports = depset([site_packages], transitive = [dep[PyInfo].imports for dep in ctx.attr.deps]),
            transitive_sources = depset(transitive = [dep[PyInfo].transitive_sources for dep in ctx.attr.deps]),
        ),
        WheelInfo(
            digests = ctx.attr.digests,
            directory = directory,
            distribution = ctx.attr.distribution,
            pure = ctx.attr.pure,
            site_packages = site_packages,
            size = ctx.attr.size,
            version = ctx.attr.version,
            wheels = ctx.files.wheels,
        ),
    ]

wheel_library = rule(
    implementation = _wheel_library_impl,
    doc = "Unpacks the wheels of one distribution into a folder on Python's search path. One in a package.",
    attrs = {
        "deps": attr.label_list(
            doc = "The Python libraries that the distribution needs.",
            providers = [PyInfo],
        ),
        "digests": attr.string_list(
            doc = "SHA-256 of each of `wheels`, in hexadecimal: by it the same wheel of another lock is known.",
        ),
        "distribution": attr.string(
            doc = "Normalised name of the distribution.",
            mandatory = True,
        ),
        "pure": attr.bool(
            doc = "Whether there is one wheel that fits every platform.",
        ),
        "size": attr.int(
            doc = "Bytes of the largest of the wheels.",
        ),
        "version": attr.string(
            doc = "Version of the distribution.",
            mandatory = True,
        ),
        "wheels": attr.label_list(
            doc = "The wheels: one, or one for each interpreter that may run the code.",
            allow_files = [".whl"],
            allow_empty = False,
            mandatory = True,
        ),
        "_unpack": attr.label(
            default = Label("//tools/pip:unpack"),
            executable = True,
            cfg = "exec",
        ),
    },
    provides = [PyInfo, WheelInfo],
)
