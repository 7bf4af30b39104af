"""The rule for an image of one platform: layers, and what a container of it is to be like."""

load("//tools/image/private:label.bzl", "shown")
load("//tools/image/private:program_layers.bzl", "PROGRAM_ATTRS", "program_layers")
load("//tools/image/private:providers.bzl", "ImageInfo", "LayerInfo")
load("//tools/platforms:defs.bzl", "target_architecture")

def _image_impl(ctx):
    base = ctx.attr.base[ImageInfo] if ctx.attr.base else None
    platform = "linux/" + target_architecture(ctx)
    if base and base.platform != platform:
        fail("%s is for %s, and its base %s is for %s. Give it a base that is built for every platform of the image." % (shown(ctx.label), platform, shown(ctx.attr.base.label), base.platform))

    _check_settings(ctx)

    program = program_layers(ctx) if ctx.attr.binary else struct(layers = [], entrypoint = [], env = {})
    layers = (base.layers if base else []) + program.layers + [layer[LayerInfo] for layer in ctx.attr.layers]
    settings = {
        "annotations": ctx.attr.annotations,
        "cmd": ctx.attr.cmd,
        "entrypoint": ctx.attr.entrypoint or program.entrypoint,
        "env": program.env | ctx.attr.env,
        "exposed_ports": ctx.attr.exposed_ports,
        "labels": ctx.attr.labels,
        "stop_signal": ctx.attr.stop_signal,
        "user": ctx.attr.user,
        "workdir": ctx.attr.workdir,
    }
    return [
        DefaultInfo(files = depset([layer.metadata for layer in layers])),
        OutputGroupInfo(blobs = depset([layer.blob for layer in layers])),
        ImageInfo(
            layers = layers,
            platform = platform,
            settings = (base.settings if base else []) + [struct(settings = settings)],
        ),
    ]

def _check_settings(ctx):
    """Fails for what no engine would take, or what would mean something else than it says."""
    for name in ctx.attr.env:
        if not name or "=" in name:
            fail("%s: `env` has the name %r, which no environment can hold. Write `{\"NAME\": \"value\"}`." % (shown(ctx.label), name))
    for port in ctx.attr.exposed_ports:
        number, _, protocol = port.partition("/")
        if not number.isdigit() or not 0 < int(number) or int(number) > 65535 or protocol not in ("", "sctp", "tcp", "udp"):
            fail("%s: `exposed_ports` has %r, which is no port. Write `8080/tcp` or `53/udp`." % (shown(ctx.label), port))
    if ctx.attr.workdir and not ctx.attr.workdir.startswith("/"):
        fail("%s: `workdir` is %r. Write a path from the root: `/%s`." % (shown(ctx.label), ctx.attr.workdir, ctx.attr.workdir))
    signal = ctx.attr.stop_signal
    if signal and not signal.isdigit() and not (signal.startswith("SIG") and signal.isupper()):
        fail("%s: `stop_signal` is %r. Write a signal such as `SIGINT`, or its number." % (shown(ctx.label), signal))

image = rule(
    implementation = _image_impl,
    doc = """An image for the platform that it is configured for, as a description: an `image_index` makes its documents.

What it says depends on its layers and attributes alone: no time, user, path, version or commit goes into it. A setting
that is left empty is taken from the base; `env`, `labels` and `exposed_ports` are added to the base's; an `entrypoint`
drops the base's `cmd`, which was made for another one (OCI image-spec, config.md).

The layers of `binary` are one with its own files, and for a py_binary one for each wheel that it needs. Its runfiles lie in
/app, complete: files, symbolic links, empty files, the repository mapping and data. Its `env` becomes the image's; its
`args` do not: see `cmd`.

A py_binary is started by a launcher that names its interpreter, its search path and its main file outright: no shell, no
`env`, and no Bazel bootstrap takes part. Its own layer is written once for all platforms if it holds nothing but sources. A
py_binary among the data of another is there, but its own start-up needs more than the image has.

Any other program is started itself: its executable is the entrypoint, and RUNFILES_DIR is set. A script needs a base with
its interpreter, a dynamically linked program one with its libraries.""",
    attrs = {
        "annotations": attr.string_dict(
            doc = "Annotations of the manifest (OCI image-spec, annotations.md). The base's are not taken over: they are about the base.",
        ),
        "base": attr.label(
            doc = "The image that this one stands on; without one it is made from scratch.",
            providers = [ImageInfo],
        ),
        "cmd": attr.string_list(doc = "Arguments for the entrypoint where the user gives none."),
        "entrypoint": attr.string_list(doc = "The command that is started; by default that of `binary`."),
        "env": attr.string_dict(doc = "Environment variables."),
        "exposed_ports": attr.string_list(doc = "Ports that the program listens on: `8080/tcp`."),
        "labels": attr.string_dict(doc = "Labels of the configuration."),
        "layers": attr.label_list(
            doc = "Further layers, above those of the base and of `binary`, bottom first.",
            providers = [LayerInfo],
        ),
        "stop_signal": attr.string(doc = "The signal that asks the program to end, such as SIGINT; engines send SIGTERM otherwise."),
        "user": attr.string(doc = "User, or user:group, by name or number."),
        "workdir": attr.string(doc = "Absolute path of the working directory."),
    } | PROGRAM_ATTRS,
    provides = [ImageInfo],
)
