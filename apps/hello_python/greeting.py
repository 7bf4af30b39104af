"""Greetings in several languages."""

from pathlib import Path

import yaml


def greetings() -> dict[str, str]:
    """How to say hello, by ISO 639-1 language."""
    # The C loader is part of the native wheel: what runs here was really built for this machine.
    document = yaml.load(Path(__file__).with_name("greetings.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
    return {str(language): str(text) for language, text in document.items()}
