"""Parses YAML as Starlake does: every scalar stays the text in the file, and a problem can name its line.

The implicit types are those of YAML 1.2 (`on`, `yes`, `012`, dates stay text). Numbers and booleans are kept as
text as well and read by the schema where one is expected, so that `007` is still `007` where a text is expected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import yaml

__all__ = ["Document", "YamlError", "is_text", "key_line", "parse_yaml"]

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_MAX_NODES = 500_000
_MAX_DEPTH = 1000
_TOO_LARGE = "this YAML document is too large once its aliases are expanded"


class _TextLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Loader that composes nodes only; no plain scalar gets a type of YAML 1.1."""

    def resolve(self, kind: object, value: object, implicit: object) -> str:
        """Returns an empty tag for each node, because tags are not used."""
        return ""


class YamlError(Exception):
    """Error of a text that is not valid YAML.

    Args:
        message: The reason.
        line: 1-based line, None if it is not known.
    """

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass(frozen=True)
class Document:
    """A parsed YAML file.

    Attributes:
        value: Mappings, lists, texts and None.
        duplicates: Keys written twice in one mapping, with the 1-based line of the second.
        lines: 1-based line of each key of the top-level mapping.
    """

    value: object
    duplicates: tuple[tuple[tuple[str, ...], int], ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict[str, int])


def is_text(text: str) -> bool:
    """Whether a text can be encoded as UTF-8: it contains no lone surrogate."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def parse_yaml(text: str) -> Document:
    """Parses one YAML document.

    Args:
        text: The rendered text of a file.

    Returns:
        Its value, with the duplicate keys that were found.

    Raises:
        YamlError: When the text is not one YAML document.
    """
    root = _compose(text)
    if root is None:
        return Document(None)
    builder = _Builder()
    value = builder.build(root, ())
    lines = dict[str, int]()
    if isinstance(root, yaml.MappingNode):
        lines = {str(key.value): _line(key) for key, _ in _pairs(root)}
    return Document(value, tuple(builder.duplicates), lines)


def key_line(text: str, path: Sequence[str | int]) -> int | None:
    """Returns the line of a key, by composing the text again; only called for a problem.

    Args:
        text: The rendered text of a file.
        path: Keys and list indices from the top of the document.

    Returns:
        The 1-based line of the deepest part of the path that exists; None if the text is not YAML.
    """
    try:
        node = _compose(text)
    except YamlError:
        return None
    if node is None:
        return 1
    line = _line(node)
    for part in path:
        step = _step(node, str(part))
        if step is None:
            break
        line, node = step
    return line


def _step(node: yaml.Node, part: str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in _pairs(node):
            if key.value == part:
                return _line(key), value
    elif isinstance(node, yaml.SequenceNode) and part.isdigit():
        items = cast("list[yaml.Node]", node.value)
        if int(part) < len(items):
            return _line(items[int(part)]), items[int(part)]
    return None


def _compose(text: str) -> yaml.Node | None:
    if _is_deep(text):
        raise YamlError("the values are nested too deeply", None)
    try:
        return yaml.compose(text, Loader=_TextLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(f"not valid YAML: {_reason(error, text)}", mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else None
        raise YamlError(f"not valid YAML: {getattr(error, 'reason', None) or 'unreadable text'}", line) from None
    except (RecursionError, ValueError) as error:
        raise YamlError(f"not valid YAML: {error}", None) from None


def _reason(error: yaml.MarkedYAMLError, text: str) -> str:
    """Returns the error of the parser, with its position and the usual causes."""
    reason = str(error.problem or error.context or "unreadable text")
    start, end = error.context_mark, error.problem_mark
    if error.context and "single document" in str(error.context):
        return "the file holds a second document (`---`); a file describes one thing"
    if start and end and error.context and start.line != end.line:
        reason = f"{reason}, {error.context} that begins on line {start.line + 1}"
    if "cannot start any token" in reason and end:
        char = "".join(text.split("\n")[end.line : end.line + 1])[end.column : end.column + 1]
        if char == "\t":
            return "a tab where spaces are expected; indent with spaces"
        return f"{reason}: `{char}`; quote the text that begins with it" if char else reason
    return reason


def _is_deep(text: str) -> bool:
    """Whether a text nests so deeply that composing it would exhaust the C stack; called for unusual texts only."""
    odd = text.count("[") + text.count("{") > _MAX_DEPTH or "- - - - - - - - " in text or "? ? ? ? ? ? ? ? " in text
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_TextLoader) if odd else ():
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _MAX_DEPTH:
                return True
    except yaml.YAMLError as error:
        return "maximum nesting depth" in str(error)  # newer parsers have a limit of their own
    return False


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _pairs(node: yaml.MappingNode) -> list[tuple[yaml.Node, yaml.Node]]:
    return node.value


class _Builder:
    """Turns nodes into plain values."""

    def __init__(self) -> None:
        self.duplicates: list[tuple[tuple[str, ...], int]] = []
        self._count = 0
        self._open: set[int] = set()

    def build(self, node: yaml.Node, path: tuple[str, ...]) -> object:
        """Returns the value of the node at `path`."""
        self._count += 1
        if self._count > _MAX_NODES:
            raise YamlError(_TOO_LARGE, _line(node))
        if isinstance(node, yaml.ScalarNode):
            text: str = node.value
            if not is_text(text):
                raise YamlError("a text holds half of a character (a surrogate)", _line(node))
            return None if not node.style and text in _NULLS else text
        if id(node) in self._open:
            raise YamlError("an alias refers to the value that holds it", _line(node))
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            items = cast("list[yaml.Node]", node.value)
            return [self.build(item, (*path, str(index))) for index, item in enumerate(items)]
        except RecursionError:
            raise YamlError("the values are nested too deeply", _line(node)) from None
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: tuple[str, ...]) -> dict[str, object]:
        found: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key, value in _pairs(node):
            if not isinstance(key, yaml.ScalarNode):
                raise YamlError("a key must be a text", _line(key))
            name: str = key.value
            if name == "<<" and not key.style:
                merged = {**merged, **self._merge(value, path)}
                continue
            if name in found:
                self.duplicates.append(((*path, name), _line(key)))
            found[name] = self.build(value, (*path, name))
        return {**merged, **found}

    def _merge(self, node: yaml.Node, path: tuple[str, ...]) -> dict[str, object]:
        value = self.build(node, path)
        parts = cast("list[object]", value) if isinstance(value, list) else [value]
        merged: dict[str, object] = {}
        for part in reversed(parts):
            if not isinstance(part, dict):
                raise YamlError("`<<` takes a mapping or a list of mappings", _line(node))
            merged.update(cast("dict[str, object]", part))
        return merged
