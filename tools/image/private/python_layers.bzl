"""Layers of a Python program: one for each wheel, one for everything else, and a launcher in place of Bazel's own."""

load("@rules_python//python:defs.bzl", "PyInfo")
load("//tools/image/private:layer.bzl", "LAYER_TOOL_ATTRS", "file_line", "write_layer")
load("//tools/image/private:providers.bzl", "LayersInfo")
load("//tools/pip:defs.bzl", "WheelInfo")
load("//tools/platforms:defs.bzl", "ARCHITECTURE_ATTRS", "target_architecture")

# Where the runfiles tree of a program lies in its image.
_ROOT = "app"
_LAUNCHER = _ROOT + "/__main__.py"

# Where wheels lie, by distribution. Not at their runfiles path, which names a repository of one module and one platform:
# programs share the layers of their wheels, and a pure one is the same for every platform.
_WHEELS = "opt/wheels"

# What the main repository is called in every runfiles tree (fixed since bzlmod).
_MAIN_REPOSITORY = "_main"

_PYTHON_TOOLCHAIN = "@bazel_tools//tools/python:toolchain_type"

_ProgramInfo = provider(
    doc = "What the layers of a Python program are made of; gathered by an aspect.",
    fields = {
        "main": "File that is run as __main__, or None for a library.",
        "wheels": "depset of struct(info, layer): WheelInfo and LayerInfo of each wheel that the target needs.",
    },
)

def _program_aspect_impl(target, ctx):
    if WheelInfo in target:
        direct = [_wheel_layer(target, ctx)]
    else:
        direct = []
    transitive = [
        dep[_ProgramInfo].wheels
        for name in ("deps", "data")
        for dep in getattr(ctx.rule.attr, name, [])
        if _ProgramInfo in dep
    ]
    return [_ProgramInfo(main = _main_file(target, ctx), wheels = depset(direct, transitive = transitive))]

def _wheel_layer(target, ctx):
    """Declares a wheel's layer at the wheel itself, so that every program of the build shares the one action."""
    wheel = target[WheelInfo]
    title = "wheel %s %s" % (wheel.distribution, wheel.version)
    if len(wheel.wheels) != 1:
        fail(("%s: %s has %d wheels here, and an image takes the one of its platform. Build the image through an image " +
              "index, or for a platform such as //tools/platforms:linux_amd64.") % (target.label, title, len(wheel.wheels)))
    lines = [json.encode({
        "kind": "wheel",
        "path": _wheel_path(wheel),
        "source": file.path,
        "origin": title,
    }) for file in wheel.wheels]
    layer = write_layer(
        ctx,
        name = target.label.name,
        created_by = title,
        inputs = depset(wheel.wheels),
        lines = lambda args: args.add_all(lines),
        # A pure wheel is the same on every platform; naming none keeps its layer the same, too.
        architecture = None if wheel.pure else target_architecture(ctx),
    )
    return struct(info = wheel, layer = layer)

def _wheel_path(wheel):
    return _WHEELS + "/" + wheel.distribution

def _main_file(target, ctx):
    """The file that rules_python runs: `main`, or the source that is called like the target."""
    if PyInfo not in target or not hasattr(ctx.rule.attr, "main"):
        return None
    if ctx.rule.attr.main:
        return ctx.rule.file.main
    for source in ctx.rule.files.srcs:
        if source.basename == ctx.rule.attr.name.split("/")[-1] + ".py":
            return source
    return None

_program_aspect = aspect(
    implementation = _program_aspect_impl,
    attr_aspects = ["deps", "data"],
    attrs = LAYER_TOOL_ATTRS | ARCHITECTURE_ATTRS,
    doc = "Finds a program's main file and declares a layer for each wheel that it needs.",
)

def _runfiles_path(short_path):
    """Where a file lies below the root of a runfiles tree."""
    if short_path.startswith("../"):
        return short_path[len("../"):]
    return _MAIN_REPOSITORY + "/" + short_path

def _file_at_its_runfiles_path(file):
    return file_line(file, _ROOT + "/" + _runfiles_path(file.short_path))

def _line(kind, path, origin):
    return json.encode({"kind": kind, "path": path, "origin": str(origin)})

