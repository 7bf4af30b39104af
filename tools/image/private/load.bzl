"""Loading an image into a Docker engine."""

load("//tools/image/private:runnable.bzl", "index_program")

def image_load(name, index, tag, **kwargs):
    """`bazel run` loads one platform of an image index into a Docker engine.

    The platform is that of this machine, or the one given by `-- --platform linux/arm64`.

    Args:
      name: name of the target.
      index: label of the image_index.
      tag: name and tag that the image gets in the engine, such as demo-hello:latest.
      **kwargs: common attributes, such as tags and visibility.
    """
    index_program(
        name = name,
        index = index,
        args = ["--tag=" + tag],
        main = Label("//tools/image:load.py"),
        deps = [Label("//tools/image:programs")],
        **kwargs
    )
