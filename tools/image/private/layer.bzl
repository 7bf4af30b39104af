"""The action that writes a layer, and the rule for layers of plain files."""

load("//tools/image/private:providers.bzl", "LayerInfo")
load("//tools/platforms:defs.bzl", "ARCHITECTURE_ATTRS", "target_architecture")

# Attributes that a rule or an aspect needs to call write_layer().
LAYER_TOOL_ATTRS = {
    "_layer_tool": attr.label(
        default = "//tools/image:layer_tool",
        cfg = "exec",
        executable = True,
    ),
}

def file_line(file, path):
    """A line for the layer tool: one file, the files of a directory, or an unresolved symbolic link.

    Args:
      file: File to place.
      path: where it goes, relative to the root of the image.

    Returns:
      A string to hand to write_layer().
    """

    # Bazel 8 says what an unresolved symbolic link is; before, the tool takes a dangling one for it.
    kind = "tree" if file.is_directory else ("link" if getattr(file, "is_symlink", False) else "file")
    return json.encode({"kind": kind, "path": path, "source": file.path, "origin": str(file.owner)})

def write_layer(ctx, *, name, created_by, inputs, lines, architecture):
    """Declares the one action that reads files and emits a layer and its metadata.

    Args:
      ctx: context of a rule or an aspect with LAYER_TOOL_ATTRS.
      name: file name of the layer, without extension.
      created_by: what the image's history says of the layer.
      inputs: depset of the files that are read.
      lines: function that adds the lines of the layer's content to an Args object.
      architecture: what every ELF file in it must be for; None where it is the same for every platform.

    Returns:
      LayerInfo
    """
    blob = ctx.actions.declare_file(name + ".layer.tar.gz")
    metadata = ctx.actions.declare_file(name + ".layer.json")
    options = ctx.actions.args()
    options.add("--blob", blob)
    options.add("--metadata", metadata)
    options.add("--created-by", created_by)
    if architecture:
        options.add("--architecture", architecture)
    content = ctx.actions.args()
    content.use_param_file("--content=%s", use_always = True)
    content.set_param_file_format("multiline")
    lines(content)
    ctx.actions.run(
        executable = ctx.executable._layer_tool,
        arguments = [options, content],
        inputs = inputs,
        outputs = [blob, metadata],
        mnemonic = "ImageLayer",
        progress_message = "Writing layer %{label} (" + created_by + ")",
    )
    return LayerInfo(blob = blob, metadata = metadata)

def _image_layer_impl(ctx):
    files = []
    lines = []
    for target, path in ctx.attr.files.items():
        placed = target[DefaultInfo].files.to_list()
        if path.endswith("/"):
            lines += [file_line(file, path + file.basename) for file in placed]
        elif len(placed) == 1:
            lines.append(file_line(placed[0], path))
        else:
            fail("%s: %s has %d files and cannot become the one file %s. End the path with / to place them in a folder." % (ctx.label, target.label, len(placed), path))
        files += placed
    for path, to in ctx.attr.symlinks.items():
        lines.append(json.encode({"kind": "symlink", "path": path, "target": to, "origin": str(ctx.label)}))
    layer = write_layer(
        ctx,
        name = ctx.label.name,
        created_by = "files of %s" % ctx.label.name,
        inputs = depset(files),
        lines = lambda args: args.add_all(lines),
        architecture = target_architecture(ctx),
    )
    return [
        DefaultInfo(files = depset([layer.metadata])),
        OutputGroupInfo(blobs = depset([layer.blob])),
        layer,
    ]

image_layer = rule(
    implementation = _image_layer_impl,
    doc = "A layer of plain files. They belong to root; a file is executable if its content is a program or a script.",
    attrs = {
        "files": attr.label_keyed_string_dict(
            allow_files = True,
            doc = "Where each file goes in the image: `\":config.yaml\": \"/etc/app/config.yaml\"`, or a folder if the path ends with a slash.",
        ),
        "symlinks": attr.string_dict(doc = "Symbolic links: path in the image to what the link says."),
    } | LAYER_TOOL_ATTRS | ARCHITECTURE_ATTRS,
    provides = [LayerInfo],
)
