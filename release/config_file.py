"""`release/config.yaml`, read so that what is wrong with it can be said with file, line and key.

A module apart from the settings themselves, since importing a YAML parser takes a while.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from release.config import Config, ProvenanceSettings
from release.destination import Destination
from release.errors import InvalidRequest
from release.tags import TagTemplates
from tools.oci.manifest import Platform
from tools.oci.reference import check_registry

LOCATION = "release/config.yaml"
"""Where it lies in a workspace."""

_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:[!-~]+")


def load_config(path: Path) -> Config:
    """Read a configuration file.

    Raises:
        InvalidRequest: it cannot be read, or says something that cannot be; names file, line and key.
    """
    try:
        # Composed, not constructed: the nodes know on which line they stand.
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _invalid(f"{path}{line}", error.problem or "it is not YAML") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _invalid(str(path), str(error)) from None
    if root is None:
        return Config()
    values = _mapping(root, path, "", _KEYS)
    if "destinations" in values:
        clash = [key for key in ("registry", "owner") if key in values]
        if clash:
            raise _invalid(_line(path, root), f"{' and '.join(clash)} and destinations say the same in two ways")
        first, *further = values.pop("destinations")
        values |= {"registry": first.registry, "owner": first.owner, "further": tuple(further)}
    return Config(**values)


def _mapping(node: yaml.Node, path: Path, parent: str, keys: Mapping[str, Reader]) -> dict[str, Any]:
    """Read a mapping by a table of its keys."""
    if not isinstance(node, yaml.MappingNode):
        raise _invalid(_line(path, node), f"{parent or 'the file'} has to be a mapping of keys to values")
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        name = f"{parent}.{key}" if parent else key
        if key not in keys:
            raise _invalid(_line(path, key_node), f"unknown key {name}; known are {', '.join(keys)}")
        if key in values:
            raise _invalid(_line(path, key_node), f"key {name} is there twice")
        try:
            values[key] = keys[key](value_node, path)
        except ValueError as error:
            if isinstance(error, InvalidRequest):
                raise
            raise _invalid(_line(path, value_node), f"{name}: {getattr(error, 'why', error)}") from None
    return values


def _text(node: yaml.Node, _: Path) -> str:
    if not isinstance(node, yaml.ScalarNode) or not node.tag.endswith(":str"):
        raise ValueError("it has to be a text; put it in quotes if it is one")
    return str(node.value)


def _registry(node: yaml.Node, path: Path) -> str:
    return check_registry(_text(node, path))


def _destinations(node: yaml.Node, path: Path) -> list[Destination]:
    """The registries, the first of which is pushed to and so has to be there."""
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise ValueError("it has to be a list of registries, each with the keys registry, owner, required")
    keys = {"registry": _registry_or_variable, "owner": _text, "required": _truth}
    found = []
    for number, item in enumerate(node.value):
        values = _mapping(item, path, f"destinations[{number}]", keys)
        if "registry" not in values:
            raise _invalid(_line(path, item), f"destinations[{number}] lacks the key registry")
        found.append(Destination(**values))
    if not found[0].required or "$" in found[0].registry + found[0].owner:
        raise ValueError("the first one is where images are pushed: it is required, and takes no variable")
    repeated = {(each.registry, each.owner) for each in found}
    if len(repeated) != len(found):
        raise ValueError("a registry is there twice")
    return found


def _registry_or_variable(node: yaml.Node, path: Path) -> str:
    text = _text(node, path)
    return text if "$" in text else check_registry(text)


def _target_pattern(node: yaml.Node, path: Path) -> str:
    if not (text := _text(node, path)).startswith(("//", "@")):
        raise ValueError("it has to be a Bazel target pattern, e.g. //apps/...")
    return text


def _platforms(node: yaml.Node, path: Path) -> tuple[Platform, ...]:
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise ValueError("it has to be a list of platforms, e.g. [linux/amd64, linux/arm64]")
    platforms = tuple(Platform.parse(_text(item, path)).normalized for item in node.value)
    if len(set(platforms)) != len(platforms):
        raise ValueError("a platform is there twice")
    return platforms


def _tags(node: yaml.Node, path: Path) -> TagTemplates:
    return TagTemplates(**_mapping(node, path, "tags", {field.name: _text for field in fields(TagTemplates)}))


def _provenance(node: yaml.Node, path: Path) -> ProvenanceSettings:
    keys = {"enabled": _truth, "builder": _uri, "source": _uri, "cosign_key": _key}
    return ProvenanceSettings(**_mapping(node, path, "provenance", keys))


def _truth(node: yaml.Node, _: Path) -> bool:
    if not isinstance(node, yaml.ScalarNode) or not node.tag.endswith(":bool"):
        raise ValueError("it has to be true or false")
    return str(node.value).lower() in ("true", "yes", "on")


def _uri(node: yaml.Node, path: Path) -> str:
    text = _text(node, path)
    if _URI.fullmatch(text) is None:
        raise ValueError("it has to be a URI, e.g. git+https://git.example/acme/apps")
    if "@" in urlsplit(text).netloc:
        raise ValueError("it has a login in it, and everybody can read it where it goes")
    return text


def _key(node: yaml.Node, path: Path) -> str:
    """A key's URI as it is, a file from where the configuration is."""
    text = _text(node, path)
    return text if _URI.fullmatch(text) else str(path.absolute().parent / text)


def _seconds(node: yaml.Node, _: Path) -> float:
    if not isinstance(node, yaml.ScalarNode) or not node.tag.endswith((":int", ":float")) or not float(node.value) >= 0:
        raise ValueError("it has to be a number of seconds")
    return float(node.value)


Reader = Callable[[yaml.Node, Path], Any]

_KEYS: Mapping[str, Reader] = {
    "registry": _registry,
    "owner": _text,
    "destinations": _destinations,
    "apps": _target_pattern,
    "platforms": _platforms,
    "tags": _tags,
    "provenance": _provenance,
    "retry_seconds": _seconds,
}


def _line(path: Path, node: yaml.Node) -> str:
    return f"{path}:{node.start_mark.line + 1}"


def _invalid(where: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"Cannot use {where}", why, "Correct it, or name another file with --config.")
