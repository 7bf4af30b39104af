"""What a BUILD file can get wrong is told at analysis, with what to change."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")
load("//tools/image:defs.bzl", "ImageInfo", "image")

_ATTRS = {"says": attr.string(mandatory = True)}

def _mistake_test_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.expect_failure(env, ctx.attr.says)
    return analysistest.end(env)

_for_arm64_test = analysistest.make(
    _mistake_test_impl,
    attrs = _ATTRS,
    config_settings = {"//command_line_option:platforms": str(Label("//tools/platforms:linux_arm64"))},
    expect_failure = True,
)

_index_test = analysistest.make(_mistake_test_impl, attrs = _ATTRS, expect_failure = True)

def mistake_test(name, target_under_test, says, index = False):
    """Asserts that a target cannot be analysed.

    Args:
      name: name of the test.
      target_under_test: label of the target.
      says: text that the error has.
      index: whether the target chooses its platforms itself.
    """
    (_index_test if index else _for_arm64_test)(name = name, says = says, target_under_test = target_under_test)

def _good_image_test_impl(ctx):
    env = analysistest.begin(ctx)
    asserts.true(env, ImageInfo in analysistest.target_under_test(env))
    return analysistest.end(env)

good_image_test = analysistest.make(
    _good_image_test_impl,
    config_settings = {"//command_line_option:platforms": str(Label("//tools/platforms:linux_arm64"))},
)

def _tag_test_impl(ctx):
    env = analysistest.begin(ctx)
    (program,) = [action for action in analysistest.target_actions(env) if action.mnemonic == "TemplateExpand"]
    asserts.true(env, "\"--tag=%s\"" % ctx.attr.tag in program.content, program.content)
    return analysistest.end(env)

tag_test = analysistest.make(_tag_test_impl, attrs = {"tag": attr.string(doc = "The tag that the program gets.")})

def bad_image_test(name, attribute, value):
    """Asserts that an image cannot have this value of an attribute.

    Args:
      name: name of the test.
      attribute: name of the attribute.
      value: a value that is none.
    """
    image(
        name = name + "_image",
        tags = ["manual"],
        **{attribute: value}
    )
    mistake_test(
        name = name,
        says = "`%s`" % attribute,
        target_under_test = ":%s_image" % name,
    )
