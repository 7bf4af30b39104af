"""Base images out of registries: a repository with the documents of one, and the actions that fetch its layers."""

load("//tools/image/private:providers.bzl", "ImageInfo", "LayerInfo")

# Constraint values of @platforms//cpu for the platforms that images are for.
_CPUS = {
    "linux/amd64": "x86_64",
    "linux/arm64": "aarch64",
}

# What runs when the repository is made, on the machine's own Python: the standard library only.
_PROGRAM = [
    Label("//tools/image:pull.py"),
    Label("//tools/image:purl.py"),
    Label("//tools/oci:authorization.py"),
    Label("//tools/oci:client.py"),
    Label("//tools/oci:credentials.py"),
    Label("//tools/oci:digest.py"),
    Label("//tools/oci:errors.py"),
    Label("//tools/oci:manifest.py"),
    Label("//tools/oci:parallel.py"),
    Label("//tools/oci:reference.py"),
    Label("//tools/oci:retrying.py"),
    Label("//tools/oci:transport.py"),
]

def declare_pull(pull):
    """Declares the repository of one base image.

    Args:
      pull: the tag `images.pull`.
    """
    unknown = [platform for platform in pull.platforms if platform not in _CPUS]
    if unknown or not pull.platforms:
        fail("\n" + _error(
            what = "cannot pull \"%s\" for %s" % (pull.name, " and ".join(unknown) or "no platform"),
            why = "images are made for %s" % " and ".join(_CPUS),
            remedy = "name these, or one of them, in `platforms` of images.pull(name = \"%s\")" % pull.name,
        ))
    pulled_repository(
        name = pull.name,
        digest = pull.digest,
        insecure = pull.insecure,
        platforms = {platform: None for platform in pull.platforms}.keys(),
        pull = pull.name,
        repository = pull.repository,
    )

def _error(*, what, why, remedy):
    """An error as tools/image/pull.py words it."""
    return "%s\n  Why: %s\n  What to do: %s" % (what, why, remedy)

_HEADER = """\
load("{defs}", "pulled_blob", "pulled_image")

alias(
    name = "image",
    actual = select(
        {choices},
        no_match_error = {no_match},
    ),
    visibility = ["//visibility:public"],
)
"""

_IMAGE = """
pulled_image(
    name = {name},
    blobs = {blobs},
    config = {config},
    digests = {digests},
    layers = {layers},
    platform = {platform},
)
"""

_BLOB = """
pulled_blob(
    name = {name},
    byte_count = {byte_count},
    digest = {digest},
    insecure = {insecure},
    repository = {repository},
)
"""

def _pulled_repository_impl(repository_ctx):
    attr = repository_ctx.attr
    images = _fetch(repository_ctx)

    content = _HEADER.format(
        choices = repr({
            str(Label("@platforms//cpu:" + _CPUS[image["platform"]])): ":" + _target_name(image["platform"])
            for image in images
        }),
        defs = str(Label("//tools/image/private:pull.bzl")),
        no_match = repr(("images.pull(name = \"%s\") has %s only. Build for one of these platforms, or name more in its " +
                         "`platforms`.") % (attr.pull, " and ".join([image["platform"] for image in images]))),
    )
    sizes = {}
    for image in images:
        digests = [layer["digest"] for layer in image["layers"]]
        content += _IMAGE.format(
            blobs = repr({":" + _target_name(digest): digest for digest in digests}),
            config = repr(image["config"]),
            digests = repr(digests),
            layers = repr([layer["metadata"] for layer in image["layers"]]),
            name = repr(_target_name(image["platform"])),
            platform = repr(image["platform"]),
        )
        sizes |= {layer["digest"]: layer["size"] for layer in image["layers"]}
    for digest, size in sizes.items():
        content += _BLOB.format(
            byte_count = repr(str(size)),
            digest = repr(digest),
            insecure = repr(attr.insecure),
            name = repr(_target_name(digest)),
            repository = repr(attr.repository),
        )
    repository_ctx.file("BUILD.bazel", content)

def _target_name(name):
    return name.replace("/", "_").replace(":", "-")

def _fetch(repository_ctx):
    """Writes the documents of the image into the repository, and returns what tools/image/pull.py says of them."""
    attr = repository_ctx.attr
    python = repository_ctx.which("python3")
    if not python:
        fail("\n" + _error(
            what = "cannot pull \"%s\"" % attr.pull,
            why = "there is no python3 on PATH",
            remedy = "install Python 3.11 or later (Debian: apt install python3)",
        ))
    for file in attr._program:
        repository_ctx.watch(file)
    program = repository_ctx.path(attr._program[0])
    repository_ctx.report_progress("Asking %s for %s" % (attr.repository, attr.digest))
    result = repository_ctx.execute(
        # -P and -S: neither a module beside it nor an installed package may stand in for what it imports.
        [python, "-P", "-S", "-B", program] +
        ["--name", attr.pull, "--repository", attr.repository, "--digest", attr.digest] +
        ["--platform=" + platform for platform in attr.platforms] +
        (["--insecure"] if attr.insecure else []) +
        ["."],
        environment = {"PYTHONPATH": str(program.dirname.dirname.dirname)},
        timeout = 600,
    )
    if result.return_code != 0:
        fail("\n" + (result.stderr or result.stdout))
    return json.decode(result.stdout)

