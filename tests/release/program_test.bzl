"""The release program is for whoever calls it, whatever images are built for."""

load("@bazel_skylib//lib:unittest.bzl", "analysistest", "asserts")

def _host_program_impl(ctx):
    env = analysistest.begin(ctx)
    wheels = [
        file.short_path
        for file in analysistest.target_under_test(env)[DefaultInfo].default_runfiles.files.to_list()
        if "pyyaml" in file.short_path
    ]
    asserts.equals(env, 1, len(wheels))
    asserts.true(env, "pyyaml__host" in wheels[0], "The program got the wheel of an image's platform: " + wheels[0])
    return analysistest.end(env)

program_runs_on_the_host_test = analysistest.make(
    _host_program_impl,
    config_settings = {"//command_line_option:platforms": str(Label("//tools/platforms:linux_arm64"))},
)
