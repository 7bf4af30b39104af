"""What image rules tell each other. Blobs travel as files, facts about them as JSON, so that nothing reads a blob twice."""

LayerInfo = provider(
    doc = "One layer of an image (OCI image-spec, layer.md).",
    fields = {
        "blob": "File: the compressed tar archive.",
        "metadata": "File: JSON object with mediaType, digest, size, diffID and createdBy of the blob.",
    },
)

LayersInfo = provider(
    doc = "Several layers that belong together, and how what they hold is started.",
    fields = {
        "entrypoint": "list of strings: the command that starts it; empty where there is nothing to start.",
        "layers": "list of LayerInfo, bottom first.",
    },
)

ImageInfo = provider(
    doc = "An image for one platform (OCI image-spec, manifest.md and config.md).",
    fields = {
        "config": "File: the configuration blob.",
        "descriptor": "File: JSON descriptor (mediaType, digest, size, platform) of the manifest.",
        "layers": "list of LayerInfo, bottom (base) first.",
        "manifest": "File: the manifest blob.",
        "platform": "string: os/architecture by their OCI names, such as linux/arm64.",
    },
)

ImageIndexInfo = provider(
    doc = "Images of one content for several platforms (OCI image-spec, image-index.md).",
    fields = {
        "blobs": "depset of File: every blob that the index reaches, itself included; a file's SHA-256 is its digest.",
        "descriptor": "File: JSON descriptor (mediaType, digest, size) of the index.",
        "images": "dict from platform (linux/arm64) to ImageInfo.",
        "index": "File: the index blob.",
    },
)
