"""The repositories of a lock: a hub with an alias for each package, and one or more for each package's wheels.

A package is fetched for linux_amd64 first. If that wheel is pure, it serves everything and is the only one fetched. If
not, the host and linux_arm64 have repositories of their own, which Bazel fetches only where a build comes upon them.
"""

# The targets of tools/pip/targets.py: the setting that chooses each. What is no container is the host.
_SETTINGS = {
    "host": "//conditions:default",
    "linux_amd64": str(Label("//tools/platforms:container_amd64")),
    "linux_arm64": str(Label("//tools/platforms:container_arm64")),
}
_FIRST = "linux_amd64"

_PROGRAM = [
    Label("//tools/pip:__main__.py"),
    Label("//tools/pip:fetch.py"),
    Label("//tools/pip:pins.py"),
    Label("//tools/pip:errors.py"),
    Label("//tools/pip:targets.py"),
]

# The library of one package of a cycle, without the others of the cycle.
_ALONE = "alone"

def declare_repositories(module_ctx, hub, lock):
    """Declares all repositories of one lock.

    Args:
      module_ctx: context of the module extension.
      hub: name of the hub; those of the packages begin with it.
      lock: label of the requirements file.
    """
    path = str(module_ctx.path(lock))
    module_ctx.read(lock)  # a changed lock makes the extension run again
    plan = _run(module_ctx, _PROGRAM, ["plan", path])
    for package in plan:
        name = package["name"]
        package_repository(
            name = _package_repository_name(hub, name),
            cycle = package["cycle"],
            distribution = name,
            hub = hub,
            lock = path,
            pins = package["pins"],
        )
        for target, pin in package["pins"].items():
            if target != _FIRST:
                target_repository(
                    name = _target_repository_name(hub, name, target),
                    cycle = package["cycle"],
                    distribution = name,
                    hub = hub,
                    lock = path,
                    pin = pin,
                    target = target,
                )
    hub_repository(
        name = hub,
        hub = hub,
        packages = [package["name"] for package in plan],
    )

def _identifier(name):
    return name.replace("-", "_")

def _package_repository_name(hub, name):
    return "%s_%s" % (hub, _identifier(name))

def _target_repository_name(hub, name, target):
    # A normalised name has no double underscore, so this is never the name of another package's repository.
    return "%s__%s" % (_package_repository_name(hub, name), target)

def _run(ctx, program, arguments):
    """Runs tools/pip and returns its answer; what it prints on standard error is the error."""
    python = ctx.which("python3")
    if not python:
        fail("""cannot fetch Python packages
  Why: there is no python3 on PATH
  What to do: install Python 3.11 or later with pip (Debian: apt install python3-pip)""")
    for file in program:
        ctx.watch(file)
    root = ctx.path(program[0]).dirname.dirname.dirname
    result = ctx.execute(
        [python, "-m", "tools.pip"] + arguments,
        environment = {
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(root),
        },
        timeout = 1800,
    )
    if result.return_code != 0:
        fail("\n" + (result.stderr or result.stdout))
    return json.decode(result.stdout)

def _fetch(repository_ctx, pin, target):
    return _run(repository_ctx, repository_ctx.attr._program, ["fetch", pin, target, repository_ctx.attr.lock, "."])

_HEADER = """\
load("@rules_python//python:defs.bzl", "py_library")
load("{defs}", "wheel_library")

package(default_visibility = ["//visibility:public"])

exports_files(glob(["*.whl"], allow_empty = True))
""".format(defs = str(Label("//tools/pip:defs.bzl")))

_LIBRARY = """
wheel_library(
    name = {name},
    distribution = {distribution},
    version = {version},
    wheels = {wheels},
    digests = {digests},
    pure = {pure},
    size = {size},
    deps = {deps},
)
"""

_ALIAS = """
alias(
    name = {name},
    actual = select({actual}),
)

# For a target that the lock's markers leave this package out of.
py_library(
    name = "none",
)
"""

_CYCLE = """
# These packages need one another, so that who needs one gets all.
py_library(
    name = {name},
    deps = {deps},
)
"""

def _library(repository_ctx, name, pin, fetched, deps):
    return _LIBRARY.format(
        name = repr(name),
        distribution = repr(repository_ctx.attr.distribution),
        version = repr(pin.split("==")[1].split(" ")[0]),
        wheels = repr(fetched["wheels"]),
        digests = repr(fetched["digests"]),
        pure = repr(fetched["pure"]),
        size = fetched["size"],
        deps = deps,
    )

