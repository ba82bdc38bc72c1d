"""The renaming rules of `refs.sl.yml` applied to names that SQL spells (format reference 3.4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from starlake_dagster_assets.project.java_regex import compile_java
from starlake_dagster_assets.project.model import RefRule

__all__ = ["ref_renamer"]

_Parts = tuple[str, ...]


def ref_renamer(rules: Sequence[RefRule]) -> Callable[[_Parts], _Parts]:
    """Compiles rules to a function on the parts of a name.

    Args:
        rules: `application.refs`. A rule whose regular expression is not valid matches nothing.

    Returns:
        A function that takes the parts as spelled and returns those in force: the output of the first rule that
        declares exactly as many parts and matches each in full, or the same parts.
    """
    compiled = [(patterns, rule) for rule in rules if (patterns := _patterns(rule))]

    def rename(parts: _Parts) -> _Parts:
        for patterns, rule in compiled:
            if len(patterns) == len(parts) and all(p.fullmatch(part) for p, part in zip(patterns, parts, strict=True)):
                return _output(rule, parts)
        return parts

    return rename


def _patterns(rule: RefRule) -> tuple[re.Pattern[str], ...]:
    if rule.input.database is not None and rule.input.domain is None:
        return ()
    texts = [text for text in (rule.input.database, rule.input.domain, rule.input.table) if text is not None]
    try:
        return tuple(compile_java(text) for text in texts)
    except ValueError:
        return ()


def _output(rule: RefRule, parts: _Parts) -> _Parts:
    database, domain, table = ("", "", *parts)[-3:]
    renamed = (
        rule.output.database.replace("SL_THIS_DATABASE", database),
        rule.output.domain.replace("SL_THIS_DOMAIN", domain),
        rule.output.table.replace("SL_THIS_TABLE", table),
    )
    return tuple(part for part in renamed if part)
