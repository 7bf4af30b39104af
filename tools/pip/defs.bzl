"""Wheels as Python libraries, and the lock that names them; for the module extension see extensions.bzl."""

load("//tools/pip/private:providers.bzl", _WheelInfo = "WheelInfo")
load("//tools/pip/private:requirements_lock.bzl", _requirements_lock = "requirements_lock")
load("//tools/pip/private:wheel_library.bzl", _wheel_library = "wheel_library")

WheelInfo = _WheelInfo
requirements_lock = _requirements_lock
wheel_library = _wheel_library
