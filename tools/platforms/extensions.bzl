"""Toolchains that the platforms of images need."""

load("//tools/platforms/private:cross_gcc.bzl", _cross_compilers = "cross_compilers")

cross_compilers = _cross_compilers
