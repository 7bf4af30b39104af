"""Greets, and says what it runs on."""

import platform

import click

from apps.hello_python.greeting import greetings


@click.command()
@click.argument("name", default="world")
@click.option("--language", type=click.Choice(sorted(greetings())), default="en", show_default=True)
def main(name: str, language: str) -> None:
    """Greet NAME, and say which architecture and which Python this runs on."""
    click.echo(f"{greetings()[language]}, {name}!")
    click.echo(f"architecture: {platform.machine()}")
    click.echo(f"python: {platform.python_version()}")


if __name__ == "__main__":
    main()
