"""Layers of a program: for Python one for each wheel, for all one with its own files, and how it is started."""

load("@rules_python//python:defs.bzl", "PyInfo", "PyRuntimeInfo")
load("//tools/image/private:layer.bzl", "COMPRESSIONS", "COMPRESSIONS_DOC", "LAYER_TOOL_ATTRS", "file_line", "write_layer")
load("//tools/pip:defs.bzl", "WheelInfo")
load("//tools/platforms:defs.bzl", "ARCHITECTURE_ATTRS", "is_container", "target_architecture")
load("//tools/platforms:label.bzl", "shown")

# Where the runfiles tree of a program lies in its image.
_ROOT = "app"
_LAUNCHER = _ROOT + "/__main__.py"

# Where wheels lie, by distribution. Not at their runfiles path, which names a repository of one module and one platform:
# programs share the layers of their wheels, and a pure one is the same for every platform.
_WHEELS = "opt/wheels"

# What the main repository is called in every runfiles tree (fixed since bzlmod).
_MAIN_REPOSITORY = "_main"

# By which attributes a target names what it needs when it runs.
_ATTRIBUTES = ["deps", "data"]

_ProgramInfo = provider(
    doc = "What the layers of a Python program are made of; gathered by an aspect.",
    fields = {
        "main": "File that is run as __main__, or None for a library.",
        "wheels": "depset of struct(label, info, gzip, zstd): each wheel that the target needs, its WheelInfo, and its LayerInfo by compression.",
    },
)

def _program_aspect_impl(target, ctx):
    if WheelInfo in target:
        direct = [_wheel_layer(target, ctx)]
    else:
        direct = []
    transitive = [
        dep[_ProgramInfo].wheels
        for name in _ATTRIBUTES
        for dep in _targets(getattr(ctx.rule.attr, name, None))
        if _ProgramInfo in dep
    ]
    return [_ProgramInfo(main = _main_file(target, ctx), wheels = depset(direct, transitive = transitive))]

def _targets(value):
    """The targets in the value of an attribute, of whatever type the rule gives it: it may hold strings or nothing, too."""
    if type(value) == "dict":
        value = value.keys() + value.values()
    elif type(value) != "list":
        value = [value]
    return [each for each in value if type(each) == "Target"]

def _wheel_layer(target, ctx):
    """Declares a wheel's layer at the wheel itself, so that every program of the build shares the one action."""
    wheel = target[WheelInfo]
    if not is_container(ctx):
        fail(("%s: %s is chosen for the machine that builds, since the target platform does not say that it is a container's. " +
              "Build the image through an image index, and give each of its platforms the constraint value " +
              "@slipway//tools/platforms:container, which @slipway//tools/platforms:linux_amd64 has.") % (shown(target.label), _title(wheel)))
    return struct(
        label = target.label,
        info = wheel,
        # Both are declared, and the one that somebody asks for is written.
        gzip = _write_wheels(ctx, [wheel], target.label.name, "gzip"),
        zstd = _write_wheels(ctx, [wheel], target.label.name + ".zstd", "zstd"),
    )

def _write_wheels(ctx, wheels, name, compression):
    """Declares the layer of these wheels, each in a folder of its own."""
    lines = [
        json.encode({"kind": "wheel", "path": _wheel_path(wheel), "source": file.path, "origin": _title(wheel)})
        for wheel in wheels
        for file in wheel.wheels
    ]
    pure = all([wheel.pure for wheel in wheels])
    return write_layer(
        ctx,
        name = name,
        created_by = _title(wheels[0]) if len(wheels) == 1 else "%d wheels" % len(wheels),
        lines = lines,
        inputs = [file for wheel in wheels for file in wheel.wheels],
        # A pure wheel is the same on every platform; naming none keeps its layer the same, too.
        architecture = None if pure else target_architecture(ctx),
        key = ("wheels", compression, tuple(lines)) if pure else None,
        compression = compression,
    )

