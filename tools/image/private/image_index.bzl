"""The rule for an image index: one image, configured for each of several platforms, and all documents of them."""

load("//tools/image/private:layer.bzl", "WORKER", "WORKER_ENV")
load("//tools/image/private:providers.bzl", "ImageIndexInfo", "ImageInfo")
load("//tools/platforms:defs.bzl", "image_platforms_transition")
load("//tools/platforms:label.bzl", "shown")

def _image_index_impl(ctx):
    images = _share_layers(_images_by_platform(ctx))
    index = ctx.actions.declare_file(ctx.label.name + ".index.json")
    descriptor = ctx.actions.declare_file(ctx.label.name + ".descriptor.json")
    blob_map = ctx.actions.declare_file(ctx.label.name + ".blobs.json")
    outputs = {name: _declare_documents(ctx, name) for name in images}

    names = {index: "index"}
    for name, image in images.items():
        prefix = name.replace("/", "_")
        for field, file in outputs[name].items():
            if field not in ("spdx", "cyclonedx"):
                names[file] = "%s/%s" % (prefix, field)
        for number, layer in enumerate(image.layers):
            # A layer that an earlier platform has brought keeps its name.
            names.setdefault(layer.blob, "%s/layer%d" % (prefix, number))
    blobs_by_name = {name: file for file, name in names.items()}

    args = ctx.actions.args()
    args.add("index")
    args.add("--index", index)
    args.add("--descriptor", descriptor)
    args.add("--blob-map", blob_map)
    args.add(shown(ctx.label), format = "--label=%s")
    args.add(json.encode(ctx.attr.annotations), format = "--annotations=%s")
    args.add_all([
        json.encode({
            "platform": name,
            "settings": [{"config": part.config.path} if hasattr(part, "config") else part for part in image.settings],
            "layers": [{
                "blob": names[layer.blob],
                "listing": layer.listing.path if layer.listing else None,
                "metadata": layer.metadata.path,
            } for layer in image.layers],
            "outputs": {field: file.path for field, file in outputs[name].items()},
        })
        for name, image in images.items()
    ])
    args.use_param_file("@%s", use_always = True)
    args.set_param_file_format("multiline")
    facts = [
        file
        for image in images.values()
        for file in [part.config for part in image.settings if hasattr(part, "config")] + [
            fact
            for layer in image.layers
            for fact in [layer.metadata] + ([layer.listing] if layer.listing else [])
        ]
    ]
    ctx.actions.run(
        executable = ctx.executable._document_tool,
        arguments = [args],
        env = WORKER_ENV,
        # Facts only: no blob is opened.
        inputs = depset(facts),
        outputs = [index, descriptor, blob_map] + [file for each in outputs.values() for file in each.values()],
        execution_requirements = WORKER,
        mnemonic = "ImageIndex",
        progress_message = "Describing image index %{label}",
    )

    blobs = depset(blobs_by_name.values())
    pulled = {layer.origin.digest: layer for image in images.values() for layer in image.layers if layer.origin}
    pulled_blobs = {digest: layer.blob for digest, layer in pulled.items()}
    origins = _origins(ctx, pulled) if pulled else None
    return [
        DefaultInfo(files = depset([descriptor])),
        OutputGroupInfo(
            blobs = blobs,
            descriptor = depset([descriptor]),
            made_blobs = depset([file for file in blobs_by_name.values() if file not in pulled_blobs.values()]),
            origins = depset([origins] if origins else []),
            layout = depset([_layout(ctx, "layout", ctx.actions.declare_directory(ctx.label.name + ".layout"), descriptor, blob_map, blobs_by_name)]),
            sbom = depset([each[kind] for each in outputs.values() for kind in ("spdx", "cyclonedx") if kind in each]),
            tarball = depset([_layout(ctx, "tarball", ctx.actions.declare_file(ctx.label.name + ".oci.tar"), descriptor, blob_map, blobs_by_name)]),
            **{digest: depset([blob]) for digest, blob in pulled_blobs.items()}
        ),
        ImageIndexInfo(
            blob_map = blob_map,
            blobs = blobs,
            blobs_by_name = blobs_by_name,
            descriptor = descriptor,
            documents = {
                name: struct(
                    config = each["config"],
                    cyclonedx = each.get("cyclonedx"),
                    manifest = each["manifest"],
                    spdx = each.get("spdx"),
                )
                for name, each in outputs.items()
            },
            images = images,
            index = index,
            origins = origins,
            pulled = pulled_blobs,
        ),
    ]

