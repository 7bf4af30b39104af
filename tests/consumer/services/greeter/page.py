"""Makes a page out of its template, with a compiled package's help."""

from pathlib import Path

import jinja2

# Compiled: its wheel is another one for each platform.
import markupsafe._speedups


def render(name: str, machine: str) -> str:
    """The page that greets `name`."""
    template = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    assert markupsafe._speedups
    return jinja2.Environment(autoescape=True).from_string(template).render(name=name, machine=machine)
