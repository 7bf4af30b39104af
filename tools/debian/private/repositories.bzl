"""The repositories of a lock: one for each architecture, with its package files, and a hub that chooses among them."""

# Constraint values of @platforms//cpu by Debian's names of architectures.
_CPUS = {
    "amd64": "x86_64",
    "arm64": "aarch64",
}

_PROGRAM = [
    Label("//tools/debian:fetch.py"),
    Label("//tools/debian:apt.py"),
    Label("//tools/debian:errors.py"),
    Label("//tools/debian:lockfile.py"),
]

_MANIFEST = "tools/debian/packages.yaml"
_LOCK = "tools/debian/packages.lock.json"

def declare_repositories(module_ctx, name, manifest, lock):
    """Declares all repositories of one lock.

    Args:
      module_ctx: context of the module extension.
      name: name of the hub; those of the architectures begin with it.
      manifest: label of the package list.
      lock: label of the lock.
    """
    renewal = _renewal(manifest, lock)
    if not module_ctx.path(lock).exists:
        fail("\n" + _error(
            what = "there is no lock %s of the Debian packages in %s" % (lock.name, manifest.name),
            why = "it has not been made yet",
            remedy = "Run `%s`, and commit it." % renewal,
        ))
    architectures = sorted(json.decode(module_ctx.read(lock))["packages"])
    for architecture in architectures:
        if architecture not in _CPUS:
            fail("\n" + _error(
                what = "cannot use the Debian packages for %s in %s" % (architecture, lock.name),
                why = "images are made for %s" % " and ".join(_CPUS),
                remedy = "Leave the architecture out of %s, and run `%s`." % (manifest.name, renewal),
            ))
        package_files(
            name = "%s_%s" % (name, architecture),
            architecture = architecture,
            lock = lock,
            renewal = renewal,
        )
    hub(
        name = name,
        base = name,
        architectures = architectures,
    )

def _renewal(manifest, lock):
    """The command that renews a lock, from the root of the workspace that has it."""
    program = Label("//tools/debian:lock")
    command = "bazel run %s" % ("//tools/debian:lock" if program.repo_name == "" else "@slipway//tools/debian:lock")
    options = [
        "%s %s" % (option, path)
        for option, path, default in (
            ("--manifest", _path(manifest), _MANIFEST),
            ("--lock", _path(lock), _LOCK),
        )
        if path != default
    ]
    return " ".join([command] + (["--"] + options if options else []))

def _path(label):
    return "%s/%s" % (label.package, label.name) if label.package else label.name

def _error(*, what, why, remedy):
    """An error as tools/debian/errors.py words it."""
    return "%s\n  Why: %s\n  What to do: %s" % (what, why, remedy)

def _package_files_impl(repository_ctx):
    architecture = repository_ctx.attr.architecture
    python = repository_ctx.which("python3")
    if not python:
        fail("\n" + _error(
            what = "cannot fetch Debian packages for %s" % architecture,
            why = "there is no python3 on PATH",
            remedy = "Install Python 3.11 or later (Debian: apt install python3), or use ./bazelw.",
        ))
    program = [repository_ctx.path(each) for each in repository_ctx.attr._program]
    lock = repository_ctx.path(repository_ctx.attr.lock)
    repository_ctx.read(lock)  # a changed lock fetches anew
    repository_ctx.report_progress("Fetching Debian packages for %s" % architecture)
    result = repository_ctx.execute(
        # -P and -S: neither a module beside it nor an installed package may stand in for what it imports.
        [python, "-P", "-S", "-B", program[0], "--lock", lock, "--architecture", architecture, "--renewal", repository_ctx.attr.renewal],
        environment = {"PYTHONPATH": str(program[0].dirname.dirname.dirname)},
        timeout = 3600,
    )
    if result.return_code != 0:
        fail("\n" + (result.stderr or result.stdout))
    repository_ctx.file("BUILD.bazel", """\
package(default_visibility = ["//visibility:public"])

filegroup(
    name = "packages",
    srcs = [
        {files}
    ],
)
""".format(files = "\n        ".join(["\"%s\"," % file for file in result.stdout.splitlines()])))

package_files = repository_rule(
    doc = "The package files of one architecture, fetched by the machine's apt.",
    implementation = _package_files_impl,
    attrs = {
        "architecture": attr.string(mandatory = True),
        "lock": attr.label(mandatory = True),
        "renewal": attr.string(mandatory = True),
        "_program": attr.label_list(default = _PROGRAM),
    },
)

def _hub_impl(repository_ctx):
    base = repository_ctx.attr.base
    choices = {
        str(Label("@platforms//cpu:" + _CPUS[architecture])): "@%s_%s//:packages" % (base, architecture)
        for architecture in repository_ctx.attr.architectures
    }
    repository_ctx.file("BUILD.bazel", """\
alias(
    name = "packages",
    actual = select(
        {choices},
        no_match_error = "the lock of the Debian packages has {architectures} only; build for one of these platforms",
    ),
    visibility = ["//visibility:public"],
)
""".format(choices = repr(choices), architectures = " and ".join(repository_ctx.attr.architectures)))

hub = repository_rule(
    doc = "`//:packages`: the package files for the architecture of the target platform.",
    implementation = _hub_impl,
    attrs = {
        "architectures": attr.string_list(mandatory = True),
        "base": attr.string(mandatory = True),
    },
)
