"""A layer of Debian packages."""

load("//tools/image:defs.bzl", "LayerInfo")

def _debian_layer_impl(ctx):
    blob = ctx.actions.declare_file(ctx.label.name + ".layer.tar.gz")
    metadata = ctx.actions.declare_file(ctx.label.name + ".layer.json")
    args = ctx.actions.args()
    args.add("--blob", blob)
    args.add("--metadata", metadata)
    args.add("--created-by", "Debian packages of %s" % ctx.label.name)
    args.add_all(ctx.attr.exclude, format_each = "--exclude=%s")
    args.add_all(ctx.files.packages)
    args.use_param_file("@%s")
    args.set_param_file_format("multiline")
    ctx.actions.run(
        executable = ctx.executable._layer_tool,
        arguments = [args],
        inputs = ctx.files.packages,
        outputs = [blob, metadata],
        mnemonic = "DebianLayer",
        progress_message = "Installing Debian packages into layer %{label}",
    )
    return [
        DefaultInfo(files = depset([metadata])),
        OutputGroupInfo(blobs = depset([blob])),
        LayerInfo(blob = blob, metadata = metadata),
    ]

debian_layer = rule(
    implementation = _debian_layer_impl,
    doc = """The root file system that Debian packages make when they are installed together, as one layer.

Files have the owners and modes of their packages, and dpkg's database lists them, so that dpkg, apt and scanners know what
is there. Documentation and translations are left out, copyright files stay. Scripts of packages do not run; what they
would do that matters in a container is done for them (see tools/debian/README.md).""",
    attrs = {
        "exclude": attr.string_list(
            doc = "Further paths to leave out: patterns as of dpkg's path-exclude (`/usr/lib/*/gconv/*`; a star matches slashes too).",
        ),
        "packages": attr.label_list(
            doc = "Package files for the architecture of the target platform: `//:packages` of a repository that the extension made.",
            allow_files = [".deb"],
            mandatory = True,
        ),
        "_layer_tool": attr.label(
            default = "//tools/debian:layer_tool",
            cfg = "exec",
            executable = True,
        ),
    },
    provides = [LayerInfo],
)