def _python_layers_impl(ctx):
    binary = ctx.attr.binary
    program = binary[_ProgramInfo]
    if not program.main:
        fail(("%s: %s has no file to start: it is no py_binary, or its main file was not found. " +
              "Name a py_binary, and set its `main`.") % (ctx.label, binary.label))
    wheels = sorted(program.wheels.to_list(), key = lambda wheel: wheel.info.distribution)
    launcher = _declare_launcher(ctx, program.main, wheels)
    app = _app_layer(ctx, launcher, wheels)
    layers = [wheel.layer for wheel in wheels] + [app]
    return [
        DefaultInfo(files = depset([layer.metadata for layer in layers])),
        OutputGroupInfo(blobs = depset([layer.blob for layer in layers])),
        LayersInfo(layers = layers, entrypoint = [ctx.attr.interpreter, "/" + _LAUNCHER]),
    ]

def _declare_launcher(ctx, main, wheels):
    wheel_paths = {wheel.info.site_packages: "/" + _wheel_path(wheel.info) for wheel in wheels}
    imports = ctx.attr.binary[PyInfo].imports.to_list()
    launcher = ctx.actions.declare_file(ctx.label.name + ".launcher.py")
    ctx.actions.expand_template(
        template = ctx.file._launcher,
        output = launcher,
        substitutions = {
            "\"{MAIN}\"": json.encode(_runfiles_path(main.short_path)),
            "[\"{IMPORTS}\"]": json.encode([
                wheel_paths.get(path, "/%s/%s" % (_ROOT, path))
                for path in imports
            ]),
        },
    )
    return launcher

def _app_layer(ctx, launcher, wheels):
    """Everything in the program's runfiles but its wheels, Bazel's bootstrap stub and the build's own interpreter."""
    binary = ctx.attr.binary
    runfiles = binary[DefaultInfo].default_runfiles
    elsewhere = {wheel.info.directory: True for wheel in wheels}
    elsewhere[binary[DefaultInfo].files_to_run.executable] = True
    runtime = ctx.toolchains[_PYTHON_TOOLCHAIN].py3_runtime
    for file in [runtime.interpreter] + runtime.files.to_list() if runtime.files else [runtime.interpreter]:
        elsewhere[file] = True

    # A wheel is one directory, so this list is about as long as the program's own sources.
    files = [file for file in runfiles.files.to_list() if file not in elsewhere]
    lines = [file_line(launcher, _LAUNCHER)]
    inputs = [launcher]
    for link in runfiles.symlinks.to_list():
        lines.append(file_line(link.target_file, "/".join([_ROOT, _MAIN_REPOSITORY, link.path])))
        inputs.append(link.target_file)
    for link in runfiles.root_symlinks.to_list():
        lines.append(file_line(link.target_file, "/".join([_ROOT, link.path])))
        inputs.append(link.target_file)
    for path in runfiles.empty_filenames.to_list():
        lines.append(_line("empty", "%s/%s" % (_ROOT, _runfiles_path(path)), binary.label))
    mapping = getattr(binary[DefaultInfo].files_to_run, "repo_mapping_manifest", None)
    if mapping:
        lines.append(json.encode({
            "kind": "repo_mapping",
            "path": _ROOT + "/_repo_mapping",
            "source": mapping.path,
            "origin": str(binary.label),
        }))
        inputs.append(mapping)

    def add(args):
        args.add_all(lines)
        args.add_all(files, map_each = _file_at_its_runfiles_path, expand_directories = False)

    return write_layer(
        ctx,
        name = ctx.label.name,
        created_by = "app %s" % binary.label.name,
        inputs = depset(files + inputs),
        lines = add,
        architecture = target_architecture(ctx),
    )

python_layers = rule(
    implementation = _python_layers_impl,
    doc = """Layers of a py_binary: one for each wheel it needs, and one with its own files.

The program's runfiles lie in /app, complete: files, symbolic links, empty files, the repository mapping and data. It is
started by a launcher that names its interpreter, its search path and its main file outright: no shell, no `env`, and no
Bazel bootstrap takes part.""",
    attrs = {
        "binary": attr.label(
            aspects = [_program_aspect],
            doc = "The py_binary.",
            mandatory = True,
            providers = [PyInfo],
        ),
        "interpreter": attr.string(
            default = "/usr/bin/python3",
            doc = "Absolute path of Python in the image.",
        ),
        "_launcher": attr.label(
            allow_single_file = True,
            default = "//tools/image:launcher.py.tpl",
        ),
    } | LAYER_TOOL_ATTRS | ARCHITECTURE_ATTRS,
    provides = [LayersInfo],
    toolchains = [_PYTHON_TOOLCHAIN],
)
