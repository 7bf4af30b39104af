"""Events of CI, and what is written for its matrix."""

import json

import pytest

from release.app import App
from release.errors import InvalidRequest
from release.matrix import Event, Matrix, Wish, read_tag
from release.version import Version


def app(domain: str, name: str) -> App:
    return App(name, domain, f"//{domain}/{name}:image", (), f"//{domain}/{name}:metadata")


APPS = (app("shop", "web-v2.v1"), app("shop", "web"), app("shop-web", "cart"))


@pytest.mark.parametrize(
    ("tag", "apps", "version"),
    [
        ("shop-web.v1.2.3", ["shop-web"], "v1.2.3"),
        ("refs/tags/shop-web-v2.v1.v0.0.1", ["shop-web-v2.v1"], "v0.0.1"),
        ("shop-web-cart.v1.0.0-rc.v1.0.0", ["shop-web-cart"], "v1.0.0-rc.v1.0.0"),
        ("v3.0.0-rc.1", ["shop-web", "shop-web-cart", "shop-web-v2.v1"], "v3.0.0-rc.1"),
    ],
)
def test_a_tag_names_an_app_and_its_version_or_every_app(tag: str, apps: list[str], version: str) -> None:
    found, read = read_tag(tag, APPS, "//...")
    assert [each.full_name for each in found] == apps
    assert read == Version.parse(version)


@pytest.mark.parametrize("tag", ["", "nightly", "1.0.0", "v1.0", "shop-web.1.0.0", "web.v1.0.0", "shop-web.v1.0.0\n"])
def test_any_other_tag_is_an_error_that_lists_the_apps(tag: str) -> None:
    with pytest.raises(InvalidRequest, match=r"(?s)names no release.*shop-web, shop-web-cart, shop-web-v2\.v1"):
        read_tag(tag, APPS, "//...")


@pytest.mark.parametrize(
    ("event", "given", "words"),
    [
        (Event.PUSH, {}, "it needs --base"),
        (Event.PULL_REQUEST, {"tag": "v1.0.0"}, "it needs --base, and --tag has no meaning for it"),
        (Event.TAG, {"base": "abc", "head": "abc"}, "it needs --tag, and --base has no meaning for it, and --head"),
        (Event.TAG, {"tag": "v1.0.0", "version": Version(1, 0, 0)}, "--version has no meaning for it"),
        (Event.MANUAL, {"version": Version(1, 0, 0)}, "it needs APP"),
        (Event.PUSH, {"base": "abc", "names": ("a",)}, "APP has no meaning for it"),
    ],
)
def test_what_an_event_lacks_or_cannot_have_is_said(event: Event, given: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        Wish(event, **given)  # type: ignore[arg-type]


def test_both_forms_have_the_same_matrix() -> None:
    matrix = Matrix(Event.TAG, (APPS[1],), Version(1, 0, 0))
    document = json.loads(matrix.to_json())
    lines = dict(line.split("=", 1) for line in matrix.to_github().splitlines())
    assert json.loads(lines["matrix"]) == document["matrix"] == {"include": [{"app": "shop-web", "version": "v1.0.0"}]}
    assert lines["has_apps"] == "true"
    assert document["has_apps"] is True
    assert document["version"] == lines["version"] == "v1.0.0"
    assert document["apps"] == [{"app": "shop-web", "domain": "shop", "name": "web", "image": "//shop/web:image"}]
