"""One layer as it is for each platform."""

load("//tools/image:defs.bzl", "LayerInfo")
load("//tools/platforms:defs.bzl", "DEFAULT_PLATFORMS", "image_platforms_transition")

def _layer_per_platform_impl(ctx):
    files = []
    for platform, layer in sorted(ctx.split_attr.layer.items()):
        info = layer[LayerInfo]
        for extension, target in (("tar.gz", info.blob), ("json", info.metadata), ("ndjson", info.listing)):
            file = ctx.actions.declare_file("%s/%s.%s" % (ctx.label.name, platform.replace("/", "-"), extension))
            ctx.actions.symlink(output = file, target_file = target, progress_message = "Linking layer %{label}")
            files.append(file)
    return DefaultInfo(files = depset(files), runfiles = ctx.runfiles(files))

_layer_per_platform = rule(
    implementation = _layer_per_platform_impl,
    attrs = {
        "layer": attr.label(
            cfg = image_platforms_transition,
            mandatory = True,
            providers = [LayerInfo],
        ),
        "platforms": attr.label_keyed_string_dict(mandatory = True),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
)

def layer_per_platform(name, layer):
    """Files `name`/linux-amd64.tar.gz, .json (its metadata) and .ndjson (its listing), and so for linux-arm64.

    Args:
      name: name of the target.
      layer: the layer.
    """
    _layer_per_platform(
        name = name,
        layer = layer,
        platforms = {label: platform for platform, label in DEFAULT_PLATFORMS.items()},
        testonly = True,
    )
