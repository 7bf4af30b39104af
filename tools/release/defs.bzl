"""What an app's BUILD file loads to be released."""

load("//tools/release/private:app_metadata.bzl", _app_metadata = "app_metadata")
load("//tools/release/private:release_app.bzl", _release_app = "release_app")

app_metadata = _app_metadata
release_app = _release_app
