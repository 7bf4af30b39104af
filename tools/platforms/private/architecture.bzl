"""The OCI name of the architecture that a target is configured for."""

load("//tools/platforms:label.bzl", "shown")

# Attributes that a rule needs to call target_architecture() and is_container().
ARCHITECTURE_ATTRS = {
    "_amd64": attr.label(default = "@platforms//cpu:x86_64"),
    "_arm64": attr.label(default = "@platforms//cpu:aarch64"),
    "_container": attr.label(default = "//tools/platforms:container"),
    "_linux": attr.label(default = "@platforms//os:linux"),
}

def target_architecture(ctx):
    """Names the CPU of the target platform as the OCI does (GOARCH).

    Args:
      ctx: context of a rule with ARCHITECTURE_ATTRS.

    Returns:
      "amd64" or "arm64". Fails for any other platform.
    """
    if ctx.target_platform_has_constraint(ctx.attr._linux[platform_common.ConstraintValueInfo]):
        for name in ("amd64", "arm64"):
            if ctx.target_platform_has_constraint(getattr(ctx.attr, "_" + name)[platform_common.ConstraintValueInfo]):
                return name
    fail(("%s cannot be built for the platform that it was asked for: images are for Linux on amd64 or arm64. " +
          "Build an image index, or pass --platforms=@slipway//tools/platforms:linux_amd64.") % shown(ctx.label))

def is_container(ctx):
    """Tells what is built for a container from what is built for the machine that builds.

    Args:
      ctx: context of a rule with ARCHITECTURE_ATTRS.

    Returns:
      True if the target platform says so. Every platform of an image has to: its Python is another one, and so are wheels.
    """
    return ctx.target_platform_has_constraint(ctx.attr._container[platform_common.ConstraintValueInfo])
