"""What `bazel run` does with a built image index: programs that get the index's files as runfiles."""

load("@rules_python//python:defs.bzl", "PyInfo")
load("//tools/image/private:providers.bzl", "ImageIndexInfo")
load("//tools/platforms:label.bzl", "shown")
load("//tools/program:defs.bzl", "PROGRAM_ATTRS", "declare_program", "this_machine")

_ATTRS = {
    "index": attr.label(
        doc = "The image_index.",
        mandatory = True,
        providers = [ImageIndexInfo],
    ),
    "_programs": attr.label(
        default = "//tools/image:programs",
        providers = [PyInfo],
    ),
} | PROGRAM_ATTRS

_TAG_ATTR = {
    "tag": attr.string(
        doc = "Name and tag that the image gets in the engine, such as demo-hello:v1; `latest` where there is no tag.",
        mandatory = True,
    ),
}

def _declare(ctx, module, arguments, blobs_by_name, more = {}):
    """Declares the program. It is started with `--image=FOLDER`: see tools/image/built.py.

    Args:
      ctx: of the rule.
      module: what is run.
      arguments: of the program.
      blobs_by_name: those of the index that the program gets.
      more: further files of the folder, by name.
    """
    index = ctx.attr.index[ImageIndexInfo]
    folder = "_images/%s/%s/" % (ctx.label.package, ctx.label.name)

    # Links, not the files themselves: those of two platforms have one path among runfiles, which are laid out by package
    # and name alone, and the second would take the place of the first. Nothing is copied.
    files = {
        folder + "blobs.json": index.blob_map,
        folder + "descriptor.json": index.descriptor,
    } | {folder + "blobs/" + name: file for name, file in blobs_by_name.items()}
    files |= {folder + name: file for name, file in more.items()}
    return [declare_program(
        ctx,
        arguments = ["--image={RUNFILES}/" + folder] + arguments,
        deps = [ctx.attr._programs],
        module = module,
        runfiles = ctx.runfiles(root_symlinks = files),
    )]

_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyz0123456789"

def _full_tag(ctx):
    """`tag` with what Docker adds to a name that has no tag; fails for what its engine would not take."""
    name, colon, version = ctx.attr.tag.rpartition(":")
    if not colon or "/" in version:  # The colon of HOST:PORT.
        name, version = ctx.attr.tag, "latest"
    first, slash, path = name.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    components = (path if is_host else name).split("/")
    bad = [each for each in components if not _is_component(each)]
    if bad or (is_host and not _is_host(first)) or not _is_version(version):
        fail(("%s: `tag` is %r, which no Docker engine takes: a name is lower-case letters and digits, joined by . _ __ - and " +
              "parted by /, and a tag at most 128 letters, digits, _ . -. Write it as `demo-hello:latest`.") % (shown(ctx.label), ctx.attr.tag))
    return name + ":" + version

def _has_only(text, characters):
    return not [each for each in text.elems() if each not in characters]

def _is_component(text):
    """Whether a text is a part of a repository's path (distribution-spec, "Pulling manifests")."""
    if not text or text[0] not in _ALPHANUMERIC or text[-1] not in _ALPHANUMERIC or not _has_only(text, _ALPHANUMERIC + "._-"):
        return False
    for each in _ALPHANUMERIC.elems():
        text = text.replace(each, " ")
    return not [joint for joint in text.split(" ") if joint not in ("", ".", "_", "__") and joint.strip("-")]

def _is_host(text):
    """Whether a text is HOST or HOST:PORT, as far as it matters: what else a host is, the engine says."""
    host, colon, port = text.partition(":")
    return bool(host) and _has_only(host.lower(), _ALPHANUMERIC + ".-") and (not colon or port.isdigit())

def _is_version(text):
    return bool(text) and len(text) <= 128 and text[0] not in ".-" and _has_only(text.lower(), _ALPHANUMERIC + "_.-")

def _image_load_impl(ctx):
    return _declare(ctx, "tools.image.load", ["--tag=" + _full_tag(ctx)], ctx.attr.index[ImageIndexInfo].blobs_by_name)

image_load = rule(
    implementation = _image_load_impl,
    doc = """`bazel run` loads one platform of an image index into a Docker engine, and only what the engine lacks.

The platform is that of this machine, or the one given by `-- --platform linux/arm64`.""",
    attrs = _ATTRS | _TAG_ATTR,
    cfg = this_machine,
    executable = True,
)

def _image_run_impl(ctx):
    arguments = ["--tag=" + _full_tag(ctx)] + ctx.attr.options + ["--"]
    return _declare(ctx, "tools.image.run", arguments, ctx.attr.index[ImageIndexInfo].blobs_by_name)

image_run = rule(
    implementation = _image_run_impl,
    doc = """`bazel run NAME -- ARGUMENTS` loads an image into a Docker engine, as image_load does, and runs it.

The platform is that of this machine, or what DOCKER_DEFAULT_PLATFORM says; all arguments are the container's. The
container is removed when it ends.""",
    attrs = _ATTRS | _TAG_ATTR | {
        "options": attr.string_list(doc = "Options of `docker run`, such as `--publish=8080:8080`."),
    },
    cfg = this_machine,
    executable = True,
)

def _image_push_impl(ctx):
    index = ctx.attr.index[ImageIndexInfo]
    pulled = index.pulled.values()
    return _declare(
        ctx,
        "tools.image.push",
        [],
        # The registry may have the layers of a pulled base; what it lacks of them, the program fetches.
        {name: file for name, file in index.blobs_by_name.items() if file not in pulled},
        {"origins.json": index.origins} if index.origins else {},
    )

image_push = rule(
    implementation = _image_push_impl,
    doc = "`bazel run ... -- --repository HOST/PATH --tag T...` pushes an image index; a tag is written once.",
    attrs = _ATTRS,
    cfg = this_machine,
    executable = True,
)
