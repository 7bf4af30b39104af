"""The rule for an image of one platform: a configuration and a manifest, made of JSON alone."""

load("//tools/image/private:providers.bzl", "ImageInfo", "LayerInfo", "LayersInfo")
load("//tools/platforms:defs.bzl", "ARCHITECTURE_ATTRS", "target_architecture")

def _image_impl(ctx):
    base = ctx.attr.base[ImageInfo] if ctx.attr.base else None
    platform = "linux/" + target_architecture(ctx)
    if base and base.platform != platform:
        fail("%s is for %s, and its base %s is for %s. Give it a base that is built for every platform of the image." % (ctx.label, platform, ctx.attr.base.label, base.platform))

    layers = list(base.layers) if base else []
    entrypoint = ctx.attr.entrypoint
    for target in ctx.attr.layers:
        if LayersInfo in target:
            layers += target[LayersInfo].layers
            entrypoint = entrypoint or target[LayersInfo].entrypoint
        else:
            layers.append(target[LayerInfo])

    config = ctx.actions.declare_file(ctx.label.name + ".config.json")
    manifest = ctx.actions.declare_file(ctx.label.name + ".manifest.json")
    descriptor = ctx.actions.declare_file(ctx.label.name + ".descriptor.json")
    metadata = [layer.metadata for layer in layers]
    args = ctx.actions.args()
    args.add("manifest")
    args.add("--platform", platform)
    args.add("--config", config)
    args.add("--manifest", manifest)
    args.add("--descriptor", descriptor)
    if base:
        args.add("--base-config", base.config)
    args.add_all(metadata, before_each = "--layer")
    args.add_all(entrypoint, format_each = "--entrypoint=%s")
    args.add_all(ctx.attr.cmd, format_each = "--cmd=%s")
    args.add_all(["%s=%s" % item for item in ctx.attr.env.items()], format_each = "--env=%s")
    args.add_all(["%s=%s" % item for item in ctx.attr.labels.items()], format_each = "--label=%s")
    args.add(ctx.attr.user, format = "--user=%s")
    args.add(ctx.attr.workdir, format = "--workdir=%s")
    ctx.actions.run(
        executable = ctx.executable._document_tool,
        arguments = [args],
        inputs = metadata + ([base.config] if base else []),
        outputs = [config, manifest, descriptor],
        mnemonic = "ImageManifest",
        progress_message = "Describing image %{label} for " + platform,
    )
    return [
        DefaultInfo(files = depset([descriptor])),
        OutputGroupInfo(
            blobs = depset([manifest, config] + [layer.blob for layer in layers]),
            descriptor = depset([descriptor]),
        ),
        ImageInfo(
            config = config,
            descriptor = descriptor,
            layers = layers,
            manifest = manifest,
            platform = platform,
        ),
    ]

image = rule(
    implementation = _image_impl,
    doc = """An image for the platform that it is configured for (OCI image-spec, manifest.md and config.md).

What it says depends on its layers and attributes alone: no time, user, path, version or commit goes into it. A setting
that is left empty is taken from the base; `env` and `labels` are added to the base's.""",
    attrs = {
        "base": attr.label(
            doc = "The image that this one stands on.",
            providers = [ImageInfo],
        ),
        "cmd": attr.string_list(doc = "Arguments for the entrypoint where the user gives none."),
        "entrypoint": attr.string_list(doc = "The command that is started; by default that of the layers."),
        "env": attr.string_dict(doc = "Environment variables."),
        "labels": attr.string_dict(doc = "Labels of the configuration."),
        "layers": attr.label_list(
            doc = "Layers on top of the base, bottom first.",
            providers = [[LayerInfo], [LayersInfo]],
        ),
        "user": attr.string(doc = "User, or user:group, by name or number."),
        "workdir": attr.string(doc = "Absolute path of the working directory."),
        "_document_tool": attr.label(
            cfg = "exec",
            default = "//tools/image:document_tool",
            executable = True,
        ),
    } | ARCHITECTURE_ATTRS,
    provides = [ImageInfo],
)
