"""The module extension that turns a hash-locked requirements file into one repository a package."""

load("//tools/pip/private:repositories.bzl", "declare_repositories")

def _pip_impl(module_ctx):
    hubs = {}
    for module in module_ctx.modules:
        for lock in module.tags.lock:
            if lock.name in hubs:
                fail("""two locks are named "{name}"
  Why: {other} and {module} both call pip.lock(name = "{name}"), and repositories need names of their own
  What to do: give the one in your module another name, such as "{module}_pip", and write use_repo(pip, pip = "{module}_pip")""".format(
                    name = lock.name,
                    other = hubs[lock.name],
                    module = module.name,
                ))
            hubs[lock.name] = module.name
            declare_repositories(module_ctx, hub = lock.name, lock = lock.requirements)
    return module_ctx.extension_metadata(reproducible = True)

_lock = tag_class(
    doc = "A requirements file with one version and the hashes of each package; its packages are targets //PACKAGE of the named repository.",
    attrs = {
        "name": attr.string(
            doc = "Name of the repository that has all the packages.",
            mandatory = True,
        ),
        "requirements": attr.label(
            doc = "The file, as `uv pip compile --universal --generate-hashes --no-emit-index-url` writes it.",
            mandatory = True,
            allow_single_file = [".txt", ".lock"],
        ),
    },
)

pip = module_extension(
    doc = "Python packages: each a repository, fetched by `pip download` when something needs it.",
    implementation = _pip_impl,
    tag_classes = {"lock": _lock},
)
