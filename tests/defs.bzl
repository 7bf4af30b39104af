"""The one way that this project's Python tests are declared."""

load("@rules_python//python:defs.bzl", "py_test")

def pytest_test(name, srcs, deps = [], data = [], args = [], size = "small", **kwargs):
    """Runs pytest over `srcs`, with the project's conftest.py: in CI a skipped test is a failure.

    Args:
      name: name of the test target.
      srcs: files whose names end in `_test.py` are collected; others are imported by them.
      deps: Python libraries that the tests import; pytest itself is added.
      data: files that the tests read at run time.
      args: further arguments of pytest.
      size: Bazel's test size.
      **kwargs: handed on to `py_test`.
    """
    py_test(
        name = name,
        size = size,
        srcs = srcs + ["//tests:pytest_main.py"],
        main = "//tests:pytest_main.py",
        args = ["$(rootpath %s)" % src for src in srcs if src.endswith("_test.py")] + args,
        data = data,
        imports = ["../" * len(native.package_name().split("/"))],
        deps = deps + [
            "//tests:conftest",
            "@pip//pytest",
        ],
        **kwargs
    )
