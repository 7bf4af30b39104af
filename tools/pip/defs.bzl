"""Wheels as Python libraries; for the module extension see extensions.bzl."""

load("//tools/pip/private:providers.bzl", _WheelInfo = "WheelInfo")
load("//tools/pip/private:wheel_library.bzl", _wheel_library = "wheel_library")

WheelInfo = _WheelInfo
wheel_library = _wheel_library
