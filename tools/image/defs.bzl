"""Rules for container images: layers, images, image indexes.

    image_layer     a layer of plain files and archives
    image           layers and settings, for the platform that it is configured for
    image_index     an image, built for several platforms
    image_load      loads one platform of an index into a Docker engine
    image_run       loads it and runs it
    image_push      pushes an index to a registry

    image_test          holds an index against a specification: files, settings, commands
    image_size_test     holds its layers against a budget
    image_repro_test    writes its layers a second time, and compares
"""

load("//tools/image/private:image.bzl", _image = "image")
load("//tools/image/private:image_index.bzl", _image_index = "image_index")
load("//tools/image/private:image_repro_test.bzl", _image_repro_test = "image_repro_test")
load("//tools/image/private:image_size_test.bzl", _image_size_test = "image_size_test")
load("//tools/image/private:image_test.bzl", _image_test = "image_test")
load("//tools/image/private:layer.bzl", _image_layer = "image_layer")
load("//tools/image/private:providers.bzl", _ImageIndexInfo = "ImageIndexInfo", _ImageInfo = "ImageInfo", _LayerInfo = "LayerInfo")
load("//tools/image/private:runnable.bzl", _image_load = "image_load", _image_push = "image_push", _image_run = "image_run")

ImageIndexInfo = _ImageIndexInfo
ImageInfo = _ImageInfo
LayerInfo = _LayerInfo
image = _image
image_index = _image_index
image_layer = _image_layer
image_load = _image_load
image_push = _image_push
image_repro_test = _image_repro_test
image_run = _image_run
image_size_test = _image_size_test
image_test = _image_test
