"""The macro that makes an app releasable."""

load("//tools/image:defs.bzl", "image_index", "image_load", "image_push", "image_run", _image = "image")
load("//tools/platforms:defs.bzl", "DEFAULT_PLATFORMS")
load("//tools/release/private:app_metadata.bzl", "app_metadata")

def release_app(
        name,
        domain,
        description,
        binary = None,
        image = None,
        base = Label("//tools/debian:base"),
        platforms = DEFAULT_PLATFORMS,
        env = {},
        layers = [],
        exposed_ports = [],
        user = "",
        compression = "gzip",
        language = "",
        visibility = None):
    """Makes an app releasable: its images, and the metadata by which the release helper finds it.

    Targets:
      NAME_image: the image index, one image for each platform. (`tools/image`'s output groups.)
      NAME_image_base: the image of one platform, that of the configuration; not with `image`.
      NAME_image_load: `bazel run` loads one platform into a Docker engine.
      NAME_image_run: `bazel run ... -- ARGUMENTS` loads it and runs it.
      NAME_image_push: `bazel run ... -- --repository R --tag T` pushes the index.
      NAME_metadata: what the release helper reads.

    Image targets are `manual`: `bazel build //...` builds them only where something depends on them.

    Args:
      name: the app's name; its repository is DOMAIN-NAME.
      domain: group that the app belongs to.
      description: one line for people.
      binary: the program that the image starts: a py_binary, cc_binary, sh_binary or any other; `:NAME` by default.
      image: an `image` of your own, in place of `binary` and all that says how its image is made.
      base: the image to stand on, with what the program needs: Python at /usr/bin/python3, a shell, libraries. None: from
        scratch.
      platforms: dict from a platform's OCI name (linux/arm64) to its label.
      env: environment variables of the image.
      layers: further layers, above those of the program.
      exposed_ports: ports that the program listens on: `8080/tcp`.
      user: user, or user:group, that the program runs as; that of the base by default.
      compression: gzip or zstd, of the program's layers.
      language: the program's language, for people and reports.
      visibility: of all targets.
    """
    for attribute, value in {"name": name, "domain": domain, "description": description}.items():
        if type(value) != "string" or not value:
            fail("release_app %s: `%s` must be a plain, non-empty string; the release helper reads it without analysing the build." % (name, attribute))
    if image and (binary or env or layers or exposed_ports or user):
        fail("release_app %s: `image` is given, and so is what would make one. Leave out binary, env, layers, exposed_ports and user; say them in the image." % name)
    common = {"tags": ["manual"], "visibility": visibility}
    if not image:
        binary = binary or ":" + name
        image = ":%s_image_base" % name
        _image(
            name = name + "_image_base",
            base = base,
            binary = binary,
            compression = compression,
            env = env,
            exposed_ports = exposed_ports,
            layers = layers,
            user = user,
            **common
        )
    image_index(
        name = name + "_image",
        image = image,
        platforms = {label: oci_name for oci_name, label in platforms.items()},
        **common
    )
    tag = "%s-%s:latest" % (domain, name)
    image_load(
        name = name + "_image_load",
        index = ":%s_image" % name,
        tag = tag,
        **common
    )
    image_run(
        name = name + "_image_run",
        index = ":%s_image" % name,
        tag = tag,
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
        language = language,
        platforms = platforms.keys(),
        visibility = visibility,
    )
