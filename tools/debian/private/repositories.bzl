"""The repositories of a lock: one for each architecture, with its package files, and a hub that chooses among them."""

load(":lock_command.bzl", "LOCK_COMMAND")

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

# What tools/debian/lockfile.py reads and writes.
_FORMAT = 2

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
    content = json.decode(module_ctx.read(lock), default = {})
    if content.get("format") != _FORMAT:
        fail("\n" + _error(
            what = "cannot read the lock %s of the Debian packages in %s" % (lock.name, manifest.name),
            why = "its format is %s, and this version of the rules reads %s" % (content.get("format"), _FORMAT),
            remedy = "Run `%s` to write it anew, and commit it." % renewal,
        ))
    request = content["request"]
    differences = _differences(_asked_for(module_ctx.read(manifest)), _locked(request))
    if differences:
        fail("\n" + _error(
            what = "the lock %s of the Debian packages is out of step with %s" % (lock.name, manifest.name),
            why = "; ".join(differences),
            remedy = "Run `%s`, and commit the lock." % renewal,
        ))
    architectures = request["architectures"]
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
        sets = sorted(request["sets"]),
    )

def _asked_for(manifest):
    """The words of a package list by the key that they stand under: as much of YAML as it takes, in either style."""
    words = {}
    key = None
    for line in manifest.splitlines():
        text = (" " + line).partition(" #")[0].replace(" :", ":")
        for quote in ("\"", "'"):
            text = text.replace(quote, "")
        for mark in ("[", "]", "{", "}", ",", "\t"):
            text = text.replace(mark, " ")
        for word in text.split(" "):
            if word.endswith(":"):
                key = word[:-1]
                words[key] = words.get(key, [])
            elif key and word not in ("", "-"):
                words[key].append(word)
    return words

def _locked(request):
    return {"architectures": request["architectures"], "sets": [], "suite": [request["suite"]]} | request["sets"]

def _differences(asked_for, locked):
    """How the lock is out of step: a sentence each, as tools/debian/lockfile.py words them."""
    found = []
    for key in sorted(asked_for | locked):
        now, then = asked_for.get(key, []), locked.get(key, [])
        if key not in locked:
            found.append("set %s is asked for, and is not in the lock" % key)
        elif key not in asked_for:
            found.append("set %s is in the lock, and no longer asked for" % key)
        else:
            kind = {"architectures": "architecture", "suite": "suite"}.get(key, "set %s: package" % key)
            found += ["%s %s is asked for, and is not in the lock" % (kind, word) for word in now if word not in then]
            found += ["%s %s is in the lock, and no longer asked for" % (kind, word) for word in then if word not in now]
    return found

def _renewal(manifest, lock):
    """The command that renews a lock, from the root of the workspace that has it."""
    options = [
        "%s %s" % (option, path)
        for option, path, default in (
            ("--manifest", _path(manifest), _MANIFEST),
            ("--lock", _path(lock), _LOCK),
        )
        if path != default
    ]
    return " ".join([LOCK_COMMAND] + (["--"] + options if options else []))

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
            remedy = "Install Python 3.11 or later (Debian: apt install python3).",
        ))
    program = [repository_ctx.path(each) for each in repository_ctx.attr._program]
    lock = repository_ctx.path(repository_ctx.attr.lock)
    content = json.decode(repository_ctx.read(lock))  # a changed lock fetches anew
    repository_ctx.report_progress("Fetching Debian packages for %s" % architecture)
    result = repository_ctx.execute(
        # -P and -S: neither a module beside it nor an installed package may stand in for what it imports.
        [python, "-P", "-S", "-B", program[0], "--lock", lock, "--architecture", architecture, "--renewal", repository_ctx.attr.renewal],
        environment = {"PYTHONPATH": str(program[0].dirname.dirname.dirname)},
        timeout = 3600,
    )
    if result.return_code != 0:
        fail("\n" + (result.stderr or result.stdout))

    # The program has checked what is in the lock.
    files = {package["name"]: package["path"].rpartition("/")[2] for package in content["packages"][architecture]}
    repository_ctx.file("BUILD.bazel", "package(default_visibility = [\"//visibility:public\"])\n" + "".join([
        _FILEGROUP.format(name = name, files = "\n        ".join(["\"%s\"," % files[package] for package in packages]))
        for name, packages in sorted(content["sets"][architecture].items())
    ]))

_FILEGROUP = """
filegroup(
    name = "{name}",
    srcs = [
        {files}
    ],
)
"""

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
    repositories = {
        str(Label("@platforms//cpu:" + _CPUS[architecture])): "@%s_%s//:" % (repository_ctx.attr.base, architecture)
        for architecture in repository_ctx.attr.architectures
    }
    repository_ctx.file("BUILD.bazel", "".join([
        _ALIAS.format(
            name = repr(name),
            choices = repr({cpu: repository + name for cpu, repository in repositories.items()}),
            architectures = " and ".join(repository_ctx.attr.architectures),
        )
        for name in repository_ctx.attr.sets
    ]))

_ALIAS = """\
alias(
    name = {name},
    actual = select(
        {choices},
        no_match_error = "the lock of the Debian packages has {architectures} only; build for one of these platforms",
    ),
    visibility = ["//visibility:public"],
)
"""

hub = repository_rule(
    doc = "`//:NAME` for each set: its package files for the architecture of the target platform.",
    implementation = _hub_impl,
    attrs = {
        "architectures": attr.string_list(mandatory = True),
        "base": attr.string(mandatory = True),
        "sets": attr.string_list(mandatory = True),
    },
)
