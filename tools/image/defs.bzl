"""Rules for container images: layers, images, image indexes.

    image_layer     a layer of plain files and archives
    binary_layers   the layers of a program: a py_binary, cc_binary, sh_binary, ...
    image           layers and settings, for the platform that it is configured for
    image_index     an image, built for several platforms
    image_load      loads one platform of an index into a Docker engine
    image_run       loads it and runs it
    image_push      pushes an index to a registry
"""

load("//tools/image/private:binary_layers.bzl", _binary_layers = "binary_layers")
load("//tools/image/private:image.bzl", _image = "image")
load("//tools/image/private:image_index.bzl", _image_index = "image_index")
load("//tools/image/private:layer.bzl", _image_layer = "image_layer")
load("//tools/image/private:load.bzl", _image_load = "image_load")
load("//tools/image/private:providers.bzl", _ImageIndexInfo = "ImageIndexInfo", _ImageInfo = "ImageInfo", _LayerInfo = "LayerInfo", _LayersInfo = "LayersInfo")
load("//tools/image/private:push.bzl", _image_push = "image_push")
load("//tools/image/private:run.bzl", _image_run = "image_run")

ImageIndexInfo = _ImageIndexInfo
ImageInfo = _ImageInfo
LayerInfo = _LayerInfo
LayersInfo = _LayersInfo
binary_layers = _binary_layers
image = _image
image_index = _image_index
image_layer = _image_layer
image_load = _image_load
image_push = _image_push
image_run = _image_run
