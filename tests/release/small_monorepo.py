"""A small monorepo under git: three apps, and all kinds of things that apps are made from."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.git import GitRepository
from tests.support.workspace import bazel_program, clean_environment

# A stand-in for the rules of this project: an image is its files, one after the other, and what its toolchain says.
RULES = """
load("//rules:inner.bzl", "SEPARATOR")

def _image(ctx):
    output = ctx.actions.declare_file(ctx.label.name + ".txt")
    files = ctx.files.srcs + ctx.files._common + ctx.toolchains["//toolchains:type"].files
    ctx.actions.run_shell(
        inputs = files,
        outputs = [output],
        command = 'for file in "${@:2}"; do echo "$file"; find -L "$file" -type f -exec cat {} +; echo %s; done >"$1"' %
                  SEPARATOR,
        arguments = [output.path] + [file.path for file in files],
    )
    return [DefaultInfo(files = depset([output]))]

image = rule(
    implementation = _image,
    attrs = {
        "srcs": attr.label_list(allow_files = True),
        "_common": attr.label(default = "//tool:common.txt", allow_single_file = True),
    },
    toolchains = ["//toolchains:type"],
)

app_metadata = rule(implementation = lambda ctx: [], attrs = {
    "app": attr.string(), "domain": attr.string(), "image": attr.label(), "platforms": attr.string_list(),
})

def app(name, srcs, domain = "demo"):
    image(name = name + "_image", srcs = srcs, tags = ["manual"])
    app_metadata(
        name = name + "_metadata", app = name, domain = domain, image = ":%s_image" % name, platforms = ["linux/amd64"],
    )
"""

FILES = {
    "MODULE.bazel": """
module(name = "small", repo_name = "house")
bazel_dep(name = "vendored")
local_path_override(module_name = "vendored", path = "vendored")
words = use_repo_rule("//third_party:words.bzl", "words")
words(name = "words", lock = "//third_party:words.lock")
register_toolchains("//toolchains:all")
""",
    "more.bazelrc": "",
    "README.md": "It is in no package.\n",
    ".github/workflows/ci.yml": "",
    "release/config.yaml": "{}\n",
    "rules/BUILD.bazel": "",
    "rules/rules.bzl": RULES,
    "rules/inner.bzl": 'SEPARATOR = "---"\n',
    "rules/only_tests.bzl": "def nothing():\n    pass\n",
    "tests/BUILD.bazel": 'load("//rules:only_tests.bzl", "nothing")\nload("//rules:rules.bzl", "app")\n'
    "nothing()\napp(name = 'of_a_test', srcs = glob(['*.txt']))\n",
    "tests/test.txt": "",
    "tool/BUILD.bazel": 'exports_files(["common.txt"])\n',
    "tool/common.txt": "common\n",
    "tool/package-lock.json": "{}\n",
    "toolchains/BUILD.bazel": """
load(":rules.bzl", "words_toolchain")
package(default_visibility = ["//visibility:public"])
toolchain_type(name = "type")
toolchain(name = "toolchain", toolchain = "//toolchains/inner:words", toolchain_type = ":type")
""",
    "toolchains/rules.bzl": """
words_toolchain = rule(
    implementation = lambda ctx: [platform_common.ToolchainInfo(files = ctx.files.srcs)],
    attrs = {"srcs": attr.label_list(allow_files = True)},
)
""",
    "toolchains/inner/BUILD.bazel": 'load("//toolchains:rules.bzl", "words_toolchain")\n'
    'words_toolchain(name = "words", srcs = ["words.txt"], visibility = ["//visibility:public"])\n',
    "toolchains/inner/words.txt": "words\n",
    "platforms/BUILD.bazel": 'platform(name = "machine", visibility = ["//visibility:public"])\n',
    "third_party/BUILD.bazel": "",
    "third_party/words.bzl": """
load(":helper.bzl", "build_file")
def _words(ctx):
    ctx.file("BUILD.bazel", build_file())
    ctx.file("words.txt", ctx.read(ctx.attr.lock) + ctx.read(Label("//third_party:tail.txt")))
