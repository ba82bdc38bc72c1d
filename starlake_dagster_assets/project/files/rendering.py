"""Templates of a project's files: Jinja first, then `${name}` as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from jinja2 import ChainableUndefined, TemplateError, TemplateSyntaxError
from jinja2.loaders import ChoiceLoader, DictLoader, FileSystemLoader
from jinja2.utils import missing

from starlake_dagster_assets.errors import closest_match
from starlake_dagster_assets.project.files.jinja_limits import (
    MOST_CHARACTERS,
    LimitedEnvironment,
    LimitError,
    template_limits,
)

__all__ = [
    "RenderError",
    "Renderer",
    "find_printed_names",
    "find_variable_names",
    "render",
    "source_line",
    "substitute",
    "uses_macros",
]

_JINJA = re.compile(r"\{\{|\{%|\{#")
_TEXTUAL = re.compile(r"\$\{\s*([^\s{}]+)\s*\}|\{\{\s*([^\s{}]+)\s*\}\}")
_PRINTED = re.compile(r"\$\{\s*(\w+)\s*\}|\{\{-?\s*(\w+)\s*-?\}\}")
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\$\{.*?\}", re.DOTALL)
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"[^\s${}()|,'\"]+")
_MACRO = re.compile(r"\{%[-+]?\s*macro\s+(\w+)")
_TESTED = re.compile(r"\{%[-+]?\s*(?:if|elif)\b(.*?)%\}", re.DOTALL)
_IMPORT = re.compile(r"\{%[-+]?\s*(?:import|from|include|extends)\b")


class RenderError(Exception):
    """Error of a template that Jinja rejects.

    Args:
        message: The reason.
        line: 1-based line of the template, None if it is not known.
        hint: Next step; "" if there is none.
        code: Code of the `Problem`.
    """

    def __init__(self, message: str, line: int | None, hint: str = "", code: str = "jinja") -> None:
        super().__init__(f"{message}. {hint}" if hint else message)
        self.message = message
        self.line = line
        self.hint = hint
        self.code = code


class _UnknownFunctionError(Exception):
    """Call of a function that does not exist, which is also an error in Starlake's Jinjava."""


class _Nothing(ChainableUndefined):
    """Value of an unknown name: empty text in every operation, as in Jinjava."""

    def __getattr__(self, name: str) -> _Nothing:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing(obj=self, name=name)

    def __getitem__(self, name: Any) -> _Nothing:  # type: ignore[override]
        return _Nothing(obj=self, name=str(name))

    def __call__(self, *args: Any, **kwargs: Any) -> _Nothing:
        if self._undefined_obj is missing and self._undefined_name:
            raise _UnknownFunctionError(self._undefined_name)
        return self

    def __int__(self) -> int:
        return 0

    def __float__(self) -> float:
        return 0.0

    def _same(self, *args: Any) -> _Nothing:
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _same  # type: ignore[assignment]
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __neg__ = __pos__ = __pow__ = __rpow__ = _same  # type: ignore[assignment]

    def __lt__(self, other: object) -> bool:
        return False

    __gt__ = __le__ = __ge__ = __lt__


def render(text: str, variables: Mapping[str, str]) -> str:
    """Renders Jinja, then `${name}` and `{{ name }}` as plain text.

    Args:
        text: A template. An unknown `{{ x }}` becomes "", an unknown `${x}` is left unchanged.
        variables: The variables in force.

    Returns:
        The text with its variables replaced.

    Raises:
        RenderError: When the template is not valid Jinja.

    Example:
        >>> render("{{ a }}-${a}-{{ b }}-${b}", {"a": "1"})
        '1-1--${b}'
    """
    return Renderer().render(text, variables)


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """Replaces `${name}` and `{{ name }}` of known names as plain text, without Jinja.

    Args:
        text: Any text, such as a value of an env file.
        variables: The variables in force.

    Returns:
        The text; unknown names are left unchanged.
    """
    if "${" not in text and "{{" not in text:
        return text

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1] or match[2], match[0])

    return _TEXTUAL.sub(value, text)


def find_variable_names(text: str) -> frozenset[str]:
    """Returns the names that a template may read: all that look like a name inside `{{ }}`, `{% %}` and `${ }`.

    Args:
        text: An unrendered text.

    Returns:
        The names, known or not, including words of Jinja itself.
    """
    if "{" not in text:
        return frozenset()
    names: set[str] = set()
    for part in _TEMPLATE.findall(text):
        names.update(_WORD.findall(part))
        names.update(_TOKEN.findall(part))
    return frozenset(names)


def find_printed_names(text: str) -> frozenset[str]:
    """Returns the names that a template prints unchanged: `{{ x }}` and `${x}`.

    Args:
        text: An unrendered text.
    """
    return frozenset(match[1] or match[2] for match in _PRINTED.finditer(text))


def uses_macros(text: str, macros: Mapping[str, str]) -> bool:
    """Whether a template imports a file or calls a macro of the project.

    Args:
        text: An unrendered text.
        macros: Macro files: path below `metadata` to text.
    """
    if not _JINJA.search(text):
        return False
    return bool(_IMPORT.search(text)) or not _macro_names(macros.values()).isdisjoint(find_variable_names(text))


