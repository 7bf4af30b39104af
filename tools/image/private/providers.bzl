"""What image rules tell each other. Blobs travel as files, facts about them as JSON, so that nothing reads a blob twice."""

def _layer_info(*, blob, metadata, listing = None, key = None, origin = None, recipe = None):
    return {"blob": blob, "key": key, "listing": listing, "metadata": metadata, "origin": origin, "recipe": recipe}

LayerInfo, _ = provider(
    init = _layer_info,
    doc = "One layer of an image (OCI image-spec, layer.md).",
    fields = {
        "blob": "File: the compressed tar archive.",
        "key": """A hashable value, or None. Layers of two platforms with equal keys have equal content: an image index
takes the first of them for both, so that it is written once. None: the layer is its platform's own.""",
        "listing": """File: a JSON line for each entry of the archive, in its order: path, kind, mode, uid, gid, and size,
sha256, target where the entry has them, interpreter (of a script) or loader (of an ELF file) where a file that can be
executed names one, format ("unknown") where such a file is neither. None where only the blob knows (a pulled layer).""",
        "metadata": """File: JSON object with mediaType, digest and size of the blob, diffID, createdBy, machine (the
architecture that its programs are for, or null) and packages (what it holds that has a name and a version).""",
        "origin": """struct(digest, insecure, repository, size) of a blob that a registry has: it is fetched when something needs
the file. `insecure`: by plain HTTP, if need be. None for a layer that is made here.""",
        "recipe": "struct of what image_repro_test needs to write the layer once more; None for a layer that was not written here.",
    },
)

ImageInfo = provider(
    doc = "The description of an image for one platform: what an image index makes its documents of.",
    fields = {
        "layers": "list of LayerInfo, bottom (base) first.",
        "platform": "string: os/architecture by their OCI names, such as linux/arm64.",
        "program": """Label of the program that lies in /app: the `binary` of the image, or of one that it stands on. None where there
is none, and for a pulled image, of which it is not known.""",
        "settings": """list of struct, bottom (base) first: what a container of the image is to be like. Each has either
`settings`, a dict as the rule image makes it, or `config`, the File of a pulled image's configuration (OCI image-spec,
config.md).""",
    },
)

ImageIndexInfo = provider(
    doc = "Images of one content for several platforms (OCI image-spec, image-index.md).",
    fields = {
        "blob_map": "File: JSON object {digest: the key in `blobs_by_name`}.",
        "blobs": "depset of File: every blob that the index reaches, itself included; a file's SHA-256 is its digest.",
        "blobs_by_name": "dict from a short name to File: the same blobs.",
        "descriptor": "File: JSON descriptor (mediaType, digest, size) of the index.",
        "documents": "dict from platform to struct(config, manifest, spdx, cyclonedx) of File; the last two are None without SBOMs.",
        "images": "dict from platform (linux/arm64) to ImageInfo; a layer that platforms share is the same LayerInfo in each.",
        "index": "File: the index blob.",
        "origins": """File: JSON object {digest: {repository, size, insecure}} of the layers that a registry has (tools/oci/origin.py);
None where all of them are made here.""",
        "pulled": "dict from digest to File: the blobs of these layers.",
    },
)
