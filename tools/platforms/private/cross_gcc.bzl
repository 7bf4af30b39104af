"""Debian's cross compiler for arm64 (packages gcc-aarch64-linux-gnu, g++-aarch64-linux-gnu), found on this machine."""

_TRIPLE = "aarch64-linux-gnu"

# Keys that Bazel's toolchain configuration wants, and what each is called after the triple.
_TOOLS = {
    "ar": "ar",
    "cpp": "cpp",
    "dwp": "dwp",
    "gcc": "gcc",
    "gcov": "gcov",
    "ld": "ld",
    "llvm-cov": "llvm-cov",
    "nm": "nm",
    "objcopy": "objcopy",
    "objdump": "objdump",
    "strip": "strip",
}

# Every py_binary asks for a C++ toolchain of its platform, although few compile anything: a missing compiler must fail
# the action that would have called it, and nothing before.
_MISSING = """#!/bin/sh
echo "error: cannot compile for linux/arm64: {triple}-gcc is not on this machine's PATH." >&2
echo "Install gcc-{triple} and g++-{triple} (packages of Debian), and run 'bazel fetch --force --configure'." >&2
exit 1
"""

_BUILD = """load("@bazel_tools//tools/cpp:unix_cc_toolchain_config.bzl", "cc_toolchain_config")
load("@rules_cc//cc:defs.bzl", "cc_toolchain")

filegroup(name = "tools", srcs = ["missing.sh"])

cc_toolchain_config(
    name = "config",
    abi_libc_version = "glibc",
    abi_version = "gcc",
    compile_flags = ["-fstack-protector", "-Wall", "-fno-omit-frame-pointer"],
    compiler = "gcc",
    cpu = "aarch64",
    cxx_builtin_include_directories = {include_directories},
    cxx_flags = ["-std=c++17"],
    dbg_compile_flags = ["-g"],
    host_system_name = "local",
    link_flags = ["-Wl,-no-as-needed", "-Wl,-z,relro,-z,now"],
    link_libs = ["-lstdc++", "-lm"],
    opt_compile_flags = ["-g0", "-O2", "-D_FORTIFY_SOURCE=2", "-DNDEBUG", "-ffunction-sections", "-fdata-sections"],
    opt_link_flags = ["-Wl,--gc-sections"],
    supports_start_end_lib = False,
    target_libc = "glibc",
    target_system_name = "{triple}",
    tool_paths = {tool_paths},
    toolchain_identifier = "{triple}",
    # Dates and paths of this machine have no place in what it compiles.
    unfiltered_compile_flags = [
        "-fno-canonical-system-headers",
        "-Wno-builtin-macro-redefined",
        '-D__DATE__="redacted"',
        '-D__TIMESTAMP__="redacted"',
        '-D__TIME__="redacted"',
    ],
)

cc_toolchain(
    name = "compiler",
    all_files = ":tools",
    ar_files = ":tools",
    as_files = ":tools",
    compiler_files = ":tools",
    dwp_files = ":tools",
    linker_files = ":tools",
    objcopy_files = ":tools",
    strip_files = ":tools",
    toolchain_config = ":config",
)

toolchain(
    name = "toolchain",
    exec_compatible_with = ["@platforms//os:linux", "@platforms//cpu:x86_64"],
    target_compatible_with = ["@platforms//os:linux", "@platforms//cpu:aarch64"],
    toolchain = ":compiler",
    toolchain_type = "@bazel_tools//tools/cpp:toolchain_type",
)
"""

def _include_directories(rctx, gcc):
    """The folders that the compiler searches by itself; Bazel refuses headers from any other."""
    result = rctx.execute(
        [gcc, "-E", "-x", "c++", "-", "-v"],
        environment = {"LC_ALL": "C"},
    )
    lines = result.stderr.split("\n")
    start = "#include <...> search starts here:"
    if start not in lines:
        fail("cannot set up the compiler for linux/arm64: %s does not say where its headers are: %s. Reinstall g++-%s." % (gcc, result.stderr, _TRIPLE))
    directories = {}
    for line in lines[lines.index(start) + 1:]:
        if not line.startswith(" "):
            break
        directories[line.strip()] = True
        directories[str(rctx.path(line.strip()).realpath)] = True

    # Kernel headers of newer Debian releases lie outside /usr/include, reached by links in it.
    directories["/usr/lib/linux/uapi"] = True
    return sorted(directories.keys())

def _cross_gcc_impl(rctx):
    rctx.file("missing.sh", _MISSING.format(triple = _TRIPLE), executable = True)
    gcc = rctx.which(_TRIPLE + "-gcc")
    found = {key: rctx.which("%s-%s" % (_TRIPLE, name)) for key, name in _TOOLS.items()}
    rctx.file("BUILD.bazel", _BUILD.format(
        include_directories = repr(_include_directories(rctx, gcc) if gcc else []),
        tool_paths = repr({key: str(path) if path else "missing.sh" for key, path in found.items()}),
        triple = _TRIPLE,
    ))

_cross_gcc = repository_rule(
    implementation = _cross_gcc_impl,
    configure = True,
    environ = ["PATH"],
)

def _cross_compilers_impl(_mctx):
    _cross_gcc(name = "gcc_aarch64_linux_gnu")

cross_compilers = module_extension(
    implementation = _cross_compilers_impl,
    doc = "C and C++ compilers for the platforms of images that are not this machine's own.",
)
