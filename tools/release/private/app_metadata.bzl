"""The rule by which the release helper finds apps."""

load("//tools/image:defs.bzl", "ImageIndexInfo")
load("//tools/platforms:label.bzl", "shown")

def _app_metadata_impl(ctx):
    for name in ("app", "domain", "description"):
        if not getattr(ctx.attr, name):
            fail("%s: `%s` is empty. A release is named by it; fill it in." % (shown(ctx.label), name))
    document = ctx.actions.declare_file(ctx.label.name + ".json")
    ctx.actions.write(document, json.encode_indent({
        "app": ctx.attr.app,
        "binary": str(ctx.attr.binary.label) if ctx.attr.binary else None,
        "description": ctx.attr.description,
        "domain": ctx.attr.domain,
        "image": str(ctx.attr.image.label),
        "language": ctx.attr.language,
        "platforms": ctx.attr.platforms,
        "repository": "%s-%s" % (ctx.attr.domain, ctx.attr.app),
    }, indent = "  ") + "\n")
    return [DefaultInfo(files = depset([document]))]

app_metadata = rule(
    implementation = _app_metadata_impl,
    doc = """What is released under which name.

The release helper reads these attributes from the output of `bazel query`, where nothing is analysed: a `select()` would
read as empty, so `release_app` refuses one.""",
    attrs = {
        "app": attr.string(
            doc = "Name of the app.",
            mandatory = True,
        ),
        "binary": attr.label(
            doc = "The program in the image, where it is made of one.",
        ),
        "description": attr.string(
            doc = "One line for people.",
            mandatory = True,
        ),
        "domain": attr.string(
            doc = "Group of apps that belong together; with the app's name it names the repository.",
            mandatory = True,
        ),
        "image": attr.label(
            doc = "The image index.",
            mandatory = True,
            providers = [ImageIndexInfo],
        ),
        "language": attr.string(doc = "Language of the app."),
        "platforms": attr.string_list(
            doc = "Platforms of the image by their OCI names, such as linux/arm64.",
            mandatory = True,
        ),
    },
)
