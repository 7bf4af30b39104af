"""Pushing an image index to a registry."""

load("//tools/image/private:runnable.bzl", "index_program")

def image_push(name, index, **kwargs):
    """`bazel run ... -- --repository HOST/PATH --tag T...` pushes an image index; a tag is written once.

    Args:
      name: name of the target.
      index: label of the image_index.
      **kwargs: common attributes, such as tags and visibility.
    """
    index_program(
        name = name,
        index = index,
        args = [],
        main = Label("//tools/image:push.py"),
        deps = [Label("//tools/image:programs")],
        **kwargs
    )
