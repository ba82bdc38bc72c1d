"""A Jinja environment that limits loops, calls, sizes and the time of a template."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, cast

from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

__all__ = ["MOST_CHARACTERS", "LimitError", "LimitedEnvironment", "template_limits"]

MOST_CHARACTERS = 10_000_000
"""Maximum number of characters of a rendered text, and of each value in a template."""
_STEPS_PER_CALL = 10
"""Number of iterations that a call counts as."""
_CHARACTERS_PER_ITEM = 10
"""Number of characters that an item of a collection counts as."""
_MOST_STEPS = 500_000
"""Maximum number of iterations of a rendering."""
_MOST_SECONDS = 30.0
_MOST_BITS = 4096
"""Maximum size, in bits, of an integer that an operator returns."""
_MOST_WORK = 100_000_000
"""Maximum number of characters that a filter or a method writes, as estimated before the call."""
_VARIABLE_WIDTH = re.compile(r"%[^%A-Za-z]*\*|\{[^{}]*:[^{}]*\{")
_EXPANDING_FILTERS = (
    "batch",
    "center",
    "indent",
    "join",
    "replace",
    "slice",
    "tojson",
    "urlize",
    "wordwrap",
    "xmlattr",
)
_EXPANDING_METHODS = frozenset({"center", "expandtabs", "join", "ljust", "replace", "rjust", "translate", "zfill"})


class LimitError(Exception):
    """Error of a template that exceeds a limit."""


@dataclass
class _Budget:
    """Iterations and time that are left for one rendering."""

    steps: int = _MOST_STEPS
    deadline: float = field(default_factory=lambda: time.monotonic() + _MOST_SECONDS)

    def spend(self, steps: int = 1) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise LimitError(f"the template takes more than {_MOST_STEPS:,} iterations and calls")
        if time.monotonic() > self.deadline:
            raise LimitError(f"the template takes more than {_MOST_SECONDS:g} seconds")


_BUDGET: ContextVar[_Budget | None] = ContextVar("starlake_jinja_budget", default=None)


@contextmanager
def template_limits() -> Generator[None]:
    """Applies one limit of iterations and time to all templates that are rendered within the block."""
    if _BUDGET.get() is not None:
        yield
        return
    token = _BUDGET.set(_Budget())
    try:
        yield
    finally:
        _BUDGET.reset(token)


class LimitedEnvironment(SandboxedEnvironment):
    """A Jinja sandbox that limits the size of values and, within `template_limits`, loops, calls and time."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.globals.pop("lipsum", None)  # Starlake does not have it
        self.filters |= {name: _expanding(self.filters[name]) for name in _EXPANDING_FILTERS if name in self.filters}
        self.filters |= {"sl_counted": _counted, "sl_sized": _sized, "sl_format": _format}

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        for node in list(source.find_all(nodes.Node)):
            _limit(node)
        return super()._generate(source, *args, **kwargs)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Calls a function or macro of a template, within the limits."""
        _spend(_STEPS_PER_CALL)
        method: object = getattr(obj, "__wrapped__", obj)  # the sandbox wraps `format`
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(owner, str) and name in {"format", "format_map"}:
            _format(owner)
        elif isinstance(owner, str) and name in _EXPANDING_METHODS:
            _check_work(owner, [*args, *kwargs.values()])
        return _sized(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Evaluates a binary operator of a template, within the limits."""
        if operator == "%" and isinstance(left, str):
            _format(left)
        _check_operands(operator, left, right)
        return _sized(super().call_binop(context, operator, left, right))


def _limit(node: nodes.Node) -> None:
    """Adds the limits to the parts of a node, as filters."""
    if isinstance(node, nodes.For):
        node.iter = _filtered(node.iter, "sl_counted")
    elif isinstance(node, nodes.AssignBlock):
        node.filter = _filtered(node.filter, "sl_sized")
    elif isinstance(node, nodes.Filter) and node.name == "format":
        node.node = _filtered(node.node, "sl_format")
    for name in node.fields:
        part: object = getattr(node, name)
        if isinstance(part, _GROWING):
            setattr(node, name, _filtered(part, "sl_sized"))
        elif isinstance(part, list):
            parts = cast("list[object]", part)
            parts[:] = [_filtered(one, "sl_sized") if isinstance(one, _GROWING) else one for one in parts]


_GROWING = (nodes.Concat, nodes.List, nodes.Dict)
"""Expressions whose value contains the values of others, and grows when it is repeated."""


def _filtered(node: nodes.Node | None, name: str) -> Any:
    return nodes.Filter(cast("nodes.Expr | None", node), name, [], [], None, None, lineno=getattr(node, "lineno", 1))


def _spend(steps: int = 1) -> None:
    budget = _BUDGET.get()
    if budget is not None:
        budget.spend(steps)


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _spend()
        yield item


def _sized(value: Any) -> Any:
    """Returns the value, or raises an error if it is too large."""
    if _size(value) > MOST_CHARACTERS:
        raise LimitError(f"a value has more than {MOST_CHARACTERS:,} characters or items")
    return value


def _size(value: Any) -> int:
    total, rest = 0, [value]
    while rest and total <= MOST_CHARACTERS:
        one = rest.pop()
        total += _CHARACTERS_PER_ITEM
        if isinstance(one, str):
            total += len(one)
        elif isinstance(one, (list, tuple, set)):
            rest += cast("Iterable[Any]", one)
        elif isinstance(one, dict):
            for key, item in cast("Mapping[Any, Any]", one).items():
                rest += (key, item)
    return total


def _format(text: Any) -> Any:
    """Returns a format text, or raises an error if its widths are too large or are not numbers."""
    if isinstance(text, str):
        if _VARIABLE_WIDTH.search(text):
            raise LimitError("a format takes a width from a value: write the width as a number")
        _check_size(sum(int(width) for width in re.findall(r"\d{1,20}", text)))
    return text


def _expanding(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a filter so that it raises an error if its result would be too large."""
    implicit = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        value, *others = args[implicit:]
        _check_work(value, [*others, *kwargs.values()])
        return _sized(function(*args, **kwargs))

    return checked


def _check_work(value: Any, arguments: Iterable[Any]) -> None:
    sizes = [abs(one) if isinstance(one, int) else _size(one) for one in arguments]
    if _size(value) * max(sizes, default=1) > _MOST_WORK:
        raise LimitError(f"a value would have more than {MOST_CHARACTERS:,} characters")


def _check_operands(operator: str, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        bits = {"*": left.bit_length() + right.bit_length(), "**": left.bit_length() * max(right, 0)}
        if bits.get(operator, 0) > _MOST_BITS:
            raise LimitError(f"a number has more than {_MOST_BITS:,} bits")
    elif operator == "*":
        for sequence, times in ((left, right), (right, left)):
            if isinstance(sequence, (str, list, tuple)) and isinstance(times, int):
                _check_size(_size(sequence) * max(times, 0))
    elif operator == "+" and isinstance(left, (str, list, tuple)):
        _check_size(_size(left) + _size(right))


def _check_size(size: int) -> None:
    if size > MOST_CHARACTERS:
        raise LimitError(f"a value has more than {MOST_CHARACTERS:,} characters or items")
