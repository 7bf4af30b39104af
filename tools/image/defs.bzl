"""Rules for container images: layers, images, image indexes.

    image_layer     a layer of plain files
    python_layers   the layers of a py_binary
    image           layers and settings, for the platform that it is configured for
    image_index     an image, built for several platforms
    image_load      loads one platform of an index into a Docker engine
    image_push      pushes an index to a registry
"""

load("//tools/image/private:image.bzl", _image = "image")
load("//tools/image/private:image_index.bzl", _image_index = "image_index")
load("//tools/image/private:layer.bzl", _image_layer = "image_layer")
load("//tools/image/private:load.bzl", _image_load = "image_load")
load("//tools/image/private:providers.bzl", _ImageIndexInfo = "ImageIndexInfo", _ImageInfo = "ImageInfo", _LayerInfo = "LayerInfo", _LayersInfo = "LayersInfo")
load("//tools/image/private:push.bzl", _image_push = "image_push")
load("//tools/image/private:python_layers.bzl", _python_layers = "python_layers")

ImageIndexInfo = _ImageIndexInfo
ImageInfo = _ImageInfo
LayerInfo = _LayerInfo
LayersInfo = _LayersInfo
image = _image
image_index = _image_index
image_layer = _image_layer
image_load = _image_load
image_push = _image_push
python_layers = _python_layers