def source_line(source: str, rendered: str, line: int | None) -> int | None:
    """Returns the line of the source for a line of its rendered text.

    Args:
        source: The text of the file.
        rendered: Its rendered text.
        line: 1-based line of `rendered`.

    Returns:
        A 1-based line of `source`: exact unless a template adds or removes lines, then the closest before it.
    """
    if line is None or source == rendered or source.count("\n") == rendered.count("\n"):
        return line
    import difflib

    before, after = source.splitlines(), rendered.splitlines()
    best = 1
    for block in difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks():
        if block.b < line <= block.b + block.size:
            return block.a + line - block.b
        if block.size and block.b + block.size < line:
            best = block.a + block.size
    return min(best + 1, max(len(before), 1))


class Renderer:
    """Renderer of the files of one project, whose macro files can be imported.

    Args:
        metadata: The directory that `{% import 'macros/m.j2' as m %}` starts from; None allows no import.
        macros: Macro files: path below `metadata` to text.
    """

    def __init__(self, metadata: Path | None = None, macros: Mapping[str, str] | None = None) -> None:
        self._metadata = metadata
        self._macros = dict(macros or {})

    @cached_property
    def environment(self) -> LimitedEnvironment:
        """The Jinja environment, created when first needed."""
        loaders: list[Any] = [DictLoader(self._macros)]
        if self._metadata is not None:
            loaders.append(
                FileSystemLoader([self._metadata, self._metadata / "macros", self._metadata / "expectations"])
            )
        return LimitedEnvironment(undefined=_Nothing, loader=ChoiceLoader(loaders), keep_trailing_newline=True)

    @cached_property
    def macro_names(self) -> frozenset[str]:
        """Names of the macros that the files define."""
        return _macro_names(self._macros.values())

    def check(self, text: str) -> None:
        """Checks the syntax of a template.

        Args:
            text: A template.

        Raises:
            RenderError: When it is not valid Jinja.
        """
        try:
            self.environment.parse(text)
        except TemplateSyntaxError as error:
            raise RenderError(f"Jinja: {error.message}", error.lineno) from None
        except (TemplateError, RecursionError) as error:
            raise RenderError(f"Jinja: {error}", None) from None

    def printed_free(self, text: str) -> frozenset[str]:
        """Returns the variables that a template prints without a default or a test, and does not set itself.

        Args:
            text: An unrendered text.
        """
        from jinja2 import meta

        if not _JINJA.search(text):
            return frozenset()
        try:
            free = meta.find_undeclared_variables(self.environment.parse(text))
        except (TemplateError, RecursionError):  # reported where it is rendered
            return frozenset()
        names = frozenset(match[2] for match in _PRINTED.finditer(text) if match[2])
        tested = frozenset(word for part in _TESTED.findall(text) for word in _WORD.findall(part))
        return (names & free) - tested - self.macro_names

    def render(self, text: str, variables: Mapping[str, str]) -> str:
        """Renders one text, like the function `render`, with the macros of the project."""
        if _JINJA.search(text):
            text = self._jinja(text, variables)
        return substitute(text, variables)

    def _jinja(self, text: str, variables: Mapping[str, str]) -> str:
        # Jinja reads `{{ a-b }}` as a difference: a variable of that very name goes first
        text = substitute(text, {name: value for name, value in variables.items() if not name.isidentifier()})
        try:
            with template_limits():
                return self._generated(text, variables)
        except TemplateSyntaxError as error:
            raise RenderError(f"Jinja: {error.message}", error.lineno) from None
        except _UnknownFunctionError as error:
            raise self._unknown_function(str(error), _template_line(error.__traceback__)) from None
        except Exception as error:  # a template may raise anything
            reason = str(error) or type(error).__name__
            raise RenderError(f"Jinja: {reason}", _template_line(error.__traceback__)) from None

    def _generated(self, text: str, variables: Mapping[str, Any]) -> str:
        parts, size = list[str](), 0
        for part in self.environment.from_string(text).generate(variables):
            parts.append(part)
            size += len(part)
            if size > MOST_CHARACTERS:
                raise LimitError(f"the text has more than {MOST_CHARACTERS:,} characters")
        return "".join(parts)

    def _unknown_function(self, name: str, line: int | None) -> RenderError:
        files = [path for path, text in self._macros.items() if name in _MACRO.findall(text)]
        if not files:
            close = closest_match(name, [*self.macro_names, *self.environment.globals])
            hint = f"Did you mean `{close}`?" if close else "Import the macro, or use a function of Jinja."
            return RenderError(f"Jinja: the function `{name}` does not exist", line, hint, "unknown-function")
        message = f"the macro `{name}` is called without an import"
        hint = f"Add {{% import '{files[-1]}' as m %}} at the top of the file, and call m.{name}(…)."
        return RenderError(message, line, hint, "bare-macro")


def _macro_names(texts: Iterable[str]) -> frozenset[str]:
    return frozenset(name for text in texts for name in _MACRO.findall(text))


def _template_line(trace: TracebackType | None) -> int | None:
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
