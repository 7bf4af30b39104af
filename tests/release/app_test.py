"""Finding the app that is meant, and its repository."""

import json
from typing import Any

import pytest

from release.app import App, choose_app, read_apps, repository_of
from release.config import Config
from release.errors import InvalidRequest, ReleaseError
from release.request import Request
from release.version import Version
from tools.oci.manifest import Platform
from tools.oci.reference import Repository

SCOPE = "//apps/..."
BOTH = (Platform("linux", "amd64"), Platform("linux", "arm64"))


def app(domain: str, name: str, label: str = "") -> App:
    return App(name, domain, f"//apps/{name}:{name}_image", BOTH, label or f"//apps/{name}:{name}_metadata")


APPS = (app("demo", "hello_python"), app("demo", "hello_cc"), app("shop", "cart"), app("demo", "cart"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("demo-hello_python", APPS[0]),
        ("demo/hello_python", APPS[0]),
        ("hello_python", APPS[0]),
        ("shop-cart", APPS[2]),
        ("demo/cart", APPS[3]),
    ],
)
def test_an_app_is_found_by_each_form_of_its_name(name: str, expected: App) -> None:
    assert choose_app(name, APPS, SCOPE) is expected


def test_a_full_name_comes_before_another_apps_short_one() -> None:
    odd = app("misc", "shop-cart")
    assert choose_app("shop-cart", (*APPS, odd), SCOPE) is APPS[2]
    assert choose_app("misc/shop-cart", (*APPS, odd), SCOPE) is odd


@pytest.mark.parametrize(
    ("name", "apps", "words"),
    [
        ("hello", APPS, r"Unknown app 'hello': .* demo-cart, demo-hello_cc, demo-hello_python, shop-cart"),
        ("shop/hello_python", APPS, "Unknown app"),
        ("", APPS, "Unknown app"),
        ("cart", APPS, "'cart' is ambiguous: it may be demo-cart, shop-cart"),
        ("hello", (), "there is no app in //apps/..."),
        ("a-b-c", (app("a-b", "c", "//x:1"), app("a", "b-c", "//x:2")), "is there twice: //x:1 and //x:2"),
    ],
)
def test_any_other_name_is_a_wrong_call_that_lists_what_there_is(name: str, apps: tuple[App, ...], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        choose_app(name, apps, SCOPE)


def line(**attributes: Any) -> str:
    """A line of `bazel query --output=streamed_jsonproto`."""
    written = [
        {"name": name, "stringListValue": value} if isinstance(value, list) else {"name": name, "stringValue": value}
        for name, value in attributes.items()
    ]
    return json.dumps({"type": "RULE", "rule": {"name": "//apps/a:a_metadata", "attribute": written}})


WHOLE = {"app": "a", "domain": "demo", "image": "//apps/a:a_image", "platforms": ["linux/amd64", "linux/arm64/v8"]}


def test_apps_are_read_from_the_attributes_of_their_metadata() -> None:
    assert read_apps(line(**WHOLE) + "\n\n") == (App("a", "demo", "//apps/a:a_image", BOTH, "//apps/a:a_metadata"),)
    assert read_apps("") == ()


@pytest.mark.parametrize("attribute", WHOLE)
def test_an_attribute_that_reads_as_empty_is_an_error_of_the_build_file(attribute: str) -> None:
    for attributes in ({**WHOLE, attribute: type(WHOLE[attribute])()}, {k: WHOLE[k] for k in WHOLE if k != attribute}):
        with pytest.raises(ReleaseError, match=rf"//apps/a:a_metadata.*{attribute} is empty(?s:.*)select"):
            read_apps(line(**attributes))


@pytest.mark.parametrize(
    ("wish", "configured", "github", "expected"),
    [
        (None, None, None, "ghcr.io/demo-hello_python"),
        (None, None, "Whale-Net", "ghcr.io/whale-net/demo-hello_python"),
        (None, "Acme", "Whale-Net", "ghcr.io/acme/demo-hello_python"),
        (None, "", "Whale-Net", "ghcr.io/demo-hello_python"),
        ("Me", "Acme", "Whale-Net", "ghcr.io/me/demo-hello_python"),
        ("", "Acme", "Whale-Net", "ghcr.io/demo-hello_python"),
        ("a/b", None, None, "ghcr.io/a/b/demo-hello_python"),
    ],
)
def test_the_owner_comes_from_the_command_line_the_configuration_or_github(
    wish: str | None, configured: str | None, github: str | None, expected: str
) -> None:
    environment = {} if github is None else {"GITHUB_REPOSITORY_OWNER": github}
    request = Request("hello_python", Version(1, 0, 0), owner=wish)
    config = Config(registry="ghcr.io", owner=configured)
    assert repository_of(APPS[0], request, config, environment) == Repository.parse(expected)


def test_the_registry_of_the_command_line_comes_before_the_configured_one() -> None:
    request = Request("hello_python", Version(1, 0, 0), registry="localhost:5001")
    assert repository_of(APPS[0], request, Config(), {}) == Repository("localhost:5001", "demo-hello_python")
