"""A layer of Debian packages."""

load("//tools/image:defs.bzl", "LayerInfo")

_StackInfo = provider(
    doc = "A layer of Debian packages together with those that it stands on.",
    fields = {
        "exclude": "list of strings: the patterns of what is left out.",
        "packages": "list of File: the packages, bottom first, each once.",
    },
)

def _debian_layer_impl(ctx):
    below = ctx.attr.below[_StackInfo] if ctx.attr.below else _StackInfo(exclude = [], packages = [])
    present = {package: True for package in below.packages}
    packages = [package for package in ctx.files.packages if package not in present]
    exclude = below.exclude + ctx.attr.exclude
    layer = LayerInfo(
        blob = ctx.actions.declare_file(ctx.label.name + ".layer.tar.gz"),
        key = None,
        listing = ctx.actions.declare_file(ctx.label.name + ".layer.ndjson"),
        metadata = ctx.actions.declare_file(ctx.label.name + ".layer.json"),
    )
    args = ctx.actions.args()
    args.add("--blob", layer.blob)
    args.add("--metadata", layer.metadata)
    args.add("--listing", layer.listing)
    args.add("--created-by", "Debian packages of %s" % ctx.label.name)
    args.add_all(exclude, format_each = "--exclude=%s")
    args.add_all(below.packages, format_each = "--below=%s")
    args.add_all(packages)
    args.use_param_file("@%s")
    args.set_param_file_format("multiline")
    ctx.actions.run(
        executable = ctx.executable._layer_tool,
        arguments = [args],
        inputs = below.packages + packages,
        outputs = [layer.blob, layer.listing, layer.metadata],
        mnemonic = "DebianLayer",
        progress_message = "Installing Debian packages into layer %{label}",
    )
    return [
        DefaultInfo(files = depset([layer.metadata])),
        OutputGroupInfo(blobs = depset([layer.blob]), listing = depset([layer.listing])),
        layer,
        _StackInfo(exclude = exclude, packages = below.packages + packages),
    ]

debian_layer = rule(
    implementation = _debian_layer_impl,
    doc = """The root file system that Debian packages make when they are installed together, as one layer.

Files have the owners and modes of their packages, and dpkg's database lists them, so that dpkg, apt and scanners know what
is there. Documentation and translations are left out, copyright files stay. Scripts of packages do not run; what they
would do that matters in a container is done for them (see tools/debian/README.md).

A layer that stands on another one holds what that one lacks. An image names both, the lower one first; or it stands on
an image that has the lower one.""",
    attrs = {
        "below": attr.label(
            doc = "The `debian_layer` that this one stands on: packages that it has are not written again, and what it excludes stays left out.",
            providers = [_StackInfo],
        ),
        "exclude": attr.string_list(
            doc = "Further paths to leave out: patterns as of dpkg's path-exclude (`/usr/lib/*/gconv/*`; a star matches slashes too).",
        ),
        "packages": attr.label_list(
            doc = "Package files for the architecture of the target platform: `//:NAME` of a repository that the extension made.",
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
