"""Testing what is in an image, how it is configured, and what its containers do."""

load("@rules_python//python:defs.bzl", "py_test")
load("//tools/image/private:subject.bzl", "declare_subject")

# How the docker SDK finds an engine, and whether this is CI.
_ENVIRONMENT = [
    "CI",
    "DOCKER_CERT_PATH",
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
]

def image_test(name, image, spec, platforms = [], engine = None, size = "small", **kwargs):
    """Tests that an image is what a specification says. Everything that is wrong is told at once.

    The specification is YAML; every key may be left out, and one that is not known is an error:

        platforms: [linux/amd64, linux/arm64]   # exactly those that the index has
        files:
          /etc/app.yaml:                        # is there; symlinks are followed
          /usr/bin/app: {kind: file, mode: 0755, owner: 0:0}          # kind: file, directory or symlink
          /usr/bin/python3: {target: python3.13}                      # of a symlink
          /etc/motd: {content: "Hello\\n", size: {max: 100}}          # size: a number, or min and max
          /etc/os-release: {content: {contains: trixie, matches: "^ID=debian$"}}
          /usr/lib/data.bin: {sha256: "64 hexadecimal digits", platforms: [linux/arm64]}
          /root/.netrc: {exists: false}
        absent: ["**/__pycache__/**", "**/*.pem"]                     # nothing that these name is there
        only:
          /etc/app: ["*.yaml", "certs/**"]                            # nothing else is in the folder
        config:                                                       # null: not set
          user: 65532:65532
          workdir: null
          entrypoint: [/usr/bin/app]
          cmd: []
          env: {PATH: {contains: /usr/bin}, DEBUG: null, "*": null}   # "*": null: no others
          labels: {}
          exposed_ports: [8080/tcp]
          stop_signal: SIGTERM
        annotations: {manifest: {}, index: {}}
        commands:
          - args: [--help]                                            # of the entrypoint; `entrypoint` replaces it
            env: {DEBUG: "1"}
            exit: 0
            stdout: {matches: "^Usage"}
            stderr: ""
            timeout: 10
            platforms: [linux/amd64]

    A text is the whole text, or `{equals, contains, matches}`: parts of it, or regular expressions found in it.

    What files there are is known from the listings of the layers; only a test of content opens a layer, and only the one
    that has the file. Besides what is asked, layers that engines would put together differently fail.

    Commands run in containers without a network, in the Docker engine that DOCKER_HOST names, or the machine's own; those
    of another architecture need an emulator there (QEMU's binfmt). With `engine`, NAME is a suite of two tests:
    NAME_contents, sandboxed and cached like any other, and NAME_commands, which is `local`.

    Args:
      name: name of the test.
      image: label of the image_index.
      spec: label of a YAML file, or a dict of the same form.
      platforms: those whose images are looked at (linux/arm64); all by default.
      engine: what it means that there is no engine, or that it cannot run a platform: "required" (the test fails) or
        "if_available" (it is said, and fails where CI=true). None: there are no commands.
      size: Bazel's test size.
      **kwargs: common attributes of tests.
    """
    if engine not in (None, "required", "if_available"):
        fail("image_test %s: engine is %r. Choose \"required\" or \"if_available\", or leave it out." % (name, engine))
    tags = kwargs.pop("tags", [])
    inline = type(spec) == "dict"
    if inline and spec.get("commands") and not engine:
        fail("image_test %s: its commands would not be run. Give it engine = \"required\", or \"if_available\"." % name)
    written = json.encode_indent(spec, indent = "  ") if inline else ""
    folder = declare_subject(name + "_subject", "contents", image, tags, spec = written)

    # Quoted, since Bazel splits arguments as a shell does.
    args = ["'--subject=%s/subject.json'" % folder]
    args += ["'--platform=%s'" % platform for platform in platforms]
    if inline:
        args += ["'--spec=%s/spec.json'" % folder, "'--spec-name=spec of //%s:%s'" % (native.package_name(), name)]
    else:
        args.append("'--spec=$(rootpath %s)'" % spec)
    data = [":%s_subject" % name] + ([] if inline else [spec])
    py_test(
        name = name + "_contents" if engine else name,
        size = size,
        srcs = [Label("//tools/image/testing:image_check.py")],
        main = Label("//tools/image/testing:image_check.py"),
        args = args + (["--commands-elsewhere"] if engine else []),
        data = data,
        deps = [Label("//tools/image/testing:checks")],
        tags = tags,
        **kwargs
    )
    if engine:
        py_test(
            name = name + "_commands",
            size = "medium" if size == "small" else size,
            srcs = [Label("//tools/image/testing:command_check.py")],
            main = Label("//tools/image/testing:command_check.py"),
            args = args + ["--engine=" + engine],
            data = data,
            deps = [Label("//tools/image/testing:containers")],
            env_inherit = _ENVIRONMENT,
            # An engine that was not there may be there now, so that a test that passed without one must not be cached.
            tags = tags + ["local"] + (["external"] if engine == "if_available" else []),
            **kwargs
        )
        native.test_suite(
            name = name,
            tags = [tag for tag in tags if tag == "manual"],
            tests = [name + "_commands", name + "_contents"],
            visibility = kwargs.get("visibility"),
        )
