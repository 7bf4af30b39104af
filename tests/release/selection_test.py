"""Lists of names, and the apps that they mean."""

import pytest

from release.app import App
from release.errors import Exit, InvalidRequest
from release.selection import check_apps, choose_apps, split_names


def app(domain: str, name: str) -> App:
    return App(name, domain, f"//{domain}/{name}:image", (), f"//{domain}/{name}:metadata")


APPS = tuple(app(*each.split("/")) for each in ("shop/web", "shop/cart", "demo/web", "demo/shop"))


def names(*words: str) -> list[str]:
    return [each.full_name for each in choose_apps(split_names(words), APPS, "//apps/...")]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["all"], ["demo-shop", "demo-web", "shop-cart", "shop-web"]),
        (["demo"], ["demo-shop", "demo-web"]),
        (["shop-web", "demo/web"], ["demo-web", "shop-web"]),
        (["cart,demo-web", "  demo-shop\n"], ["demo-shop", "demo-web", "shop-cart"]),
        (["demo/shop", "shop-cart"], ["demo-shop", "shop-cart"]),
        ([" , "], []),
    ],
)
def test_a_list_is_of_apps_domains_or_all(words: list[str], expected: list[str]) -> None:
    assert names(*words) == expected


def test_everything_that_is_wrong_with_a_list_is_said_at_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        names("web", "shop", "nobody", "cart", "shop/cart", "demo", "demo/web", "shop-nobody")
    assert caught.value.exit_status == Exit.USAGE
    said = str(caught.value)
    for words in (
        "App 'web' is ambiguous: it may be demo-web, shop-web",
        "App 'shop' is ambiguous: it may be demo-shop, or the domain shop",
        "Unknown app 'nobody'",
        "Unknown app 'shop-nobody'",
        "shop-cart is named more than once: cart, shop/cart",
        "demo-web is named more than once: demo, demo/web",
        "The apps in //apps/... are demo-shop, demo-web, shop-cart, shop-web; the domains are demo, shop.",
    ):
        assert words in said


def test_apps_of_which_two_have_one_repository_are_wrong() -> None:
    check_apps(APPS, "//...")
    with pytest.raises(InvalidRequest, match=r"a-b-c \(//a-b/c:metadata and //a/b-c:metadata\)"):
        check_apps([app("a", "b-c"), app("a-b", "c"), *APPS], "//...")
