"""The rule for an image of one platform: layers, and what a container of it is to be like."""

load("//tools/image/private:program_layers.bzl", "PROGRAM_ATTRS", "check_program_settings", "program_layers")
load("//tools/image/private:providers.bzl", "ImageInfo", "LayerInfo")
load("//tools/platforms:defs.bzl", "target_architecture")
load("//tools/platforms:label.bzl", "shown")

_PROTOCOLS = ["sctp", "tcp", "udp"]

# signal(7), as on every architecture that images are for. Engines count real-time signals from the nearer end.
_SIGNALS = {
    "SIG" + name: None
    for name in (
        "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT RTMAX RTMIN SEGV STKFLT STOP SYS " +
        "TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ"
    ).split(" ") + ["RTMIN+%d" % number for number in range(1, 16)] + ["RTMAX-%d" % number for number in range(1, 15)]
}
_LAST_SIGNAL = 64

def _image_impl(ctx):
    base = ctx.attr.base[ImageInfo] if ctx.attr.base else None
    platform = "linux/" + target_architecture(ctx)
    if base and base.platform != platform:
        fail("%s is for %s, and its base %s is for %s. Give it a base that is built for every platform of the image." % (shown(ctx.label), platform, shown(ctx.attr.base.label), base.platform))

    if base and base.program and ctx.attr.binary:
        fail(("%s: its `binary` %s would lie in /app among the files of %s, which its base %s starts: one would import and " +
              "find what is the other's. Take a base without `binary`, or name one program that has the other in its `data`.") % (shown(ctx.label), shown(ctx.attr.binary.label), shown(base.program), shown(ctx.attr.base.label)))

    _check_settings(ctx)
    check_program_settings(ctx)

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
            program = ctx.attr.binary.label if ctx.attr.binary else (base.program if base else None),
            settings = (base.settings if base else []) + [struct(settings = settings)],
        ),
    ]

def _check_settings(ctx):
    """Fails for what no engine would take, or what would mean something else than it says."""
    for name in ctx.attr.env:
        if not name or "=" in name:
            fail("%s: `env` has the name %r, which no environment can hold. Write `{\"NAME\": \"value\"}`." % (shown(ctx.label), name))
    for port in ctx.attr.exposed_ports:
        number, slash, protocol = port.partition("/")
        if not _is_number(number) or int(number) > 65535 or protocol not in (_PROTOCOLS if slash else [""]):
            fail("%s: `exposed_ports` has %r, which is no port. Write `8080/tcp` or `53/udp`." % (shown(ctx.label), port))
    if ctx.attr.workdir and not ctx.attr.workdir.startswith("/"):
        fail("%s: `workdir` is %r. Write a path from the root: `/%s`." % (shown(ctx.label), ctx.attr.workdir, ctx.attr.workdir))
    if ctx.attr.entrypoint and not ctx.attr.entrypoint[0]:
        fail("%s: `entrypoint` begins with nothing, which no engine can start. Write the program's path first, or leave `entrypoint` out." % shown(ctx.label))
    signal = ctx.attr.stop_signal
    if signal and not _is_signal(signal):
        fail("%s: `stop_signal` is %r, which engines do not know. Write a signal such as `SIGINT` or `SIGRTMIN+3`, or its number." % (shown(ctx.label), signal))

def _is_number(text):
    """Whether a text is a positive number of at most five digits, as people write it: with no zeros before it."""
    return text.isdigit() and not text.startswith("0") and len(text) <= 5

def _is_signal(text):
    return text in _SIGNALS or (_is_number(text) and int(text) <= _LAST_SIGNAL)

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
its interpreter, a dynamically linked program one with its libraries.

An image has one program in /app, and one wheel of a distribution: a `binary` on a base that has one is an error, and so is
a program that needs two different wheels of one distribution (out of two locks). An image on an image with a program may
have everything else. What lies in the layers of a pulled image is not known: it must not be one that has a program in /app.""",
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
        "exposed_ports": attr.string_list(doc = "Ports that the program listens on: `8080/tcp`, `53/udp` or, for TCP, `8080`."),
        "labels": attr.string_dict(doc = "Labels of the configuration."),
        "layers": attr.label_list(
            doc = "Further layers, above those of the base and of `binary`, bottom first.",
            providers = [LayerInfo],
        ),
        "stop_signal": attr.string(doc = "The signal that asks the program to end, such as SIGINT, SIGRTMIN+3 or 2; engines send SIGTERM otherwise."),
        "user": attr.string(doc = "User, or user:group, by name or number."),
        "workdir": attr.string(doc = "Absolute path of the working directory."),
    } | PROGRAM_ATTRS,
    provides = [ImageInfo],
)