def _labels(repository_ctx, names):
    attr = repository_ctx.attr
    return ["@%s//%s" % (attr.hub, _identifier(name)) for name in names if name not in attr.cycle]

def _package_repository_impl(repository_ctx):
    attr = repository_ctx.attr
    name = _ALONE if attr.cycle else _identifier(attr.distribution)
    fetched = _fetch(repository_ctx, attr.pins[_FIRST], _FIRST) if _FIRST in attr.pins else None
    same_everywhere = [attr.pins.get(target) for target in _SETTINGS] == [attr.pins.get(_FIRST)] * len(_SETTINGS)

    content = _HEADER
    if fetched and fetched["pure"] and same_everywhere:
        deps = {setting: _labels(repository_ctx, fetched["needs"][target]) for target, setting in _SETTINGS.items()}
        same_deps = len({repr(each): None for each in deps.values()}) == 1
        content += _library(
            repository_ctx,
            name,
            attr.pins[_FIRST],
            fetched,
            deps = repr(deps.values()[0]) if same_deps else "select(%r)" % deps,
        )
    else:
        if fetched:
            deps = repr(_labels(repository_ctx, fetched["needs"][_FIRST]))
            content += _library(repository_ctx, _FIRST, attr.pins[_FIRST], fetched, deps)
        content += _ALIAS.format(
            name = repr(name),
            actual = repr({setting: _actual(attr, target) for target, setting in _SETTINGS.items()}),
        )
    if attr.cycle:
        content += _CYCLE.format(
            name = repr(_identifier(attr.distribution)),
            deps = repr(["@%s//:%s" % (_package_repository_name(attr.hub, each), _ALONE) for each in attr.cycle]),
        )
    repository_ctx.file("BUILD.bazel", content)

def _actual(attr, target):
    if target not in attr.pins:
        return ":none"
    if target == _FIRST:
        return ":" + target
    return "@%s//:%s" % (_target_repository_name(attr.hub, attr.distribution, target), _identifier(attr.distribution))

_COMMON_ATTRS = {
    "cycle": attr.string_list(
        doc = "The packages of the cycle that this one is in, itself among them; empty if there is none.",
    ),
    "distribution": attr.string(
        doc = "Normalised name of the package.",
        mandatory = True,
    ),
    "hub": attr.string(
        doc = "Name of the hub repository.",
        mandatory = True,
    ),
    "lock": attr.string(
        doc = """Path of the lock, read for names and line numbers only. Not a label: every package would be fetched again
        whenever the pin of any changes.""",
        mandatory = True,
    ),
    "_program": attr.label_list(
        default = _PROGRAM,
    ),
}

package_repository = repository_rule(
    doc = "One package: the wheel itself if it is pure, else the choice between those of the targets.",
    implementation = _package_repository_impl,
    attrs = _COMMON_ATTRS | {
        "pins": attr.string_dict(
            doc = "Target -> the pin that holds there, as a line of a requirements file.",
            mandatory = True,
        ),
    },
)

def _target_repository_impl(repository_ctx):
    attr = repository_ctx.attr
    fetched = _fetch(repository_ctx, attr.pin, attr.target)
    deps = repr(_labels(repository_ctx, fetched["needs"][attr.target]))
    library = _library(repository_ctx, _identifier(attr.distribution), attr.pin, fetched, deps)
    repository_ctx.file("BUILD.bazel", _HEADER + library)

target_repository = repository_rule(
    doc = "The wheels of one package for one target.",
    implementation = _target_repository_impl,
    attrs = _COMMON_ATTRS | {
        "pin": attr.string(
            doc = "The pin, as a line of a requirements file.",
            mandatory = True,
        ),
        "target": attr.string(
            doc = "Name of the target.",
            mandatory = True,
        ),
    },
)

_HUB_PACKAGE = """\
package(default_visibility = ["//visibility:public"])

alias(
    name = {name},
    actual = {actual},
)
"""

def _hub_repository_impl(repository_ctx):
    repository_ctx.file("BUILD.bazel")
    for name in repository_ctx.attr.packages:
        identifier = _identifier(name)
        actual = "@%s//:%s" % (_package_repository_name(repository_ctx.attr.hub, name), identifier)
        repository_ctx.file("%s/BUILD.bazel" % identifier, _HUB_PACKAGE.format(
            name = repr(identifier),
            actual = repr(actual),
        ))

hub_repository = repository_rule(
    doc = "A folder with an alias for every package of a lock.",
    implementation = _hub_repository_impl,
    attrs = {
        "hub": attr.string(mandatory = True),
        "packages": attr.string_list(mandatory = True),
    },
)
