"""Compares an image index with what is expected of it."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.image.testing.archive import LayerEntry, read_archive, read_files, read_listing
from tools.image.testing.filesystem import FileSystem, Node, NothingThere
from tools.image.testing.report import Failure
from tools.image.testing.spec import EVERYTHING_ELSE, FileCheck, NamedValue, Setting, Spec, Table, Text, Words
from tools.image.testing.subject import Image, Layer, Subject
from tools.oci.manifest import ImageIndex, parse_manifest

# A pattern that names a thousand files is told by its first ones.
_SHOWN = 5
_SHOWN_CHARACTERS = 300

# Keys of a specification and what the configuration calls them (OCI image-spec, config.md).
_CONFIG_KEYS = {
    "user": "User",
    "workdir": "WorkingDir",
    "stop_signal": "StopSignal",
    "entrypoint": "Entrypoint",
    "cmd": "Cmd",
    "exposed_ports": "ExposedPorts",
    "env": "Env",
    "labels": "Labels",
}


def check_index(subject: Subject, spec: Spec, platforms: Sequence[str]) -> list[tuple[str, Failure]]:
    """What of `spec`, its commands left aside, does not hold; each with its platform, or "" for the index itself.

    Args:
      subject: the image index.
      spec: what is expected.
      platforms: those whose images are looked at.
    """
    failures = [("", failure) for failure in _check_document(subject, spec)]
    contents = _Contents()
    for platform in platforms:
        image = subject.images[platform]
        files = file_system(image)
        found = [
            *(Failure("the layers", "each to mean the same to every engine", problem) for problem in files.problems),
            *_check_files(
                image, files, [c for c in spec.files if not c.platforms or platform in c.platforms], contents
            ),
            *_check_absent(image, files, spec),
            *_check_only(image, files, spec),
            *_check_settings("config", _configured(image), spec.config),
            *_check_annotations("manifest", image.manifest, spec),
        ]
        failures += [(platform, failure) for failure in found]
    return failures


def file_system(image: Image) -> FileSystem:
    """What a container of `image` sees, from the layers' listings; a layer without one is read."""
    names = [image.layer_name(number) for number in range(len(image.layers))]
    return FileSystem.overlay([_entries(layer) for layer in image.layers], names)


def _entries(layer: Layer) -> Iterable[LayerEntry]:
    if layer.listing:
        return read_listing(layer.listing)
    assert layer.blob is not None
    return read_archive(layer.blob)