def _origins(ctx, pulled):
    """Writes down which registry has which layer: who pushes the index may not need its file."""
    origins = ctx.actions.declare_file(ctx.label.name + ".origins.json")
    ctx.actions.write(origins, json.encode({
        digest: {
            "insecure": layer.origin.insecure,
            "repository": layer.origin.repository,
            "size": layer.origin.size,
        }
        for digest, layer in pulled.items()
    }) + "\n")
    return origins

def _images_by_platform(ctx):
    images = {}
    for name, target in sorted(ctx.split_attr.image.items()):
        image = target[ImageInfo]
        if image.platform != name:
            fail("%s: the platform that `platforms` calls %s builds an image for %s. Correct the name or the platform." % (shown(ctx.label), name, image.platform))
        images[name] = image
    return images

def _share_layers(images):
    """Replaces layers by equal ones of an earlier platform: what is on no path to an output is never written."""
    first = {}
    shared = {}
    for name, image in images.items():
        layers = [first.setdefault(layer.key, layer) if layer.key else layer for layer in image.layers]
        shared[name] = ImageInfo(layers = layers, platform = image.platform, program = image.program, settings = image.settings)
    return shared

def _declare_documents(ctx, name):
    """The documents of one platform's image, by what they are. Without SBOMs there is nothing to attest."""
    names = {"config": "config.json", "manifest": "manifest.json"}
    if ctx.attr.sbom:
        names |= {
            "attestation_config": "attestation.config.json",
            "attestation_manifest": "attestation.manifest.json",
            "cyclonedx": "sbom.cdx.json",
            "cyclonedx_statement": "sbom.cdx.intoto.json",
            "spdx": "sbom.spdx.json",
            "spdx_statement": "sbom.spdx.intoto.json",
        }
    folder = "%s.documents/%s/" % (ctx.label.name, name.replace("/", "_"))
    return {document: ctx.actions.declare_file(folder + file) for document, file in names.items()}

def _layout(ctx, form, output, descriptor, blob_map, blobs_by_name):
    """Declares an OCI image layout. It copies every blob, so it is an output group of its own, made when asked for."""
    args = ctx.actions.args()
    args.add(form)
    args.add("--descriptor", descriptor)
    args.add("--blob-map", blob_map)
    args.add_all([output], before_each = "--out", expand_directories = False)
    args.add_all(["%s=%s" % (name, file.path) for name, file in blobs_by_name.items()], format_each = "--blob=%s")
    args.use_param_file("@%s", use_always = True)
    args.set_param_file_format("multiline")
    ctx.actions.run(
        executable = ctx.executable._document_tool,
        arguments = [args],
        env = WORKER_ENV,
        inputs = [descriptor, blob_map] + blobs_by_name.values(),
        outputs = [output],
        execution_requirements = WORKER,
        mnemonic = "ImageLayout",
        progress_message = "Copying blobs of %{label} into a " + form,
    )
    return output

image_index = rule(
    implementation = _image_index_impl,
    doc = """An image index (OCI image-spec, image-index.md): `image`, built for each of `platforms`.

One action writes all documents, out of facts about the layers. A layer that is the same on several platforms is written
once. Beside each image stands an attestation with its SBOM, as BuildKit keeps it: a manifest for the platform
unknown/unknown, which every copy and every other name of the index carries along.

Output groups: `descriptor` (JSON: mediaType, digest, size of the index; the default output), `blobs` (every blob as a
file of its own), `made_blobs` (those but the layers of a pulled base, each of which is a group named by its digest),
`origins` (JSON: the registries that have these; nothing where there are none), `sbom` (for each platform SPDX 2.3 and
CycloneDX 1.6, JSON), `layout` (OCI image layout, a directory) and `tarball` (the same as a tar archive).""",
    attrs = {
        "annotations": attr.string_dict(doc = "Annotations of the index (OCI image-spec, annotations.md)."),
        "image": attr.label(
            cfg = image_platforms_transition,
            doc = "The image; it is built once for each platform.",
            mandatory = True,
            providers = [ImageInfo],
        ),
        "platforms": attr.label_keyed_string_dict(
            doc = "Platforms and their OCI names: `{\"@slipway//tools/platforms:linux_arm64\": \"linux/arm64\"}`.",
            mandatory = True,
        ),
        "sbom": attr.bool(
            default = True,
            doc = "Whether the index holds an attestation with the SBOM of each image.",
        ),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
        "_document_tool": attr.label(
            cfg = "exec",
            default = "//tools/image:document_tool",
            executable = True,
        ),
    },
    provides = [ImageIndexInfo],
)
