"""What several commands take, spelled alike in all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Env", "Exclude", "Options", "ProjectDirectory", "Select", "variables"]

ProjectDirectory = Annotated[
    Path, typer.Argument(metavar="PROJECT", help="The directory that holds metadata/; this one by default.")
]
Env = Annotated[str | None, typer.Option("--env", help="The environment: env.<NAME>.sl.yml (SL_ENV).", metavar="NAME")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="NAME=VALUE", help="A variable that wins over the env files; may be repeated."),
]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        "-s",
        metavar="TERMS",
        help="domain:x, tag:x, kind:table|task|view|external|files, a name with * and ?, +name, name+, 2+name+1. "
        "Spaces unite, commas intersect; may be repeated.",
    ),
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="TERMS", help="Taken away, in the grammar of --select.")
]


def variables(texts: list[str] | None, option: str = "--option") -> dict[str, str]:
    """The pairs of an option that may be repeated.

    Args:
        texts: `NAME=VALUE` each.
        option: Its name, for the error.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{text!r}: expected NAME=VALUE.", param_hint=option)
        found[name] = value
    return found
