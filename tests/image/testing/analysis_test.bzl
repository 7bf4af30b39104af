"""What the graph of tests of images promises."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")

def _links(env):
    return analysistest.target_under_test(env)[DefaultInfo].default_runfiles.symlinks.to_list()

def _sizes_are_known_without_blobs_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.equals(
        env,
        ["json"],
        {link.target_file.extension: None for link in _links(env)}.keys(),
        "A test of sizes reads metadata and nothing else.",
    )
    asserts.equals(env, [], [file.path for file in analysistest.target_under_test(env)[DefaultInfo].default_runfiles.files.to_list()])
    return analysistest.end(env)

sizes_are_known_without_blobs_test = analysistest.make(_sizes_are_known_without_blobs_impl)

def _writings_are_no_worker_s_impl(ctx):
    env = analysistest.begin(ctx)
    actions = [action for action in analysistest.target_actions(env) if action.mnemonic == "ImageLayerAgain"]

    # Both layers hold the same on both platforms, so each is written once more, and not twice.
    asserts.equals(env, 2, len(actions))
    asserts.equals(env, [True, True], ["--perturbed" in action.argv for action in actions])
    asserts.equals(env, [], [link.path for link in _links(env) if not link.target_file.extension in ("json", "ndjson")])
    return analysistest.end(env)

writings_are_no_worker_s_test = analysistest.make(_writings_are_no_worker_s_impl)

_TagsInfo = provider(doc = "The tags of a target.", fields = {"tags": "list of strings"})

def _tags_aspect_impl(_, ctx):
    return [_TagsInfo(tags = ctx.rule.attr.tags)]

_tags_aspect = aspect(implementation = _tags_aspect_impl)

def _tags_impl(ctx):
    env = analysistest.begin(ctx)

    # The rules of Python add a tag of their own.
    found = [tag for tag in analysistest.target_under_test(env)[_TagsInfo].tags if not tag.startswith("__")]
    asserts.equals(env, sorted(ctx.attr.tags_expected), sorted(found))
    return analysistest.end(env)

tags_test = analysistest.make(
    _tags_impl,
    attrs = {"tags_expected": attr.string_list(mandatory = True)},
    extra_target_under_test_aspects = [_tags_aspect],
)
