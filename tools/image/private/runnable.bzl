"""What `bazel run` does with a built image index: a program that gets the index's files as runfiles."""

load("@rules_python//python:defs.bzl", "py_binary")
load("//tools/image/private:providers.bzl", "ImageIndexInfo")

def _image_files_impl(ctx):
    index = ctx.attr.index[ImageIndexInfo]
    folder = _folder(ctx.label.package, ctx.label.name) + "/"
    files = {
        folder + "blobs.json": index.blob_map,
        folder + "descriptor.json": index.descriptor,
    } | {folder + "blobs/" + name: file for name, file in index.blobs_by_name.items()}
    return [DefaultInfo(runfiles = ctx.runfiles(symlinks = files))]

def _folder(package, name):
    return "%s/%s" % (package, name) if package else name

# Links, not the files themselves: those of two platforms have one path among runfiles, which are laid out by package and
# name alone, and the second would take the place of the first.
image_files = rule(
    implementation = _image_files_impl,
    doc = "The files of an image index among runfiles: PACKAGE/NAME/{descriptor.json,blobs.json,blobs/...}. Nothing is copied.",
    attrs = {
        "index": attr.label(
            mandatory = True,
            providers = [ImageIndexInfo],
        ),
    },
)

def index_program(name, index, main, deps, args, **kwargs):
    """Declares a py_binary that is started with `--image FOLDER`: see tools/image/built.py.

    Args:
      name: name of the target.
      index: label of the image_index.
      main: label of the program's main file.
      deps: what it imports.
      args: further arguments, before those of the user.
      **kwargs: handed on to all targets.
    """
    image_files(
        name = name + "_files",
        index = index,
        **kwargs
    )
    py_binary(
        name = name,
        srcs = [main],
        main = main,
        # Quoted, since Bazel splits arguments as a shell does.
        args = ["'--image=%s'" % _folder(native.package_name(), name + "_files")] + args,
        data = [":%s_files" % name],
        deps = deps,
        **kwargs
    )
