"""The rule for an image index: one image, configured for each of several platforms."""

load("//tools/image/private:providers.bzl", "ImageIndexInfo", "ImageInfo")
load("//tools/platforms:defs.bzl", "image_platforms_transition")

def _image_index_impl(ctx):
    images = {}
    for name, target in sorted(ctx.split_attr.image.items()):
        image = target[ImageInfo]
        if image.platform != name:
            fail("%s: the platform that `platforms` calls %s builds an image for %s. Correct the name or the platform." % (ctx.label, name, image.platform))
        images[name] = image

    index = ctx.actions.declare_file(ctx.label.name + ".index.json")
    descriptor = ctx.actions.declare_file(ctx.label.name + ".descriptor.json")
    descriptors = [image.descriptor for image in images.values()]
    args = ctx.actions.args()
    args.add("index")
    args.add("--index", index)
    args.add("--descriptor", descriptor)
    args.add_all(descriptors, before_each = "--image")
    ctx.actions.run(
        executable = ctx.executable._document_tool,
        arguments = [args],
        inputs = descriptors,
        outputs = [index, descriptor],
        mnemonic = "ImageIndex",
        progress_message = "Describing image index %{label}",
    )

    blobs = depset(
        [index] + [
            file
            for image in images.values()
            for file in [image.manifest, image.config] + [layer.blob for layer in image.layers]
        ],
    )
    return [
        DefaultInfo(files = depset([descriptor])),
        OutputGroupInfo(
            blobs = blobs,
            descriptor = depset([descriptor]),
            layout = depset([_layout(ctx, "layout", ctx.actions.declare_directory(ctx.label.name + ".layout"), descriptor, blobs)]),
            tarball = depset([_layout(ctx, "tarball", ctx.actions.declare_file(ctx.label.name + ".oci.tar"), descriptor, blobs)]),
        ),
        ImageIndexInfo(
            blobs = blobs,
            descriptor = descriptor,
            images = images,
            index = index,
        ),
    ]

def _layout(ctx, form, output, descriptor, blobs):
    """Declares an OCI image layout. It copies every blob, so it is an output group of its own, made when asked for."""
    args = ctx.actions.args()
    args.add(form)
    args.add("--descriptor", descriptor)
    args.add_all([output], before_each = "--out", expand_directories = False)
    args.add_all(blobs, before_each = "--blob")
    args.use_param_file("@%s")
    args.set_param_file_format("multiline")
    ctx.actions.run(
        executable = ctx.executable._document_tool,
        arguments = [args],
        inputs = depset([descriptor], transitive = [blobs]),
        outputs = [output],
        mnemonic = "ImageLayout",
        progress_message = "Copying blobs of %{label} into a " + form,
    )
    return output

image_index = rule(
    implementation = _image_index_impl,
    doc = """An image index (OCI image-spec, image-index.md): `image`, built for each of `platforms`.

Output groups: `descriptor` (JSON: mediaType, digest, size of the index; the default output), `blobs` (every blob as a
file of its own), `layout` (OCI image layout, a directory) and `tarball` (the same as a tar archive).""",
    attrs = {
        "image": attr.label(
            cfg = image_platforms_transition,
            doc = "The image; it is built once for each platform.",
            mandatory = True,
            providers = [ImageInfo],
        ),
        "platforms": attr.label_keyed_string_dict(
            doc = "Platforms and their OCI names: `{\"//tools/platforms:linux_arm64\": \"linux/arm64\"}`.",
            mandatory = True,
        ),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
        "_document_tool": attr.label(
            cfg = "exec",
            default = "//tools/image:document_tool",
            executable = True,
        ),
    },
    provides = [ImageIndexInfo],
)
