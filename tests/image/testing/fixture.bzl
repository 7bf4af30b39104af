"""A layer whose writing is no function of its inputs."""

load("//tools/image:defs.bzl", "LayerInfo")

def _changing_layer_impl(ctx):
    first = ctx.attr.first[LayerInfo]
    return [LayerInfo(
        blob = first.blob,
        listing = first.listing,
        metadata = first.metadata,
        recipe = ctx.attr.second[LayerInfo].recipe,
    )]

changing_layer = rule(
    implementation = _changing_layer_impl,
    doc = "The layer `first`, which becomes `second` where it is written again.",
    attrs = {
        "first": attr.label(providers = [LayerInfo]),
        "second": attr.label(providers = [LayerInfo]),
    },
    provides = [LayerInfo],
)
