"""Rules for root file systems made of Debian packages.

    debian_layer    what a set of packages installs, as a layer of an image
"""

load("//tools/debian/private:debian_layer.bzl", _debian_layer = "debian_layer")

debian_layer = _debian_layer
