"""The action that writes a layer, and the rule for layers of plain files."""

load("//tools/image/private:providers.bzl", "LayerInfo")
load("//tools/platforms:defs.bzl", "ARCHITECTURE_ATTRS", "target_architecture")
load("//tools/platforms:label.bzl", "shown")

# Attributes that a rule or an aspect needs to call write_layer().
LAYER_TOOL_ATTRS = {
    "_layer_tool": attr.label(
        default = "//tools/image:layer_tool",
        cfg = "exec",
        executable = True,
    ),
    "_zstd_layer_tool": attr.label(
        default = "//tools/image:zstd_layer_tool",
        cfg = "exec",
        executable = True,
    ),
}

# What a persistent worker runs in. It is not sandboxed: Python would write its bytecode beside the libraries that the
# build has unpacked, and the next build would see other files than it has made.
WORKER_ENV = {"PYTHONDONTWRITEBYTECODE": "1"}

# Tools that read their arguments from files and stay for the next action: starting Python takes longer than most layers.
WORKER = {
    "requires-worker-protocol": "json",
    "supports-workers": "1",
}

_EXTENSIONS = {"gzip": "gz", "zstd": "zst"}

# Values of an attribute `compression`, and what its doc string says of them.
COMPRESSIONS = _EXTENSIONS.keys()
COMPRESSIONS_DOC = "gzip, which every registry and engine knows, or zstd, smaller and faster."

def file_line(file, path, **facts):
    """A line for the layer tool: one file, the files of a directory, or an unresolved symbolic link.

    Args:
      file: File to place.
      path: where it goes, relative to the root of the image.
      **facts: mode ("0755") and owner ("UID:GID"), where they are not the usual ones.

    Returns:
      A string to hand to write_layer().
    """

    if file.is_directory:
        kind = "tree"
    elif getattr(file, "is_symlink", False):
        kind = "link"  # Unresolved, says Bazel 8; before, the tool has to see it.
    else:
        kind = "file" if file.is_source else "output"
    return json.encode({"kind": kind, "path": path, "source": file.path, "origin": shown(file.owner)} | facts)

def write_layer(ctx, *, name, created_by, lines, inputs, architecture, files = [], place = None, key = None, compression = "gzip"):
    """Declares the one action that reads files and emits a layer and the facts about it.

    Args:
      ctx: context of a rule or an aspect with LAYER_TOOL_ATTRS.
      name: file name of the layer, without extension.
      created_by: what the image's history says of the layer.
      lines: list of strings, what the layer holds: see file_line().
      inputs: list of the files that these lines name.
      architecture: what every ELF file in it must be for; None where it is the same for every platform.
      files: list of further files, for which no line is made until the action runs: there may be thousands.
      place: function that makes the line of each of `files`.
      key: what makes the layer the same on another platform; see LayerInfo.
      compression: gzip or zstd.

    Returns:
      LayerInfo
    """
    recipe = struct(
        architecture = architecture,
        compression = compression,
        created_by = created_by,
        files = tuple(files),
        inputs = depset(inputs + files),
        lines = tuple(lines),
        needs_zstd = compression == "zstd" or any([file.extension == "zst" for file in inputs]),
        place = place,
    )
    blob = ctx.actions.declare_file("%s.layer.tar.%s" % (name, _EXTENSIONS[compression]))
    listing = ctx.actions.declare_file(name + ".layer.ndjson")
    metadata = ctx.actions.declare_file(name + ".layer.json")
    _run(ctx, recipe, blob, listing, metadata, mnemonic = "ImageLayer", progress = "Writing layer")
    return LayerInfo(blob = blob, key = key, listing = listing, metadata = metadata, recipe = recipe)

def write_layer_again(ctx, name, layer):
    """Declares an action that writes a layer once more, under conditions that must not make a difference.

    Args:
      ctx: context of a rule with LAYER_TOOL_ATTRS.
      name: file name, without extension.
      layer: LayerInfo with a recipe.

    Returns:
      LayerInfo of the second writing.
    """
    blob = ctx.actions.declare_file("%s.layer.tar.%s" % (name, _EXTENSIONS[layer.recipe.compression]))
    listing = ctx.actions.declare_file(name + ".layer.ndjson")
    metadata = ctx.actions.declare_file(name + ".layer.json")
    _run(ctx, layer.recipe, blob, listing, metadata, "ImageLayerAgain", "Writing again layer", perturbed = True)
    return LayerInfo(blob = blob, key = None, listing = listing, metadata = metadata, recipe = None)

