"""Rules that call attributes `deps`, `data` and `main`, and mean something of their own by them."""

load("@rules_python//python:defs.bzl", "PyInfo")

def _nothing_impl(_ctx):
    return []

one_label = rule(
    implementation = _nothing_impl,
    attrs = {
        "data": attr.label(),
        "deps": attr.label(),
    },
)

labels_as_keys = rule(
    implementation = _nothing_impl,
    attrs = {
        "data": attr.label_keyed_string_dict(),
        "deps": attr.label_keyed_string_dict(),
    },
)

no_labels = rule(
    implementation = _nothing_impl,
    attrs = {
        "data": attr.string_list_dict(),
        "deps": attr.string_list(),
    },
)

no_collections = rule(
    implementation = _nothing_impl,
    attrs = {
        "data": attr.bool(),
        "deps": attr.string(),
    },
)

def _python_impl(_ctx):
    return [PyInfo(transitive_sources = depset())]

python_of_another_kind = rule(
    implementation = _python_impl,
    attrs = {"main": attr.string()},
)
