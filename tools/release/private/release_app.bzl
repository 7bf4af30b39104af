"""The macro that makes an app releasable."""

load("//tools/image:defs.bzl", "image", "image_index", "image_load", "image_push", "python_layers")
load("//tools/platforms:defs.bzl", "DEFAULT_PLATFORMS")
load("//tools/release/private:app_metadata.bzl", "app_metadata")

def release_app(
        name,
        domain,
        description,
        binary = None,
        base = Label("//tools/debian:base"),
        platforms = DEFAULT_PLATFORMS,
        env = {},
        layers = [],
        visibility = None):
    """Makes an app releasable: its images, and the metadata by which the release helper finds it.

    Targets:
      NAME_image: the image index, one image for each platform. (`tools/image`'s output groups.)
      NAME_image_base: the image of one platform, that of the configuration.
      NAME_image_load: `bazel run` loads one platform into a Docker engine.
      NAME_image_push: `bazel run ... -- --repository R --tag T` pushes the index.
      NAME_metadata: what the release helper reads.

    Image targets are `manual`: `bazel build //...` builds them only where something depends on them.

    Args:
      name: the app's name; its repository is DOMAIN-NAME.
      domain: group that the app belongs to.
      description: one line for people.
      binary: the py_binary that the image starts; `:NAME` by default.
      base: the image to stand on, with Python at /usr/bin/python3.
      platforms: dict from a platform's OCI name (linux/arm64) to its label.
      env: environment variables of the image.
      layers: further layers, above those of the program.
      visibility: of all targets.
    """
    binary = binary or ":" + name
    for attribute, value in {"name": name, "domain": domain, "description": description}.items():
        if type(value) != "string" or not value:
            fail("release_app %s: `%s` must be a plain, non-empty string; the release helper reads it without analysing the build." % (name, attribute))
    common = {"tags": ["manual"], "visibility": visibility}
    python_layers(
        name = name + "_image_layers",
        binary = binary,
        **common
    )
    image(
        name = name + "_image_base",
        base = base,
        env = env,
        layers = [":%s_image_layers" % name] + layers,
        **common
    )
    image_index(
        name = name + "_image",
        image = ":%s_image_base" % name,
        platforms = {label: oci_name for oci_name, label in platforms.items()},
        **common
    )
    image_load(
        name = name + "_image_load",
        index = ":%s_image" % name,
        tag = "%s-%s:latest" % (domain, name),
        **common
    )
    image_push(
        name = name + "_image_push",
        index = ":%s_image" % name,
        **common
    )
    app_metadata(
        name = name + "_metadata",
        app = name,
        binary = binary,
        description = description,
        domain = domain,
        image = ":%s_image" % name,
        language = "python",
        platforms = platforms.keys(),
        visibility = visibility,
    )