def _title(wheel):
    return "wheel %s %s" % (wheel.distribution, wheel.version)

def _wheel_path(wheel):
    return _WHEELS + "/" + wheel.distribution

def _main_file(target, ctx):
    """The file that rules_python runs: `main`, or the source that is called like the target."""
    if PyInfo not in target:
        return None

    # Any rule may make Python programs, and call attributes so that mean something else.
    main = getattr(ctx.rule.files, "main", [])
    if main:
        return main[0] if len(main) == 1 else None
    if not hasattr(ctx.rule.attr, "main"):
        return None
    for source in getattr(ctx.rule.files, "srcs", []):
        if source.basename == ctx.rule.attr.name.split("/")[-1] + ".py":
            return source
    return None

_program_aspect = aspect(
    implementation = _program_aspect_impl,
    attr_aspects = _ATTRIBUTES,
    attrs = LAYER_TOOL_ATTRS | ARCHITECTURE_ATTRS,
    doc = "Finds a program's main file and declares a layer for each wheel that it needs.",
)

def _runfiles_path(short_path):
    """Where a file lies below the root of a runfiles tree."""
    if short_path.startswith("../"):
        return short_path[len("../"):]
    return _MAIN_REPOSITORY + "/" + short_path

def _file_at_its_runfiles_path(file):
    return file_line(file, _place(file))

def _place(file):
    return _ROOT + "/" + _runfiles_path(file.short_path)

def _line(kind, path, origin):
    return json.encode({"kind": kind, "path": path, "origin": shown(origin)})

def check_program_settings(ctx):
    """Fails for values of PROGRAM_ATTRS that mean nothing, and for those that nothing would follow.

    Args:
      ctx: context of a rule with PROGRAM_ATTRS.
    """
    if ctx.attr.max_wheel_layers < 1:
        fail("%s: `max_wheel_layers` is %d, and wheels need at least one layer. Write 1 or more." % (shown(ctx.label), ctx.attr.max_wheel_layers))
    if not ctx.attr.interpreter.startswith("/"):
        fail(("%s: `interpreter` is %r, which is no path from the root, and nothing looks for the interpreter. " +
              "Write the path that Python has in the image, such as `%s`.") % (shown(ctx.label), ctx.attr.interpreter, _DEFAULTS["interpreter"]))
    for name, default in _DEFAULTS.items():
        if not ctx.attr.binary and getattr(ctx.attr, name) != default:
            fail(("%s: `%s` is given, and without `binary` there is nothing that it is about: layers that `layers` names are as " +
                  "their own rule makes them. Name the program in `binary`, or leave `%s` out.") % (shown(ctx.label), name, name))

def program_layers(ctx):
    """Declares the layers of a rule's `binary`.

    Args:
      ctx: context of a rule with PROGRAM_ATTRS; its `binary` is given.

    Returns:
      struct of `layers` (list of LayerInfo, bottom first), `entrypoint` (list of strings: what starts the program) and
      `env` (dict of strings: the environment that it needs).
    """
    binary = ctx.attr.binary
    if not binary[DefaultInfo].files_to_run.executable:
        fail(("%s: %s is no program: its rule makes nothing that can be run. Name a *_binary target, or place files " +
              "by an image_layer and set the image's `entrypoint`.") % (shown(ctx.label), shown(binary.label)))
    layers, entrypoint, env = (_python if PyInfo in binary else _other)(ctx)
    if RunEnvironmentInfo in binary:
        env |= binary[RunEnvironmentInfo].environment
    return struct(layers = layers, entrypoint = entrypoint, env = env)

def _other(ctx):
    """A program of any language: its executable is what is started, and finds its data as Bazel's libraries do."""
    executable = ctx.attr.binary[DefaultInfo].files_to_run.executable
    layer = _app_layer(
        ctx,
        elsewhere = {executable: True},
        # Whatever its content is: Bazel calls it executable.
        first = [file_line(executable, _place(executable), mode = "0755")],
        inputs = [executable],
    )
    return [layer], ["/" + _place(executable)], {"RUNFILES_DIR": "/" + _ROOT}

