"""Reference pages out of the doc strings of Starlark files."""

load("@rules_python//python:defs.bzl", "py_binary")

def _reference_page_impl(ctx):
    page = ctx.actions.declare_file(ctx.label.name + ".md")
    extracts = [file for file in ctx.files.extracts if file.basename.endswith(".textproto")]
    args = ctx.actions.args()
    args.add(ctx.attr.title, format = "--title=%s")
    args.add("--out", page)
    args.add_all(extracts)
    ctx.actions.run(
        executable = ctx.executable._render,
        arguments = [args],
        inputs = extracts,
        outputs = [page],
        mnemonic = "ReferencePage",
        progress_message = "Rendering %{label}",
    )
    return [DefaultInfo(files = depset([page]))]

_reference_page = rule(
    implementation = _reference_page_impl,
    attrs = {
        "extracts": attr.label_list(allow_files = [".textproto"]),
        "title": attr.string(),
        "_render": attr.label(
            cfg = "exec",
            default = "//docs:render",
            executable = True,
        ),
    },
)

def reference_page(name, title, modules, deps):
    """Makes `NAME.md` of what Starlark files say about themselves.

    Stardoc does the same, but its renderer is a Java program, and Bazel fetches a JDK and its Java tools to run it.
    What it renders, the native rule starlark_doc_extract gives as text.

    Args:
      name: name of the page.
      title: what stands above it.
      modules: labels of the files, in the order of the page.
      deps: labels of all files that they load, and those load.
    """
    extracts = []
    for number, module in enumerate(modules):
        native.starlark_doc_extract(
            name = "%s.%d" % (name, number),
            src = module,
            deps = deps,
        )
        extracts.append(":%s.%d.textproto" % (name, number))
    _reference_page(
        name = name,
        extracts = extracts,
        title = title,
    )

def reference_update(name, pages):
    """`bazel run` of it writes the pages into the source tree.

    Args:
      name: name of the target.
      pages: names of the reference_page targets of this package.
    """
    py_binary(
        name = name,
        srcs = [name + ".py"],
        args = ["$(rootpath :%s)" % page for page in pages],
        data = [":" + page for page in pages],
    )
