"""What `bazel run` does with a built image index: a program that gets the index's files as arguments."""

load("@rules_python//python:defs.bzl", "py_binary")

def index_program(name, index, main, deps, args, **kwargs):
    """Declares a py_binary that is started with `--layout FOLDER`, the OCI layout of an image index.

    Not with the blobs themselves: the files of two platforms have one path among the runfiles, which are laid out by
    package and name alone, and the second would take the place of the first.

    Args:
      name: name of the target.
      index: label of the image_index.
      main: label of the program's main file.
      deps: what it imports.
      args: further arguments, before those of the user.
      **kwargs: handed on to all targets.
    """
    native.filegroup(
        name = name + "_layout",
        srcs = [index],
        output_group = "layout",
        **kwargs
    )
    py_binary(
        name = name,
        srcs = [main],
        main = main,
        # Quoted, since Bazel splits arguments as a shell does.
        args = ["'--layout=$(rootpath :%s_layout)'" % name] + args,
        data = [":%s_layout" % name],
        deps = deps,
        **kwargs
    )
