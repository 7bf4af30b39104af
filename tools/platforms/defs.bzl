"""Platforms of images: what rules that build for several of them need.

    //tools/platforms:linux_amd64   a platform of images
    //tools/platforms:linux_arm64   another one
    //tools/platforms:container     the constraint value that a platform of your own has to have, too
    DEFAULT_PLATFORMS               the two: dict from OCI name to label
    image_platforms_transition      configures an attribute's target for each of the rule's `platforms`, a dict from
                                    label to OCI name, and changes nothing but the platform
    ARCHITECTURE_ATTRS              attributes of a rule that calls the functions below
"""

load("//tools/platforms/private:architecture.bzl", _ARCHITECTURE_ATTRS = "ARCHITECTURE_ATTRS", _is_container = "is_container", _target_architecture = "target_architecture")
load("//tools/platforms/private:transition.bzl", _image_platforms_transition = "image_platforms_transition")

ARCHITECTURE_ATTRS = _ARCHITECTURE_ATTRS
image_platforms_transition = _image_platforms_transition
is_container = _is_container
target_architecture = _target_architecture

# What an app is built for unless it says otherwise, and the OCI names of these platforms.
DEFAULT_PLATFORMS = {
    "linux/amd64": Label("//tools/platforms:linux_amd64"),
    "linux/arm64": Label("//tools/platforms:linux_arm64"),
}
