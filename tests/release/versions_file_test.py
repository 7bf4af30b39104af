"""The file of `--versions`: what it may say, and that everything that is wrong with it is said at once."""

from pathlib import Path

import pytest

from release.app import App
from release.errors import Exit, InvalidRequest
from release.version import Version
from release.versions_file import read_versions
from tools.oci.manifest import Platform


def app(domain: str, name: str) -> App:
    return App(name, domain, f"//{name}:image", (Platform("linux", "amd64"),), f"//{domain}/{name}:metadata")


API, WEB, OTHER_WEB = app("shop", "api"), app("shop", "web"), app("blog", "web")
KNOWN = (API, WEB, OTHER_WEB)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "versions.yaml"


def refusal(file: Path, *apps: App) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read_versions(file, apps, KNOWN, "//apps/...")
    assert caught.value.exit_status == Exit.USAGE
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "shop-api: v1.2.3\nshop-web: v2.0.0-rc.1\n",
        "# of this week\nshop/api: 'v1.2.3'\nshop/web: \"v2.0.0-rc.1\"\n",
        "---\napi: v1.2.3\nshop-web: v2.0.0-rc.1\n",
        '{"shop-api": "v1.2.3", "shop-web": "v2.0.0-rc.1"}',
        '{\r\n\t"shop-api":\t"v1.2.3",\r\n\t"shop\\/web": "v2.0.0-rc.1"\r\n}\r\n',
        '\ufeff{"shop-api": "v1.2.3", "shop-\\u0077eb": "v2.0.0-rc.1"}',
        "blog-web: v9.0.0\nshop-api: v1.2.3\nshop-web: v2.0.0-rc.1\n",
    ],
    ids=["yaml", "slashes", "short", "json", "json with tabs", "json with a mark", "more than asked for"],
)
def test_each_app_gets_its_version(file: Path, text: str) -> None:
    file.write_bytes(text.encode())
    versions = read_versions(file, [API, WEB], KNOWN, "//apps/...")
    assert (versions["shop-api"], versions["shop-web"]) == (Version(1, 2, 3), Version(2, 0, 0, "rc.1"))


def test_everything_that_is_wrong_is_said_at_once_with_its_line(file: Path) -> None:
    file.write_text(
        "shop-api: v1.0.0\nshp-api: v1.0.0\nweb: v1.0.0\nshop/api: v1.0.1\n\nblog-web: 1.0\nshop-api: [v1.0.0]\n"
    )
    form = "has to be v{major}.{minor}.{patch} (e.g., v1.0.0, v2.1.3, v1.0.0-beta1)"
    assert refusal(file, API, WEB, OTHER_WEB).splitlines() == [
        f"Cannot use {file}: ",
        f"  {file}:2: unknown app 'shp-api'",
        f"  {file}:3: App 'web' is ambiguous: it may be blog-web, shop-web",
        f"  {file}:4: shop-api is there twice, in line 1 too",
        f"  {file}:6: version '1.0' of blog-web {form}",
        f"  {file}:7: shop-api is there twice, in line 1 too",
        f"  {file}:7: version '(a list)' of shop-api {form}",
        f"  {file}: no version of shop-web",
        "The apps in //apps/... are blog-web, shop-api, shop-web.",
        "Correct it, or name another file with --versions.",
    ]


def test_all_apps_that_the_file_lacks_are_named(file: Path) -> None:
    file.write_text("")
    assert f"{file}: no version of shop-api, shop-web, blog-web" in refusal(file, *KNOWN)


@pytest.mark.parametrize("value", ["", "null", "1.0.0", "v1.0", "latest", "{v1.0.0: x}", "v01.0.0", "!!binary aGk="])
def test_a_value_that_is_no_version_is_told_of(file: Path, value: str) -> None:
    file.write_text(f"\nshop-api: {value}\n")
    assert f"{file}:2: version " in refusal(file, API)


def test_a_domain_is_no_app(file: Path) -> None:
    file.write_text("shop: v1.0.0\n")
    assert f"{file}:1: unknown app 'shop'" in refusal(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"- shop-api\n", ":1: the file has to be a mapping of apps to versions"),
        (b"v1.0.0\n", ":1: the file has to be a mapping of apps to versions"),
        (b"\nshop-api: [\n", ":3: "),
        (b"shop-api: v1.0.0\n---\nshop-web: v1.0.0\n", ":2: but found another document"),
        (b"\xff\xfe\x00", ": 'utf-8' codec can't decode"),
        (b"shop-api: \x00", ": unacceptable character"),
        (b"[" * 5000, ": maximum recursion depth exceeded"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_of(file: Path, content: bytes, words: str) -> None:
    file.write_bytes(content)
    assert f"Cannot use {file}{words}" in refusal(file)


def test_a_file_that_is_not_there_is_told_of(file: Path) -> None:
    assert "No such file" in refusal(file)
