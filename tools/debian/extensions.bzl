"""The module extension that fetches locked Debian packages.

    debian = use_extension("@slipway//tools/debian:extensions.bzl", "debian")
    debian.packages(
        name = "my_debian",
        manifest = "//:packages.yaml",
        lock = "//:packages.lock.json",
    )
    use_repo(debian, "my_debian")

Then `@my_debian//:NAME` are the packages of the set NAME for the architecture of the target platform, and
`bazel run @slipway//tools/debian:lock -- --manifest packages.yaml --lock packages.lock.json` writes the lock.
"""

load("//tools/debian/private:repositories.bzl", "declare_repositories")

def _debian_impl(module_ctx):
    users = {}
    for module in module_ctx.modules:
        for packages in module.tags.packages:
            if packages.name in users:
                fail("""
two locks of Debian packages are named "{name}"
  Why: {other} and {module} both call debian.packages(name = "{name}"), and repositories need names of their own
  What to do: give the one in your module another name, such as "{module}_debian\"""".format(
                    name = packages.name,
                    other = users[packages.name],
                    module = module.name,
                ))
            users[packages.name] = module.name
            declare_repositories(module_ctx, packages.name, packages.manifest, packages.lock)
    return module_ctx.extension_metadata(reproducible = True)

_packages = tag_class(
    doc = "Sets of packages that are locked together, so that their layers can stand on each other.",
    attrs = {
        "lock": attr.label(
            doc = "What `bazel run @slipway//tools/debian:lock` wrote: a JSON file.",
            mandatory = True,
        ),
        "manifest": attr.label(
            doc = "The package list, a YAML file: suite, architectures, sets.",
            mandatory = True,
        ),
        "name": attr.string(
            doc = "Name of the repository whose `//:NAME` are the package files of the set NAME.",
            mandatory = True,
        ),
    },
)

debian = module_extension(
    doc = "Debian packages of a lock: a repository for each architecture, fetched by apt when something needs it.",
    implementation = _debian_impl,
    tag_classes = {"packages": _packages},
)