pulled_repository = repository_rule(
    doc = "`//:image`: an image of a registry for the target platform. It has the image's documents and no layer.",
    implementation = _pulled_repository_impl,
    attrs = {
        "digest": attr.string(mandatory = True),
        "insecure": attr.bool(),
        "platforms": attr.string_list(mandatory = True),
        "pull": attr.string(
            doc = "The name that the user gave it.",
            mandatory = True,
        ),
        "repository": attr.string(mandatory = True),
        "_program": attr.label_list(default = _PROGRAM),
    },
)

PulledBlobInfo = provider(
    doc = "Where a layer's blob comes from.",
    fields = {"origin": "struct: see LayerInfo."},
)

def _pulled_blob_impl(ctx):
    blob = ctx.actions.declare_file(ctx.label.name + ".blob")
    args = ctx.actions.args()
    args.add("--repository", ctx.attr.repository)
    args.add("--digest", ctx.attr.digest)
    args.add("--size", ctx.attr.byte_count)
    if ctx.attr.insecure:
        args.add("--insecure")
    args.add("--out", blob)
    ctx.actions.run(
        executable = ctx.executable._pull_layer,
        arguments = [args],
        outputs = [blob],
        mnemonic = "ImagePull",
        progress_message = "Fetching layer %s of %s" % (ctx.attr.digest[:len("sha256:") + 12], ctx.attr.repository),
        # The login is on this machine, anywhere: in /tmp, which a sandbox has of its own, or beyond a helper that keeps
        # its state at home. What is fetched is named by its digest, so any cache may keep it.
        execution_requirements = {
            "no-remote-exec": "1",
            "no-sandbox": "1",
            "requires-network": "1",
        },
        # --action_env says where the login or a proxy is.
        use_default_shell_env = True,
    )
    return [
        DefaultInfo(files = depset([blob])),
        PulledBlobInfo(origin = struct(
            digest = ctx.attr.digest,
            insecure = ctx.attr.insecure,
            repository = ctx.attr.repository,
            size = int(ctx.attr.byte_count),
        )),
    ]

pulled_blob = rule(
    doc = "A layer's blob, fetched when something needs its content.",
    implementation = _pulled_blob_impl,
    attrs = {
        "byte_count": attr.string(
            doc = "Its size, as text: an integer attribute ends at 2 GiB.",
            mandatory = True,
        ),
        "digest": attr.string(mandatory = True),
        "insecure": attr.bool(),
        "repository": attr.string(mandatory = True),
        "_pull_layer": attr.label(
            cfg = "exec",
            default = "//tools/image:pull_layer",
            executable = True,
        ),
    },
    provides = [PulledBlobInfo],
)

def _one_configuration_impl(_settings, _attr):
    return {
        "//command_line_option:compilation_mode": "fastbuild",
        "//command_line_option:platforms": [],
    }

# A blob is what its digest says, whatever it is needed for: one action fetches it for every platform and compilation
# mode. Not the execution configuration, which knows no --action_env.
_one_configuration = transition(
    implementation = _one_configuration_impl,
    inputs = [],
    outputs = [
        "//command_line_option:compilation_mode",
        "//command_line_option:platforms",
    ],
)

def _pulled_image_impl(ctx):
    blobs = {digest: target[DefaultInfo].files.to_list()[0] for target, digest in ctx.attr.blobs.items()}
    origins = {digest: target[PulledBlobInfo].origin for target, digest in ctx.attr.blobs.items()}
    layers = [
        LayerInfo(
            blob = blobs[digest],
            key = ("pulled", digest),
            listing = None,
            metadata = metadata,
            origin = origins[digest],
        )
        for digest, metadata in zip(ctx.attr.digests, ctx.files.layers)
    ]
    return [
        DefaultInfo(files = depset([ctx.file.config] + ctx.files.layers)),
        OutputGroupInfo(blobs = depset(blobs.values())),
        ImageInfo(
            layers = layers,
            platform = ctx.attr.platform,
            program = None,
            settings = [struct(config = ctx.file.config)],
        ),
    ]

pulled_image = rule(
    doc = "The image of one platform, as a registry describes it.",
    implementation = _pulled_image_impl,
    attrs = {
        "blobs": attr.label_keyed_string_dict(
            cfg = _one_configuration,
            doc = "The blobs of the layers, each with its digest.",
            providers = [PulledBlobInfo],
        ),
        "config": attr.label(
            allow_single_file = True,
            doc = "The image's configuration.",
            mandatory = True,
        ),
        "digests": attr.string_list(
            doc = "The digests of the layers, bottom first; one may be there twice.",
        ),
        "layers": attr.label_list(
            allow_files = True,
            doc = "What is known of each layer, in the same order.",
        ),
        "platform": attr.string(mandatory = True),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    provides = [ImageInfo],
)
