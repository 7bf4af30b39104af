"""The 1:N transition from an image index to its platforms."""

def _image_platforms_transition_impl(_settings, attr):
    if not attr.platforms:
        fail("%s: `platforms` is empty. Name at least one platform, such as {\"@slipway//tools/platforms:linux_amd64\": \"linux/amd64\"}." % attr.name)
    if len({name: None for name in attr.platforms.values()}) != len(attr.platforms):
        fail("%s: `platforms` gives several platforms one name (%s). An index has one image for each." % (attr.name, ", ".join(attr.platforms.values())))
    return {
        name: {"//command_line_option:platforms": [str(label)]}
        for label, name in attr.platforms.items()
    }

# Reads nothing and writes the platform only: whatever else a user sets reaches every platform of an image alike, and no
# target is configured twice for a reason that nobody sees. Keyed by the platform's OCI name, so that a rule can say which
# one it is talking about.
image_platforms_transition = transition(
    implementation = _image_platforms_transition_impl,
    inputs = [],
    outputs = ["//command_line_option:platforms"],
)