def _python(ctx):
    binary = ctx.attr.binary
    program = binary[_ProgramInfo]
    if not program.main:
        fail(("%s: %s has no file to start: it is no py_binary, or its main file was not found. " +
              "Name a py_binary, and set its `main`.") % (shown(ctx.label), shown(binary.label)))
    found = program.wheels.to_list()
    wheels = _one_of_each(ctx, found)

    # Not in the image: wheels, which have layers of their own, and the build's own interpreter.
    elsewhere = {wheel.info.directory: True for wheel in found}
    if PyRuntimeInfo in binary:
        runtime = binary[PyRuntimeInfo]
        elsewhere[runtime.interpreter] = True
        elsewhere |= {file: True for file in (runtime.files or depset()).to_list()}
    app = _app_layer(
        ctx,
        elsewhere = elsewhere,
        first = [_launcher_line(ctx, program.main, found)],
        inputs = [ctx.file._launcher],
        is_start_up = lambda file: _is_start_up(file, binary.label, program.main),
    )
    return _wheel_layers(ctx, wheels) + [app], [ctx.attr.interpreter, "/" + _LAUNCHER], {}

def _one_of_each(ctx, wheels):
    """One wheel of each distribution, by name. Two locks may bring the same one; two different ones have one folder."""
    chosen = {}
    for wheel in sorted(wheels, key = lambda wheel: (wheel.info.distribution, str(wheel.label))):
        first = chosen.setdefault(wheel.info.distribution, wheel)
        if first.info.directory != wheel.info.directory and _identity(first.info) != _identity(wheel.info):
            fail(("%s: %s needs two different wheels of %s: %s (%s) and %s (%s). Python imports one of them, whatever asks. " +
                  "Take all packages of the program from one lock, or let both locks pin the same wheel.") % (
                shown(ctx.label),
                shown(ctx.attr.binary.label),
                wheel.info.distribution,
                first.info.version,
                shown(first.label),
                wheel.info.version,
                shown(wheel.label),
            ))
    return chosen.values()

def _identity(wheel):
    """What two wheels of one content have in common, and no others."""
    return (wheel.version, wheel.digests or wheel.directory)

def _is_start_up(file, label, main):
    """Whether a py_binary has made this file to be started by: a bootstrap, its virtual environment, data of the build.

    They are for the machine that builds, some of them differ from build to build, and the launcher needs none. What they
    are called changes with the version of rules_python; that they are the target's own does not.
    """
    return not file.is_source and file.owner == label and file != main and file.extension != "pyc"

def _wheel_layers(ctx, wheels):
    """A layer for each wheel, within `max_wheel_layers`: beyond, the smallest share one or two."""
    most = ctx.attr.max_wheel_layers
    if len(wheels) <= most:
        return [getattr(wheel, ctx.attr.compression) for wheel in wheels]

    # The largest are worth a layer of their own. Pure wheels and others do not mix, so that platforms share the former.
    by_size = sorted(wheels, key = lambda wheel: (-wheel.info.size, wheel.info.distribution))
    kept = {wheel.info.distribution: True for wheel in by_size[:max(most - 2, 0)]}
    groups = {}
    for wheel in wheels:
        if wheel.info.distribution not in kept:
            group = "pure_wheels" if most > 1 and wheel.info.pure else "wheels"
            groups.setdefault(group, []).append(wheel.info)
    return [
        _write_wheels(ctx, infos, "%s.%s" % (ctx.label.name, group), ctx.attr.compression)
        for group, infos in sorted(groups.items())
    ] + [getattr(wheel, ctx.attr.compression) for wheel in wheels if wheel.info.distribution in kept]

