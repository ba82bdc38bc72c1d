"""Parses one file of the project: renders, migrates and validates it, without looking at other files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import blake2b

from starlake_dagster_assets.project.files.discovery import SourceFile
from starlake_dagster_assets.project.files.environment import Variables
from starlake_dagster_assets.project.files.key_validation import FileValidator, ParsedFile
from starlake_dagster_assets.project.files.rendering import (
    Renderer,
    RenderError,
    find_printed_names,
    find_variable_names,
    source_line,
    uses_macros,
)
from starlake_dagster_assets.project.files.yaml_io import YamlError, is_text, key_line, parse_yaml
from starlake_dagster_assets.project.model.problems import Problem
from starlake_dagster_assets.project.sql.sections import split_sections

__all__ = ["FileParser"]

_UNRENDERED = {"dag", "env"}


class FileParser:
    """Parser of the files of one project.

    Args:
        renderer: Renders templates, macros included.
        variables: The variables in force.
        macros: The macro files, path below `metadata` to text.
    """

    def __init__(self, renderer: Renderer, variables: Variables, macros: Mapping[str, str]) -> None:
        self._renderer = renderer
        self._variables = variables
        self._macros = macros
        self._macro_names = frozenset(name for text in macros.values() for name in find_variable_names(text))
        self.macro_hash = _hash(f"{path}\0{text}\0" for path, text in sorted(macros.items()))

    def parse(self, file: SourceFile) -> ParsedFile:
        """Parses one file; errors are collected as problems and not raised."""
        try:
            source = _normal(file.content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            line = file.content.count(b"\n", 0, error.start) + 1
            return ParsedFile(
                None, problems=(_problem(file, line, "is not UTF-8 text.", "Save it as UTF-8.", "not-utf8"),)
            )
        if file.kind == "python":
            return ParsedFile({}, 1, digest=_hash([source]))
        names = frozenset[str]() if file.kind in _UNRENDERED else find_variable_names(source)
        macros = file.kind == "macro" or uses_macros(source, self._macros)
        if macros:
            names |= self._macro_names
        parsed = self._read(file, source)
        if parsed.problems and file.kind not in _UNRENDERED:
            parsed = replace(parsed, problems=tuple(self._with_cause(source, problem) for problem in parsed.problems))
        digest = self.digest_of(source, names, macros=macros)
        return ParsedFile(
            parsed.data, parsed.line, parsed.items, parsed.problems, tuple(sorted(names)), digest, parsed.text
        )

    def digest_of(self, source: str, names: Iterable[str], *, macros: bool) -> str:
        """Returns a hash of a source and of the stable values of the variables it reads."""
        stable = self._variables.stable
        used = [f"{name}\0{stable[name]}\0" for name in sorted(names) if name in stable]
        return _hash([source, "\0", *used, self.macro_hash if macros else ""])

    def context(self, names: Iterable[str]) -> str:
        """Returns a hash of everything outside a file that its parse depends on."""
        values, stable = self._variables.values, self._variables.stable
        used = [f"{name}\0{values.get(name)!r}\0{stable.get(name)!r}\0" for name in sorted(names)]
        return _hash([self.macro_hash, *used])

    def rendered(self, file: SourceFile) -> str:
        """Returns the rendered text of a file that parsed before; "" if it cannot be rendered."""
        source = _normal(file.content.decode("utf-8-sig", errors="replace"))
        if file.kind in _UNRENDERED:
            return source
        try:
            return self._renderer.render(source, self._variables.values)
        except RenderError:
            return ""

    def line(self, file: SourceFile, path: tuple[str | int, ...]) -> int | None:
        """Returns the line of a key in the unrendered file."""
        text = self.rendered(file)
        source = _normal(file.content.decode("utf-8-sig", errors="replace"))
        return source_line(source, text, key_line(text, path)) if text else None

    def _with_cause(self, source: str, problem: Problem) -> Problem:
        """Returns the problem; if an unset variable is its cause, with this variable in the message and the hint."""
        if problem.code in {"bare-macro", "unknown-function"}:
            return problem
        key = problem.key.rpartition(".")[2]
        for number, text in enumerate(source.split("\n"), start=1):
            unset = sorted(name for name in find_printed_names(text) if not self._variables.values.get(name))
            if not unset or number < (problem.line or 1):
                continue
            if number != problem.line and not re.match(rf"[\s\-{{]*[\"']?{re.escape(key)}[\"']?\s*:", text):
                continue
            message = f"the variable `{unset[0]}` is not set: {problem.message}"
            hint = (
                f"Set it in an env file or with `--option {unset[0]}=…`; quote text in braces that is not a variable."
            )
            update = {"line": number, "message": message, "hint": hint, "code": "unset-variable"}
            return problem.model_copy(update=update)
        return problem

    def _probe(self, source: str) -> str:
        """Returns the rendered SQL with NULL for each unset variable, such as `sl_start_date`; "" if all are set."""
        values = self._variables.values
        unset = {name: "NULL" for name in find_printed_names(source) if not values.get(name)}
        try:
            return self._renderer.render(source, {**values, **unset}) if unset else ""
        except RenderError:
            return ""

    def _read(self, file: SourceFile, source: str) -> ParsedFile:
        try:
            if file.kind == "macro":
                self._renderer.check(source)
                return ParsedFile({}, 1)
            text = source if file.kind in _UNRENDERED else self._renderer.render(source, self._variables.values)
        except RenderError as error:
            problem = _problem(file, error.line, _sentence(error.message), error.hint, error.code)
            return ParsedFile(None, problems=(problem,))
        if not is_text(text):
            message = "is not UTF-8 text once its variables are filled in."
            return ParsedFile(None, problems=(_problem(file, 1, message, "", "not-utf8"),))
        if file.kind == "sql":
            return _sql(source, text, self._probe(source))
        try:
            document = parse_yaml(text)
        except YamlError as error:
            line = source_line(source, text, error.line)
            return ParsedFile(None, problems=(_problem(file, line, _sentence(error.message), "", "yaml"),))
        return FileValidator(file, source, text, document).parse()


def _sql(source: str, text: str, probe: str) -> ParsedFile:
    sections, written = split_sections(text), split_sections(source)
    data = {"presql": sections.presql, "sql": sections.sql, "postsql": sections.postsql}
    if probe:
        data["probe"] = split_sections(probe).sql
    return ParsedFile({**data, "source": written.sql or source.strip()}, 1)


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
