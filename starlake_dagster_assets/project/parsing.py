"""One file of the project: rendered, parsed, migrated and checked; nothing here looks at another file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, cast

from pydantic import BaseModel

from starlake_dagster_assets.errors import nearest
from starlake_dagster_assets.project.environment import Variables
from starlake_dagster_assets.project.files import SourceFile
from starlake_dagster_assets.project.migration import ROOT_KEYS, migrate, unwrap_tables
from starlake_dagster_assets.project.problems import Problem
from starlake_dagster_assets.project.rendering import Renderer, RenderError, mentioned, source_line, uses_macros
from starlake_dagster_assets.project.schema import (
    DagFile,
    ExternalTableFile,
    LoadFile,
    RefsFile,
    TableFile,
    TaskFile,
    TransformFile,
    TypesFile,
)
from starlake_dagster_assets.project.schema_application import ApplicationFile
from starlake_dagster_assets.project.sections import split_sections
from starlake_dagster_assets.project.validation import Issue, check_shape
from starlake_dagster_assets.project.yaml_io import Document, YamlError, key_line, parse_yaml

__all__ = ["FileParser", "Parsed"]

_MODELS: dict[str, tuple[str, type[BaseModel]]] = {
    "application": ("application", ApplicationFile),
    "dag": ("dag", DagFile),
    "external": ("table", ExternalTableFile),
    "external_config": ("load", LoadFile),
    "load": ("load", LoadFile),
    "refs": ("refs", RefsFile),
    "table": ("table", TableFile),
    "task": ("task", TaskFile),
    "transform": ("transform", TransformFile),
    "types": ("types", TypesFile),
}
_UNRENDERED = {"dag", "env"}


@dataclass(frozen=True)
class Parsed:
    """What one file says.

    Attributes:
        data: What it sets, by Python names; None when it is broken. For SQL: its three sections and its source.
        line: 1-based line of its root key.
        items: Objects inside it (tables or tasks of a `_config`), each with its own line.
        problems: What is wrong with it.
        names: The variables it may read.
        digest: A hash that changes when what it says changes, and not with the day or the machine.
        text: The rendered text, for the line of a key; "" when it came from a cache.
    """

    data: dict[str, Any] | None
    line: int | None = None
    items: tuple[dict[str, Any], ...] = ()
    problems: tuple[Problem, ...] = ()
    names: tuple[str, ...] = ()
    digest: str = ""
    text: str = field(default="", compare=False)

    def to_json(self) -> dict[str, Any]:
        """What the manifest keeps of it."""
        found = asdict(self)
        del found["text"]
        return {**found, "problems": [problem.model_dump(mode="json") for problem in self.problems]}

    @staticmethod
    def from_json(found: Mapping[str, Any]) -> Parsed:
        """Reads what `to_json` wrote."""
        problems = tuple(Problem.model_validate(item) for item in found["problems"])
        items, names = tuple(found["items"]), tuple(found["names"])
        return Parsed(found["data"], found["line"], items, problems, names, found["digest"])


class FileParser:
    """Parses the files of one project.

    Args:
        renderer: Renders templates, macros included.
        variables: The variables in force.
        macros: The macro files, path below `metadata` to text.
    """

    def __init__(self, renderer: Renderer, variables: Variables, macros: Mapping[str, str]) -> None:
        self._renderer = renderer
        self._variables = variables
        self._macros = macros
        self._macro_names = frozenset(name for text in macros.values() for name in mentioned(text))
        self.macro_hash = _hash(f"{path}\0{text}\0" for path, text in sorted(macros.items()))

    def parse(self, file: SourceFile) -> Parsed:
        """Parses one file; what is wrong becomes problems, nothing is raised."""
        try:
            source = file.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = file.content.count(b"\n", 0, error.start) + 1
            return Parsed(None, problems=(_problem(file, line, "is not UTF-8 text.", "Save it as UTF-8.", "not-utf8"),))
        if file.kind == "python":
            return Parsed({}, 1, digest=_hash([_normal(source)]))
        names = frozenset[str]() if file.kind in _UNRENDERED else mentioned(source)
        macros = file.kind == "macro" or uses_macros(source, self._macros)
        if macros:
            names |= self._macro_names
        parsed = self._read(file, source)
        digest = self.digest_of(source, names, macros=macros)
        return Parsed(
            parsed.data, parsed.line, parsed.items, parsed.problems, tuple(sorted(names)), digest, parsed.text
        )

    def digest_of(self, source: str, names: Iterable[str], *, macros: bool) -> str:
        """A hash of a source and of the stable values of the variables it reads."""
        stable = self._variables.stable
        used = [f"{name}\0{stable[name]}\0" for name in sorted(names) if name in stable]
        return _hash([_normal(source), "\0", *used, self.macro_hash if macros else ""])

    def context(self, names: Iterable[str]) -> str:
        """A hash of everything outside a file that its parse depends on."""
        values, stable = self._variables.values, self._variables.stable
        used = [f"{name}\0{values.get(name)!r}\0{stable.get(name)!r}\0" for name in sorted(names)]
        return _hash([self.macro_hash, *used])

    def rendered(self, file: SourceFile) -> str:
        """The rendered text of a file that parsed before; "" when it does not render."""
        source = file.content.decode("utf-8-sig", errors="replace")
        if file.kind in _UNRENDERED:
            return source
        try:
            return self._renderer.render(source, self._variables.values)
        except RenderError:
            return ""

    def line(self, file: SourceFile, path: tuple[str | int, ...]) -> int | None:
        """The line of a key of a file, in the file as it is written."""
        text = self.rendered(file)
        source = file.content.decode("utf-8-sig", errors="replace")
        return source_line(source, text, key_line(text, path)) if text else None

    def _read(self, file: SourceFile, source: str) -> Parsed:
        try:
            if file.kind == "macro":
                self._renderer.check(source)
                return Parsed({}, 1)
            text = source if file.kind in _UNRENDERED else self._renderer.render(source, self._variables.values)
        except RenderError as error:
            return Parsed(None, problems=(_problem(file, error.line, f"{_sentence(error.message)}", "", "jinja"),))
        if file.kind == "sql":
            return _sql(source, text)
        try:
            document = parse_yaml(text)
        except YamlError as error:
            line = source_line(source, text, error.line)
            return Parsed(None, problems=(_problem(file, line, _sentence(error.message), "", "yaml"),))
        return _Shape(file, source, text, document).parse()


class _Shape:
    """Checks the parsed value of one YAML file."""

    def __init__(self, file: SourceFile, source: str, text: str, document: Document) -> None:
        self._file = file
        self._source = source
        self._text = text
        self._document = document

    def parse(self) -> Parsed:
        value = self._document.value
        value = {} if value is None else value
        if not isinstance(value, dict):
            issue = Issue((), "expected a mapping with one root key.", code="invalid-value")
            return Parsed(None, 1, problems=self._problems([issue]))
        content = cast("dict[str, Any]", value)
        issues = [
            Issue(path, f"the key `{path[-1]}` is written twice.", "Keep one of the two.", "duplicate-key")
            for path, _ in self._document.duplicates
        ]
        if self._file.kind in {"extract", "iam"}:
            return self._parsed({}, (), issues)
        if self._file.kind == "env":
            return self._env(content, issues)
        key, model = _MODELS[self._file.kind]
        document, found = self._envelope(key, content)
        issues += found
        data, items = None, ()
        if key in document:
            data, items = self._content(key, model, document, issues)
        return self._parsed(data, items, issues)

    def _envelope(self, key: str, content: dict[str, Any]) -> tuple[dict[str, Any], list[Issue]]:
        if "version" not in content:
            near = [name for name in content if name != key and nearest(name, [key])]
            if key in content or not near or not isinstance(content[near[0]], dict | list):
                content = migrate(key, content)
        elif str(content["version"]) != "1":
            return content, [Issue(("version",), f"expected 1, found `{content['version']}`.")]
        elif key == "table" and "table" not in content and "tables" in content:
            content = unwrap_tables(content)
        known = {key, "version", *(["tables"] if key == "load" else [])}
        unknown = [name for name in content if name not in known]
        issues = [_unknown_root(name, key, others=key in content) for name in unknown]
        if key not in content and not unknown:
            issues.append(Issue(("version",), f"the root key `{key}` is missing.", code="missing-key"))
        return content, issues

    def _content(
        self, key: str, model: type[BaseModel], document: dict[str, Any], issues: list[Issue]
    ) -> tuple[dict[str, Any] | None, tuple[dict[str, Any], ...]]:
        value = {} if document[key] is None and key not in {"types", "refs"} else document[key]
        if key in {"types", "refs"}:
            data, found = check_shape(model, {key: value or []}, ())
            issues += found
            return data, ()
        if key == "application":
            return _pruned(model, value, issues), ()
        data, found = check_shape(model, value, (key,))
        issues += found
        if key == "load" and document.get("tables"):
            return data, self._items(TableFile, document["tables"], ("tables",), issues)
        if key == "transform" and data and data.get("tasks"):
            return data, self._items(TaskFile, data.pop("tasks"), ("transform", "tasks"), issues)
        return data, ()

    def _items(
        self, model: type[BaseModel], values: object, prefix: tuple[str, ...], issues: list[Issue]
    ) -> tuple[dict[str, Any], ...]:
        if not isinstance(values, list):
            issues.append(Issue(prefix, "expected a list (`- item` lines)."))
            return ()
        found: list[dict[str, Any]] = []
        for index, value in enumerate(cast("list[object]", values)):
            path = (*prefix, index)
            data, wrong = check_shape(model, value, path)
            issues += wrong
            if data is not None:
                found.append({"data": data, "line": self._line(path), "index": index})
        return tuple(found)

    def _env(self, content: dict[str, Any], issues: list[Issue]) -> Parsed:
        content = content if "version" in content else migrate("env", content)
        values = content.get("env") or {}
        issues += [_unknown_root(name, "env", others=True) for name in content if name not in {"version", "env"}]
        if not isinstance(values, dict):
            issues.append(Issue(("env",), "expected a mapping of names to texts."))
            return self._parsed(None, (), issues)
        found: dict[str, str] = {}
        for name, value in cast("dict[str, object]", values).items():
            if isinstance(value, dict | list):
                issues.append(Issue(("env", name), "expected a text.", 'Quote it: "{{name}}".'))
            else:
                found[name] = "" if value is None else str(value)
        return self._parsed(found, (), issues)

    def _parsed(self, data: dict[str, Any] | None, items: tuple[dict[str, Any], ...], issues: list[Issue]) -> Parsed:
        root = next((name for name in self._document.lines if name in ROOT_KEYS or name == "tables"), None)
        line = source_line(self._source, self._text, self._document.lines[root]) if root else 1
        return Parsed(data, line, items, self._problems(issues), text=self._text)

    def _problems(self, issues: Iterable[Issue]) -> tuple[Problem, ...]:
        twice = dict(self._document.duplicates)
        found: list[Problem] = []
        for issue in issues:
            path = tuple(str(part) for part in issue.path)
            line = twice.get(path) if issue.code == "duplicate-key" else None
            line = source_line(self._source, self._text, line) if line else self._line(issue.path)
            found.append(
                Problem(
                    file=self._file.path,
                    line=line or 1,
                    key=".".join(path),
                    message=issue.message,
                    hint=issue.hint,
                    code=issue.code,
                )
            )
        return tuple(found)

    def _line(self, path: tuple[str | int, ...]) -> int | None:
        kept = path if self._document.lines.keys() & set(map(str, path[:1])) else path[1:]
        return source_line(self._source, self._text, key_line(self._text, kept))


def _pruned(model: type[BaseModel], value: object, issues: list[Issue]) -> dict[str, Any] | None:
    """The application without the keys that are wrong, so that one mistake there is one problem."""
    data, found = check_shape(model, value, ("application",))
    issues += found
    for _ in range(len(found)):
        if data is not None or not isinstance(value, dict):
            break
        for issue in found:
            value = _without(value, issue.path[1:-1] if issue.code == "missing-key" else issue.path[1:])
        data, found = check_shape(model, value, ("application",))
    return data


def _without(value: object, path: tuple[str | int, ...]) -> object:
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(value, list) and isinstance(head, int):
        items = cast("list[object]", value)
        return [
            _without(item, rest) if index == head else item for index, item in enumerate(items) if rest or index != head
        ]
    if isinstance(value, dict):
        found = cast("dict[str, object]", value)
        return {
            key: _without(item, rest) if key == str(head) else item
            for key, item in found.items()
            if rest or key != str(head)
        }
    return value


def _sql(source: str, text: str) -> Parsed:
    sections, written = split_sections(text), split_sections(source)
    data = {"presql": sections.presql, "sql": sections.sql, "postsql": sections.postsql}
    return Parsed({**data, "source": written.sql or source.strip()}, 1)


def _unknown_root(name: str, key: str, *, others: bool) -> Issue:
    close = nearest(name, [key, "version"])
    hint = f"Did you mean `{close}`?" if close else f"A file of this kind has `version` and `{key}`."
    if not others and name in ROOT_KEYS:
        hint = f"A file in this directory has the root key `{key}`."
    return Issue((name,), f"unknown key `{name}` at the top of the file.", hint, "unknown-key")


def _problem(file: SourceFile, line: int | None, message: str, hint: str, code: str) -> Problem:
    return Problem(file=file.path, line=line or 1, message=message, hint=hint, code=code)


def _sentence(message: str) -> str:
    return message if message.endswith((".", "?", "!")) else f"{message}."


def _normal(source: str) -> str:
    return source.replace("\r\n", "\n")


def _hash(parts: Iterable[str]) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
