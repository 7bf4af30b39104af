"""The greetings of hello_python."""

from apps.hello_python.greeting import greetings


def test_a_greeting_is_read_by_its_language() -> None:
    assert greetings()["fr"] == "Bonjour"
