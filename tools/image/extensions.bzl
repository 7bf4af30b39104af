"""The module extension for base images out of registries."""

load("//tools/image/private:pull.bzl", "declare_pull")

def _images_impl(module_ctx):
    pulls = {}
    for module in module_ctx.modules:
        for pull in module.tags.pull:
            if pull.name in pulls:
                fail("""two base images are named "{name}"
  Why: {other} and {module} both call images.pull(name = "{name}"), and repositories need names of their own
  What to do: give the one in your module another name, such as "{module}_{name}\"""".format(
                    name = pull.name,
                    other = pulls[pull.name],
                    module = module.name,
                ))
            pulls[pull.name] = module.name
            declare_pull(pull)
    return module_ctx.extension_metadata(reproducible = True)

_pull = tag_class(
    doc = """An image in a registry, as `@NAME//:image`: a base for the rule `image`.

It is named by its digest, so that it never changes. What describes it is fetched when a build comes upon it, its layers
only when something needs their content: each by an action (ImagePull), so that a cache serves them to others.

The login is the one that Docker has for the registry: `docker login`, a credential helper or `$DOCKER_CONFIG`. Actions
do not see the environment, so `--action_env=DOCKER_CONFIG` (and `=PATH`, for a helper that is not in /usr/bin) belongs
into .bazelrc where it counts; a proxy likewise.""",
    attrs = {
        "digest": attr.string(
            doc = """`sha256:...` of an image index, or of the manifest of one platform's image. A registry tells it of a tag:
`docker buildx imagetools inspect REPOSITORY:TAG`, or `crane digest REPOSITORY:TAG`.""",
            mandatory = True,
        ),
        "insecure": attr.bool(
            doc = "Whether plain HTTP is allowed. It always is for this machine's own registries.",
        ),
        "name": attr.string(
            doc = "Name of the repository.",
            mandatory = True,
        ),
        "platforms": attr.string_list(
            default = ["linux/amd64", "linux/arm64"],
            doc = "The platforms to take from an index, by their OCI names. A single manifest has one.",
        ),
        "repository": attr.string(
            doc = "`HOST[:PORT]/PATH`, written out: Docker Hub's debian is `docker.io/library/debian`.",
            mandatory = True,
        ),
        "tag": attr.string(
            doc = "The tag that had this digest, for readers and tools that propose updates. It is never asked for.",
        ),
    },
)

images = module_extension(
    doc = "Base images: each a repository, described by its registry when something needs it.",
    implementation = _images_impl,
    tag_classes = {"pull": _pull},
)
