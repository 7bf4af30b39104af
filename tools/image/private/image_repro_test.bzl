"""Testing that an image is a function of its inputs."""

load("@rules_python//python:defs.bzl", "py_test")
load("//tools/image/private:subject.bzl", "declare_subject")

def image_repro_test(name, image, size = "small", **kwargs):
    """Tests that each layer of an image, written once more under other conditions, is the same, byte for byte.

    The second time the inputs come in another order, and the program runs with another working directory, umask, time
    zone, language, hash seed and number of threads. A difference is told with the layer and the first entry that differs.
    Layers that no rule of this module wrote (those of a pulled image) are named as not made again.

    Args:
      name: name of the test.
      image: label of the image_index.
      size: Bazel's test size.
      **kwargs: common attributes of tests.
    """
    folder = declare_subject(name + "_subject", "writings", image, kwargs.get("tags", []))
    py_test(
        name = name,
        size = size,
        srcs = [Label("//tools/image/testing:repro_check.py")],
        main = Label("//tools/image/testing:repro_check.py"),
        # Quoted, since Bazel splits arguments as a shell does.
        args = ["'--subject=%s/subject.json'" % folder],
        data = [":%s_subject" % name],
        deps = [Label("//tools/image/testing:subject")],
        **kwargs
    )
