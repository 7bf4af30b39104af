"""What the graph of an image promises: descriptions are made of facts, and nobody reads a layer twice."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("//tools/image:defs.bzl", "ImageIndexInfo", "ImageInfo")

def _actions(env, mnemonic):
    return [action for action in analysistest.target_actions(env) if action.mnemonic == mnemonic]

def _blobs(action):
    return [file.short_path for file in action.inputs.to_list() if file.basename.endswith(".layer.tar.gz")]

def _spawned(env):
    """What needs a process: writing a file from what the analysis knows does not."""
    return sorted([action.mnemonic for action in analysistest.target_actions(env) if action.mnemonic != "FileWrite"])

def _image_has_no_document_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.equals(env, ["ImageLayer"], [action.mnemonic for action in analysistest.target_actions(env)], "An image is a description.")
    return analysistest.end(env)

image_has_no_document_test = analysistest.make(
    _image_has_no_document_impl,
    config_settings = {"//command_line_option:platforms": str(Label("//tools/platforms:linux_arm64"))},
)

def _index_has_one_action_impl(ctx):
    env = analysistest.begin(ctx)
    actions = _actions(env, "ImageIndex")
    asserts.equals(env, 1, len(actions))
    asserts.equals(env, [], _blobs(actions[0]))
    asserts.equals(
        env,
        ["ImageIndex", "ImageLayout", "ImageLayout"],
        _spawned(env),
        "An index describes, and copies blobs only into layouts.",
    )

    info = analysistest.target_under_test(env)[ImageIndexInfo]
    asserts.equals(env, ["linux/amd64", "linux/arm64"], info.images.keys())
    asserts.equals(env, info.blobs.to_list(), info.blobs_by_name.values())
    for platform, image in info.images.items():
        asserts.equals(env, platform, image.platform)
        asserts.true(env, info.documents[platform].manifest in info.blobs.to_list())
    return analysistest.end(env)

index_has_one_action_test = analysistest.make(_index_has_one_action_impl)

def _layers_are_shared_impl(ctx):
    """What no platform makes different is written by one action, whatever the number of platforms."""
    env = analysistest.begin(ctx)
    info = analysistest.target_under_test(env)[ImageIndexInfo]
    amd64, arm64 = [image.layers for image in info.images.values()]
    shared = [one.blob == other.blob for one, other in zip(amd64, arm64)]
    asserts.equals(
        env,
        {"click.layer.tar.gz": True, "linux_amd64.layer.tar.gz": False, "image_base.layer.tar.gz": False, "files.layer.tar.gz": False, "sources.layer.tar.gz": True},
        {layer.blob.basename: same for layer, same in zip(amd64, shared)},
    )
    asserts.equals(env, 8, len([name for name in info.blobs_by_name if name.partition("/")[2].startswith("layer")]))
    return analysistest.end(env)

layers_are_shared_test = analysistest.make(_layers_are_shared_impl)

def _app_layer_reads_no_wheel_impl(ctx):
    env = analysistest.begin(ctx)
    actions = _actions(env, "ImageLayer")
    asserts.equals(env, 1, len(actions), "The layer of a wheel is declared at the wheel, once for all programs.")
    wheels = [
        file.short_path
        for file in actions[0].inputs.to_list()
        if file.basename == "site-packages" and "deflate" not in file.path
    ]
    asserts.equals(env, [], wheels)
    return analysistest.end(env)

app_layer_reads_no_wheel_test = analysistest.make(
    _app_layer_reads_no_wheel_impl,
    config_settings = {"//command_line_option:platforms": str(Label("//tools/platforms:linux_arm64"))},
)

def _no_platform_fails_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.expect_failure(env, "Build the image through an image index")
    return analysistest.end(env)

host_is_no_platform_test = analysistest.make(_no_platform_fails_impl, expect_failure = True)

def _wheel_layers_impl(ctx):
    env = analysistest.begin(ctx)
    layers = analysistest.target_under_test(env)[ImageInfo].layers
    asserts.equals(env, ctx.attr.layers, [layer.recipe.created_by.rpartition(" ")[0] for layer in layers])
    asserts.equals(env, ctx.attr.shared, [layer.recipe.created_by.rpartition(" ")[0] for layer in layers if layer.key])
    asserts.equals(env, [], [layer.blob.basename for layer in layers if not layer.blob.basename.endswith(".layer.tar.zst")])
    return analysistest.end(env)

wheel_layers_test = analysistest.make(
    _wheel_layers_impl,
    attrs = {
        "layers": attr.string_list(doc = "What each layer is, bottom first."),
        "shared": attr.string_list(doc = "Those that every platform has."),
    },
    config_settings = {"//command_line_option:platforms": str(Label("//tools/platforms:linux_arm64"))},
)
