"""What a test of an image looks at: files of an image index among its runfiles, and a JSON file that says which is what."""

load("//tools/image/private:layer.bzl", "LAYER_TOOL_ATTRS", "write_layer_again")
load("//tools/image/private:providers.bzl", "ImageIndexInfo")
load("//tools/platforms:label.bzl", "shown")

# What of an index a test reads, by `view`. Sizes are known without any blob.
_PARTS = {
    "contents": ["blob", "listing"],
    "sizes": [],
    "writings": ["listing"],
}

def _subject_folder(package, name):
    return "%s/%s" % (package, name) if package else name

def declare_subject(name, view, image, tags, spec = ""):
    """Declares what one test looks at, for nobody else.

    Args:
      name: name of the image_subject.
      view: see image_subject.
      image: label of the image_index.
      tags: tags of the test.
      spec: see image_subject.

    Returns:
      The folder of its files, relative to the one that tests run in
    """
    unfit = [each for each in name.elems() if each in "\"$'"]
    if unfit:
        fail(("//%s:%s: the name of the test has %s, which Bazel's own start of tests takes for the shell's. " +
              "Name it without.") % (native.package_name(), name.removesuffix("_subject"), " and ".join(unfit)))
    image_subject(
        name = name,
        view = view,
        index = image,
        spec = spec,
        tags = tags + ["manual"],
        testonly = True,
        visibility = ["//visibility:private"],
    )
    return _subject_folder(native.package_name(), name)

def _image_subject_impl(ctx):
    index = ctx.attr.index[ImageIndexInfo]
    folder = _subject_folder(ctx.label.package, ctx.label.name)
    links = {}

    # Links, not the files themselves: those of two platforms have one path among runfiles.
    def placed(name, file):
        path = "%s/%s" % (folder, name)
        links[path] = file
        return path

    written = {}
    images = {}
    for platform, image in index.images.items():
        place = platform.replace("/", "_")
        layers = []
        for number, layer in enumerate(image.layers):
            # A layer that platforms share is one layer.
            if layer.metadata not in written:
                written[layer.metadata] = _layer(ctx, layer, "%s/layer%d" % (place, number), placed)
            layers.append(written[layer.metadata])
        images[platform] = {"layers": layers}
        if ctx.attr.view == "contents":
            documents = index.documents[platform]
            images[platform] |= {
                "config": placed(place + "/config.json", documents.config),
                "manifest": placed(place + "/manifest.json", documents.manifest),
            }

    facts = {"images": images, "label": shown(ctx.attr.index.label)}
    if ctx.attr.view == "contents":
        facts["index"] = placed("index.json", index.index)
    if ctx.attr.spec:
        spec = ctx.actions.declare_file(ctx.label.name + ".spec.json")
        ctx.actions.write(spec, ctx.attr.spec)
        placed("spec.json", spec)
    subject = ctx.actions.declare_file(ctx.label.name + ".subject.json")
    ctx.actions.write(subject, json.encode(facts))
    placed("subject.json", subject)
    return [DefaultInfo(runfiles = ctx.runfiles(symlinks = links))]

def _layer(ctx, layer, name, placed):
    """Places what the test reads of one layer, and returns the paths."""
    facts = {"metadata": placed(name + ".json", layer.metadata)}
    parts = _PARTS[ctx.attr.view]
    if "listing" in parts and layer.listing:
        facts["listing"] = placed(name + ".ndjson", layer.listing)
    if "blob" in parts:
        facts["blob"] = placed(name + ".blob", layer.blob)
    if ctx.attr.view == "writings" and layer.recipe:
        again = write_layer_again(ctx, "%s/%s" % (ctx.label.name, name), layer)
        facts["again"] = placed(name + ".again.json", again.metadata)
        facts["again_listing"] = placed(name + ".again.ndjson", again.listing)
    return facts

image_subject = rule(
    implementation = _image_subject_impl,
    doc = "PACKAGE/NAME/subject.json among runfiles, and the files of an image index that it names (tools/image/testing/subject.py).",
    attrs = {
        "view": attr.string(
            doc = "contents: documents, listings and blobs. sizes: metadata of layers. writings: each layer, and again.",
            mandatory = True,
            values = _PARTS.keys(),
        ),
        "index": attr.label(
            mandatory = True,
            providers = [ImageIndexInfo],
        ),
        "spec": attr.string(doc = "Content of PACKAGE/NAME/spec.json; empty for none."),
    } | LAYER_TOOL_ATTRS,
)
