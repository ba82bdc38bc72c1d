"""Name of a file that goes back to `stage` although a newer file has its name."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from starlake_dagster_assets.project.resolve.java_regex import compile_java

__all__ = ["returned_name"]


def returned_name(name: str, present: Collection[str], pattern: str, others: Sequence[str]) -> str | None:
    """Returns the name of a file that goes back to `stage`: its own, if it is free.

    Another name is matched by the pattern of its table and by no other one of the domain, and is first in
    alphabetical order if possible: the older file is loaded first.

    Args:
        name: Name of the file.
        present: Names in `stage`.
        pattern: Pattern of its table (`table.pattern`).
        others: Patterns of the other tables of the domain.

    Returns:
        None if the pattern leaves no other name.
    """
    if name not in present:
        return name
    ends = [number for number, char in enumerate(name) if char == "."]
    places = [*ends[:1], *ends[:0:-1], *([] if ends else [len(name)]), 0]
    found: list[str] = []
    for text in (f"{sign}{number}" for number in range(20) for sign in "-_."):
        for place in places:
            added = text if place else f"{text[1:]}{text[0]}"
            new = name[:place] + added + name[place:]
            if compile_java(pattern).fullmatch(new) and not any(compile_java(one).fullmatch(new) for one in others):
                found += [new] if new not in present else []
    return next((new for new in found if new < name), found[0] if found else None)
