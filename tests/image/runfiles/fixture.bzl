"""Everything that a runfiles tree may hold."""

def _runfiles_fixture_impl(ctx):
    tree = ctx.actions.declare_directory(ctx.label.name + ".tree")
    ctx.actions.run_shell(
        outputs = [tree],
        command = "mkdir -p $1/deep && echo one > $1/one && echo two > $1/deep/two && : > $1/empty && ln -s deep $1/again",
        arguments = [tree.path],
        mnemonic = "FixtureTree",
        progress_message = "Writing the tree of %{label}",
    )
    dangling = ctx.actions.declare_symlink(ctx.label.name + ".dangling")
    ctx.actions.symlink(output = dangling, target_path = "nowhere/to/be/found")
    present = ctx.actions.declare_symlink(ctx.label.name + ".present")
    ctx.actions.symlink(output = present, target_path = "/etc/hostname")
    resolved = ctx.actions.declare_file(ctx.label.name + ".resolved")
    ctx.actions.symlink(output = resolved, target_file = ctx.file.plain)
    return [DefaultInfo(
        files = depset([tree]),
        runfiles = ctx.runfiles(
            files = [tree, dangling, present, resolved, ctx.file.plain],
            symlinks = {"linked/plain.txt": ctx.file.plain},
            root_symlinks = {"at_the_root.txt": ctx.file.plain},
        ),
    )]

runfiles_fixture = rule(
    implementation = _runfiles_fixture_impl,
    attrs = {"plain": attr.label(allow_single_file = True)},
)
