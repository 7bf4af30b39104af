"""Running an image in a Docker engine."""

load("//tools/image/private:runnable.bzl", "index_program")

def image_run(name, index, tag, options = [], **kwargs):
    """`bazel run NAME -- ARGUMENTS` loads an image into a Docker engine, as image_load does, and runs it.

    The platform is that of this machine, or what DOCKER_DEFAULT_PLATFORM says; all arguments are the container's. The
    container is removed when it ends.

    Args:
      name: name of the target.
      index: label of the image_index.
      tag: name and tag that the image gets in the engine, such as demo-hello:latest.
      options: options of `docker run`, such as `--publish=8080:8080`.
      **kwargs: common attributes, such as tags and visibility.
    """
    index_program(
        name = name,
        index = index,
        args = ["--tag=" + tag] + options + ["--"],
        main = Label("//tools/image:run.py"),
        deps = [Label("//tools/image:programs")],
        **kwargs
    )