words = repository_rule(implementation = _words, attrs = {"lock": attr.label()})
""",
    "third_party/helper.bzl": "def build_file():\n    return 'exports_files([\"words.txt\"])'\n",
    "third_party/words.lock": "one\n",
    "third_party/tail.txt": "two\n",
    "vendored/MODULE.bazel": 'module(name = "vendored")\n',
    "vendored/BUILD.bazel": 'exports_files(["vendored.txt"])\n',
    "vendored/vendored.txt": "vendored\n",
    "lib/BUILD.bazel": 'filegroup(name = "lib", srcs = glob(["**/*.txt"]), visibility = ["//visibility:public"])\n',
    "lib/lib.txt": "lib\n",
    "lib/deep/deep.txt": "deep\n",
    "lib/package/BUILD.bazel": "",
    "lib/package/hidden.txt": "hidden\n",
    "unused/BUILD.bazel": 'filegroup(name = "unused", srcs = ["unused.txt"])\n',
    "unused/unused.txt": "",
    "shared/text.txt": "shared\n",
    "apps/a/BUILD.bazel": 'load("@house//rules:rules.bzl", "app")\n'
    'app(name = "a", srcs = glob(["*.txt"]) + ["//lib"])\n',
    "apps/a/a.txt": "a\n",
    "apps/a/other.txt": "other\n",
    "apps/a/notes.md": "",
    "apps/b/BUILD.bazel": 'load("//rules:rules.bzl", "app")\n'
    'app(name = "b", srcs = ["folder", "linked.txt", "b.txt"] + glob(["linked_folder/**"]))\n',
    "apps/b/b.txt": "b\n",
    "apps/b/folder/deep/file": "folder\n",
    "apps/c/BUILD.bazel": 'load("//rules:rules.bzl", "app")\n'
    'app(name = "c", srcs = ["//lib", "@words//:words.txt", "@vendored//:vendored.txt"] '
    '+ glob(["module/**"], allow_empty = True))\n',
}

APPS = ("a", "b", "c")


def run(folder: Path, *command: str) -> str:
    """What a program prints; an AssertionError says why it failed."""
    done = subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Monorepo:
    """The workspace, which is a folder of its repository."""

    path: Path

    @classmethod
    def make(cls, folder: Path) -> "Monorepo":
        """Makes one, with a submodule and a Bazel server of its own, and commits it."""
        path = folder / "repository" / "workspace"
        for name, content in FILES.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_text(content)
        (path / ".bazelrc").write_text(
            f"startup --output_base={folder}/output_base --max_idle_secs=300\n"
            "common --lockfile_mode=off\n"
            "import %workspace%/more.bazelrc\n"
        )
        (path.parent / "beside.txt").touch()
        (path / "apps/b/linked.txt").symlink_to("../../shared/text.txt")
        (path / "apps/b/linked_folder").symlink_to("../../shared")
        made = folder / "module"
        made.mkdir()
        git(made, "init", "--quiet", "--initial-branch=main")
        for content in ("first\n", "second\n"):
            (made / "module.txt").write_text(content)
            git(made, "add", "--all")
            git(made, "commit", "--quiet", "--message", content)
        git(path.parent, "init", "--quiet", "--initial-branch=main")
        git(path.parent, "-c", "protocol.file.allow=always", "submodule", "add", str(made), "workspace/apps/c/module")
        git(path / "apps/c/module", "checkout", "--quiet", "HEAD~1")
        monorepo = cls(path)
        monorepo.commit()
        monorepo.git("tag", "start")
        return monorepo

    def git(self, *arguments: str) -> str:
        return git(self.path, *arguments)

    def commit(self) -> str:
        """Commits all that is in the tree, and returns the commit's name."""
        self.git("add", "--all", ":/")
        self.git("commit", "--quiet", "--message", "Change something")
        return self.git("rev-parse", "HEAD")

    def reset(self) -> None:
        """Takes back all that a test has done."""
        self.git("checkout", "--quiet", "--force", "-B", "main", "start")
        self.git("clean", "-ffdxq", ":/")
        git(self.path / "apps/c/module", "checkout", "--quiet", "--force", self.git("rev-parse", ":./apps/c/module"))

    def write(self, path: str, text: str) -> None:
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).write_text(text)

    def create(self, *paths: str) -> None:
        for path in paths:
            self.write(path, "")

    def append(self, path: str, text: str = "\n") -> None:
        with (self.path / path).open("a") as file:
            file.write(text)

    def move(self, path: str, to: str) -> None:
        (self.path / to).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).rename(self.path / to)

    def remove(self, path: str) -> None:
        run(self.path, "rm", "-r", path)

    def bazel(self, *arguments: str) -> str:
        return run(self.path, bazel_program(), *arguments)

    def images(self) -> dict[str, str]:
        """The images as they are built: their content by app."""
        self.bazel("build", *(f"//apps/{app}:{app}_image" for app in APPS))
        return {app: (self.path / f"bazel-bin/apps/{app}/{app}_image.txt").read_text() for app in APPS}


def git(folder: Path, *arguments: str) -> str:
    return GitRepository(folder).run(*arguments)
