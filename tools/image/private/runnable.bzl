"""What `bazel run` does with a built image index: a program that gets the index's files as arguments."""

load("@rules_python//python:defs.bzl", "py_binary")

def index_program(name, index, main, deps, args, **kwargs):
    """Declares a py_binary that is started with `--descriptor FILE --blob FILE...` of an image index.

    Args:
      name: name of the target.
      index: label of the image_index.
      main: label of the program's main file.
      deps: what it imports.
      args: further arguments, before those of the user.
      **kwargs: handed on to all targets.
    """
    native.filegroup(
        name = name + "_descriptor",
        srcs = [index],
        output_group = "descriptor",
        **kwargs
    )
    native.filegroup(
        name = name + "_blobs",
        srcs = [index],
        output_group = "blobs",
        **kwargs
    )
    py_binary(
        name = name,
        srcs = [main],
        main = main,
        # Quoted, since Bazel splits arguments as a shell does.
        args = ["--descriptor=$(rootpath :%s_descriptor)" % name, "'--blobs=$(rootpaths :%s_blobs)'" % name] + args,
        data = [
            ":%s_descriptor" % name,
            ":%s_blobs" % name,
        ],
        deps = deps,
        **kwargs
    )
