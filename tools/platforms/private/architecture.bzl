"""The OCI name of the architecture that a target is configured for."""

# Attributes that a rule needs to call target_architecture().
ARCHITECTURE_ATTRS = {
    "_amd64": attr.label(default = "@platforms//cpu:x86_64"),
    "_arm64": attr.label(default = "@platforms//cpu:aarch64"),
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
          "Build an image index, or pass --platforms=//tools/platforms:linux_amd64.") % ctx.label)