def _launcher_line(ctx, main, wheels):
    """The line of the launcher: the layer tool fills the template in."""
    wheel_paths = {wheel.info.site_packages: "/" + _wheel_path(wheel.info) for wheel in wheels}
    return json.encode({
        # The same wheel of two locks is one folder.
        "imports": {
            wheel_paths.get(path, "/%s/%s" % (_ROOT, path)): None
            for path in ctx.attr.binary[PyInfo].imports.to_list()
        }.keys(),
        "kind": "launcher",
        "main": _runfiles_path(main.short_path),
        "origin": shown(ctx.attr.binary.label),
        "path": _LAUNCHER,
        "source": ctx.file._launcher.path,
    })

def _app_layer(ctx, elsewhere, first, inputs, is_start_up = lambda _file: False):
    """Everything in the program's runfiles that is not `elsewhere`, complete.

    Args:
      ctx: context of the rule.
      elsewhere: dict whose keys are the files to leave out.
      first: lines of what is not among the runfiles.
      inputs: the files of these lines.
      is_start_up: function that tells further files to leave out.

    Returns:
      LayerInfo
    """
    binary = ctx.attr.binary
    runfiles = binary[DefaultInfo].default_runfiles

    # A wheel is one directory, so this list is about as long as the program's own sources.
    files = [file for file in runfiles.files.to_list() if file not in elsewhere and not is_start_up(file)]
    links = {"/".join([_ROOT, _MAIN_REPOSITORY, link.path]): link.target_file for link in runfiles.symlinks.to_list()}
    links |= {"/".join([_ROOT, link.path]): link.target_file for link in runfiles.root_symlinks.to_list()}
    lines = [file_line(file, path) for path, file in links.items()]
    lines += [_line("empty", "%s/%s" % (_ROOT, _runfiles_path(path)), binary.label) for path in runfiles.empty_filenames.to_list()]
    inputs = inputs + links.values()
    lines = first + lines

    # The same on every platform, then: sources are no platform's.
    is_source = all([file.is_source for file in files + inputs])
    key = ("app", str(binary.label), ctx.attr.compression, tuple(lines), tuple(files)) if is_source else None

    # Repositories without a file in the layer are left out of the mapping, so it is a fact of the files above.
    mapping = getattr(binary[DefaultInfo].files_to_run, "repo_mapping_manifest", None)
    if mapping:
        lines.append(json.encode({
            "kind": "repo_mapping",
            "path": _ROOT + "/_repo_mapping",
            "source": mapping.path,
            "origin": shown(binary.label),
        }))
        inputs.append(mapping)

    return write_layer(
        ctx,
        name = ctx.label.name,
        created_by = "app %s" % binary.label.name,
        lines = lines,
        inputs = inputs,
        files = files,
        place = _file_at_its_runfiles_path,
        architecture = target_architecture(ctx),
        key = key,
        compression = ctx.attr.compression,
    )

# What the attributes that are about a program are without one.
_DEFAULTS = {
    "compression": "gzip",
    "interpreter": "/usr/bin/python3",
    "max_wheel_layers": 40,
}

# Attributes of a rule that calls program_layers().
PROGRAM_ATTRS = {
    "binary": attr.label(
        aspects = [_program_aspect],
        doc = "The program that the image starts: a py_binary, cc_binary, sh_binary or any other target that can be run.",
    ),
    "compression": attr.string(
        default = _DEFAULTS["compression"],
        doc = "How the layers of `binary` are compressed: " + COMPRESSIONS_DOC,
        values = COMPRESSIONS,
    ),
    "interpreter": attr.string(
        default = _DEFAULTS["interpreter"],
        doc = "Absolute path of Python in the image; of no meaning for a `binary` that is no Python program.",
    ),
    "max_wheel_layers": attr.int(
        default = _DEFAULTS["max_wheel_layers"],
        doc = "Into how many layers the wheels of `binary` may go, at least 1. Beyond, the largest keep their own, and the others share one for pure wheels and one for the rest.",
    ),
    "_launcher": attr.label(
        allow_single_file = True,
        default = "//tools/image:launcher.py.tpl",
    ),
} | LAYER_TOOL_ATTRS | ARCHITECTURE_ATTRS
