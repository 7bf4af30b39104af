"""What the graph of an image promises: descriptions are made of facts, and nobody reads a layer twice."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")

def _actions(env, mnemonic):
    return [action for action in analysistest.target_actions(env) if action.mnemonic == mnemonic]

def _blobs(action):
    return [file.short_path for file in action.inputs.to_list() if file.basename.endswith(".layer.tar.gz")]

def _manifest_reads_no_layer_impl(ctx):
    env = analysistest.begin(ctx)
    actions = _actions(env, "ImageManifest")
    asserts.equals(env, 1, len(actions))
    asserts.equals(env, [], _blobs(actions[0]))
    return analysistest.end(env)

manifest_reads_no_layer_test = analysistest.make(
    _manifest_reads_no_layer_impl,
    config_settings = {"//command_line_option:platforms": str(Label("//tools/platforms:linux_arm64"))},
)

def _index_reads_no_layer_impl(ctx):
    env = analysistest.begin(ctx)
    actions = _actions(env, "ImageIndex")
    asserts.equals(env, 1, len(actions))
    asserts.equals(env, [], _blobs(actions[0]))
    asserts.equals(
        env,
        ["ImageIndex", "ImageLayout", "ImageLayout"],
        sorted([action.mnemonic for action in analysistest.target_actions(env)]),
        "An index describes, and copies blobs only into layouts.",
    )
    return analysistest.end(env)

index_reads_no_layer_test = analysistest.make(_index_reads_no_layer_impl)

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