def _run(ctx, recipe, blob, listing, metadata, mnemonic, progress, perturbed = False):
    args = ctx.actions.args()
    args.add("--blob", blob)
    args.add("--listing", listing)
    args.add("--metadata", metadata)
    args.add(recipe.created_by, format = "--created-by=%s")
    args.add("--compression", recipe.compression)
    if recipe.architecture:
        args.add("--architecture", recipe.architecture)
    if perturbed:
        args.add("--perturbed")
    args.add_all(recipe.lines)
    if recipe.files:
        args.add_all(recipe.files, map_each = recipe.place, expand_directories = False)
    args.use_param_file("@%s", use_always = True)
    args.set_param_file_format("multiline")
    ctx.actions.run(
        executable = ctx.executable._zstd_layer_tool if recipe.needs_zstd else ctx.executable._layer_tool,
        arguments = [args],
        env = WORKER_ENV,
        inputs = recipe.inputs,
        outputs = [blob, listing, metadata],
        # Not a worker's: what an earlier layer left in it must not hide what this one is to show.
        execution_requirements = {} if perturbed else WORKER,
        mnemonic = mnemonic,
        progress_message = "%s %%{label} (%s)" % (progress, recipe.created_by),
    )

def _absolute(path):
    return "/" + "/".join([part for part in path.split("/") if part not in ("", ".")])

def _image_layer_impl(ctx):
    inputs = []
    lines = []
    modes = {_absolute(path): mode for path, mode in ctx.attr.modes.items()}
    used = {}

    def facts(path):
        mode = modes.get(_absolute(path))
        used[_absolute(path)] = True
        return ({"mode": mode} if mode else {}) | ({"owner": ctx.attr.owner} if ctx.attr.owner else {})

    def line(kind, path, **more):
        return json.encode({"kind": kind, "path": path, "origin": shown(ctx.label)} | facts(path) | more)

    for target, path in ctx.attr.files.items():
        placed = target[DefaultInfo].files.to_list()
        if path.endswith("/"):
            lines += [file_line(file, path + file.basename, **facts(path + file.basename)) for file in placed]
        elif len(placed) == 1:
            lines.append(file_line(placed[0], path, **facts(path)))
        else:
            fail("%s: %s has %d files and cannot become the one file %s. End the path with / to place them in a folder." % (shown(ctx.label), shown(target.label), len(placed), path))
        inputs += placed
    for path in ctx.attr.directories:
        lines.append(line("directory", path))
    for path, to in ctx.attr.symlinks.items():
        if not to:
            fail("%s: the symbolic link %s says nothing. Write where it leads to." % (shown(ctx.label), path))
        lines.append(line("symlink", path, target = to))
    for file in ctx.files.tars:
        # As they are: `owner` and `modes` are for files, which have none worth keeping.
        lines.append(json.encode({"kind": "tar", "path": "", "source": file.path, "origin": shown(file.owner)}))
        inputs.append(file)
    unused = [path for path in modes if path not in used]
    if unused:
        fail("%s: `modes` names %s, which is none of the paths in `files`, `directories` and `symlinks`. Correct the path or remove it." % (shown(ctx.label), ", ".join(unused)))

    is_source = all([file.is_source for file in inputs])
    layer = write_layer(
        ctx,
        name = ctx.label.name,
        created_by = "files of %s" % ctx.label.name,
        lines = lines,
        inputs = inputs,
        architecture = target_architecture(ctx),
        # Source files are no platform's; what is built is, even if it happens to be the same.
        key = ("files", str(ctx.label), ctx.attr.compression, tuple(lines)) if is_source else None,
        compression = ctx.attr.compression,
    )
    return [
        DefaultInfo(files = depset([layer.metadata])),
        OutputGroupInfo(blobs = depset([layer.blob])),
        layer,
    ]

image_layer = rule(
    implementation = _image_layer_impl,
    doc = """A layer of plain files: whatever other rules make, and archives.

Files belong to root; a file is executable if its content is a program or a script. A path that two attributes bring is an
error, unless both bring the same.""",
    attrs = {
        "compression": attr.string(
            default = "gzip",
            doc = "How the layer is compressed: " + COMPRESSIONS_DOC,
            values = COMPRESSIONS,
        ),
        "directories": attr.string_list(
            doc = "Directories to make, such as one that the container's user may write to (see `owner`). Others are made by whoever unpacks the layer.",
        ),
        "files": attr.label_keyed_string_dict(
            allow_files = True,
            doc = "Where each file goes in the image: `\":config.yaml\": \"/etc/app/config.yaml\"`, or a folder if the path ends with a slash. A file that goes to two places needs two labels, such as a filegroup's, or a link in `symlinks`.",
        ),
        "modes": attr.string_dict(
            doc = "Permission bits by path, in octal, where content does not say it: `\"/etc/app/key\": \"0600\"`.",
        ),
        "owner": attr.string(
            doc = "UID:GID of the files, directories and links, such as `65532:65532`; 0:0 by default.",
        ),
        "symlinks": attr.string_dict(doc = "Symbolic links: path in the image to what the link says."),
        "tars": attr.label_list(
            allow_files = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz"],
            doc = "Archives whose entries come into the layer with the owners and modes that they have there.",
        ),
    } | LAYER_TOOL_ATTRS | ARCHITECTURE_ATTRS,
    provides = [LayerInfo],
)