class _Contents:
    """Files' contents. A layer is opened once for all that is wanted of it, a shared one once for all platforms."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], bytes] = {}

    def load(self, image: Image, nodes: Iterable[Node]) -> None:
        """Makes the contents of `nodes` ready."""
        wanted: dict[int, set[str]] = defaultdict(set)
        for node in nodes:
            number, path = node.content
            if (image.layers[number].digest, path) not in self._known:
                wanted[number].add(path)
        for number, paths in wanted.items():
            layer = image.layers[number]
            assert layer.blob is not None
            for path, content in read_files(layer.blob, paths).items():
                self._known[layer.digest, path] = content

    def of(self, image: Image, node: Node) -> bytes:
        """The content of a file that was loaded."""
        number, path = node.content
        return self._known[image.layers[number].digest, path]


def _check_document(subject: Subject, spec: Spec) -> Iterator[Failure]:
    assert subject.index is not None
    index = parse_manifest(subject.index.read_bytes(), source=str(subject.index))
    assert isinstance(index, ImageIndex)
    present = tuple(str(platform) for platform in index.platforms)
    if spec.platforms is not None:
        wanted, where = spec.platforms
        if set(wanted) != set(present):
            yield Failure("platforms", ", ".join(sorted(wanted)), ", ".join(sorted(present)), where=where)
    for platform, where in spec.mentioned_platforms:
        if platform not in present:
            yield Failure("a check for one platform", f"one of {', '.join(present)}", platform, where=where)
    yield from _check_annotations("index", subject.index, spec)


def _check_files(
    image: Image, files: FileSystem, checks: Sequence[FileCheck], contents: _Contents
) -> Iterator[Failure]:
    nodes: dict[FileCheck, Node | NothingThere] = {}
    for check in checks:
        try:
            nodes[check] = files.find(check.path, follow=check.kind != "symlink")
        except NothingThere as error:
            nodes[check] = error
    contents.load(image, [node for check, node in nodes.items() if isinstance(node, Node) and _is_read(check, node)])
    for check, node in nodes.items():
        if isinstance(node, Node):
            yield from _check_file(image, check, node, contents)
        elif check.exists:
            yield Failure(check.path, "to be there", str(node), where=check.where)


def _is_read(check: FileCheck, node: Node) -> bool:
    """Whether the listing does not say enough of a file."""
    if node.kind != "file":
        return False
    if check.sha256 and not node.sha256:
        return True
    return check.content is not None and not _is_equal_by_digest(check.content, node)


def _is_equal_by_digest(text: Text, node: Node) -> bool:
    if text.equals is None or text.contains or text.matches:
        return False
    return node.sha256 == hashlib.sha256(text.equals.encode()).hexdigest()


def _check_file(image: Image, check: FileCheck, node: Node, contents: _Contents) -> Iterator[Failure]:
    real = f"/{node.path}"
    name = check.path if real == check.path else f"{check.path} (which is {real})"

    def failure(what: str, expected: object, found: object) -> Failure:
        about = f"{name}: {what}" if what else name
        return Failure(about, str(expected), str(found), image.layer_name(node.layer), check.where)

    if not check.exists:
        yield failure("", "not to be there", f"a {node.kind}")
        return
    if check.kind and node.kind != check.kind:
        yield failure("kind", check.kind, node.kind)
        return
    if check.mode is not None and node.mode != check.mode:
        yield failure("mode", f"{check.mode:04o}", f"{node.mode:04o}")
    if check.owner and (node.uid, node.gid) != check.owner:
        yield failure("owner", "{}:{}".format(*check.owner), f"{node.uid}:{node.gid}")
    if check.target is not None and node.target != check.target:
        yield failure("target", check.target, node.target)
    needs_file = (check.min_size, check.max_size, check.content, check.sha256) != (None, None, None, None)
    if needs_file and node.kind != "file":
        yield failure("kind", "file", node.kind)
        return
    if limits := _unmet_limits(check, node.size):
        yield failure("size", limits, f"{node.size} bytes")
    if check.sha256 and (found := node.sha256 or _sha256(contents.of(image, node))) != check.sha256:
        yield failure("SHA-256", check.sha256, found)
    if check.content and not _is_equal_by_digest(check.content, node):
        text = contents.of(image, node).decode(errors="backslashreplace")
        begin = _first_difference(check.content.equals, text)
        if begin > _SHOWN_CHARACTERS:
            line = text.count("\n", 0, begin) + 1
            yield failure(
                f"content from line {line} on", shortened((check.content.equals or "")[begin:]), shortened(text[begin:])
            )
            return
        for expected in check.content.unmet(text):
            yield failure("content", expected, shortened(text))


def _first_difference(expected: str | None, found: str) -> int:
    """Where the first line begins that is not as expected; 0 where no text is expected to be equal."""
    if expected is None or expected == found:
        return 0
    begin = 0
    for one, other in zip(expected.splitlines(keepends=True), found.splitlines(keepends=True), strict=False):
        if one != other:
            break
        begin += len(one)
    return begin


def _unmet_limits(check: FileCheck, size: int) -> str:
    """What a file's size should be, in words; empty where it is that."""
    low, high = check.min_size, check.max_size
    too_small, too_large = low is not None and size < low, high is not None and size > high
    if low == high and (too_small or too_large):
        return f"{low} bytes"
    return f"at least {low} bytes" if too_small else f"at most {high} bytes" if too_large else ""


