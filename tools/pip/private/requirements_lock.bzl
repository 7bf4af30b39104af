"""The target that renews a lock, and the test that tells when it must be."""

load("@rules_python//python:defs.bzl", "py_binary", "py_test")

def requirements_lock(name, requirements_in, requirements, **kwargs):
    """Makes `bazel run :NAME`, which renews a lock, and the test NAME_test, which fails when it is out of step.

    Args:
      name: name of the target.
      requirements_in: the requirements that people write, a file of this package.
      requirements: the lock, a file of this package.
      **kwargs: visibility and the like, for both targets.
    """
    folder = native.package_name() + "/" if native.package_name() else ""
    command = "bazel run //%s:%s" % (native.package_name(), name)
    common = dict(
        srcs = [Label("//tools/pip:lock.py")],
        main = Label("//tools/pip:lock.py"),
        deps = [Label("//tools/pip:lock_library")],
    ) | kwargs
    arguments = ["'%s'" % command, folder + requirements_in, folder + requirements]
    py_binary(
        name = name,
        args = arguments,
        **common
    )
    py_test(
        name = name + "_test",
        size = "small",
        args = arguments + ["--check"],
        data = [
            requirements_in,
            requirements,
        ],
        **common
    )