def _check_absent(image: Image, files: FileSystem, spec: Spec) -> Iterator[Failure]:
    for check in spec.absent:
        nodes = list(files.matching(check.glob))
        if nodes:
            yield Failure(f"absent: {check.glob.text}", "nothing", _listed(image, nodes), where=check.where)


def _check_only(image: Image, files: FileSystem, spec: Spec) -> Iterator[Failure]:
    for check in spec.only:
        try:
            # A directory is what is in it, so only an empty one is looked at for itself.
            extra = [
                node
                for path, node, holds_something in files.below(check.folder)
                if not holds_something and not any(glob.names(path) for glob in check.globs)
            ]
        except NothingThere as error:
            yield Failure(f"only: {check.folder}", "a folder", str(error), where=check.where)
            continue
        if extra:
            allowed = "nothing but " + ", ".join(glob.text for glob in check.globs) if check.globs else "nothing"
            yield Failure(f"only: {check.folder}", allowed, "besides:\n" + _listed(image, extra), where=check.where)


def _listed(image: Image, nodes: Sequence[Node]) -> str:
    lines = [f"/{node.path} ({node.kind}, {image.layer_name(node.layer)})" for node in nodes[:_SHOWN]]
    if len(nodes) > _SHOWN:
        lines.append(f"and {len(nodes) - _SHOWN} more")
    return "\n".join(lines)


def _configured(image: Image) -> dict[str, Any]:
    """The settings of an image under their names in a specification: texts, sorted or ordered words, and tables."""
    assert image.config is not None
    document = json.loads(image.config.read_bytes()).get("config") or {}
    found = {name: document.get(key) for name, key in _CONFIG_KEYS.items()}
    found["env"] = dict(pair.partition("=")[::2] for pair in found["env"] or [])
    found["exposed_ports"] = sorted(port if "/" in port else f"{port}/tcp" for port in found["exposed_ports"] or {})
    return found


def _check_annotations(name: str, document: Path | None, spec: Spec) -> Iterator[Failure]:
    assert document is not None
    found = {name: json.loads(document.read_bytes()).get("annotations")}
    yield from _check_settings("annotations", found, [setting for setting in spec.annotations if setting.name == name])


def _check_settings(kind: str, found: Mapping[str, Any], settings: Iterable[Setting]) -> Iterator[Failure]:
    for setting in settings:
        about, value = f"{kind}: {setting.name}", found[setting.name]
        match setting.expected:
            case None if value:
                yield Failure(about, "not to be set", _shown(value), where=setting.where)
            case Text() as text:
                for expected in text.unmet(value or ""):
                    yield Failure(about, expected, _shown(value), where=setting.where)
            case Words(words) if list(words) != (value or []):
                yield Failure(about, _shown(list(words)), _shown(value), where=setting.where)
            case Table(values):
                yield from _check_table(about, value or {}, values)


def _check_table(kind: str, found: Mapping[str, str], table: Sequence[NamedValue]) -> Iterator[Failure]:
    for item in table:
        about = f"{kind}: {item.name}"
        if item.name == EVERYTHING_ELSE:
            others = sorted(found.keys() - {other.name for other in table})
            if others:
                expected = f"no others than {', '.join(other.name for other in table if other is not item) or 'none'}"
                yield Failure(kind, expected, ", ".join(others), where=item.where)
        elif item.expected is None:
            if item.name in found:
                yield Failure(about, "not to be set", _shown(found[item.name]), where=item.where)
        elif item.name not in found:
            there_are = f"not set; there are {', '.join(sorted(found))}" if found else "not set; there are none"
            yield Failure(about, "to be set", there_are, where=item.where)
        else:
            for expected in item.expected.unmet(found[item.name]):
                yield Failure(about, expected, _shown(found[item.name]), where=item.where)


def _shown(value: object) -> str:
    return repr(value) if value else "not set"


def shortened(text: str) -> str:
    """A text for a message, in quotes: all of it, or its beginning and how long it is."""
    if len(text) <= _SHOWN_CHARACTERS:
        return repr(text)
    return f"{text[:_SHOWN_CHARACTERS]!r}... ({len(text)} characters)"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
