"""The project's own write strategies: `metadata/write-strategies/<engine>/<name>.j2`."""

from __future__ import annotations

from pathlib import Path

__all__ = ["STRATEGY_FOLDER", "template_names"]

STRATEGY_FOLDER = Path("metadata") / "write-strategies"
"""Directory of the templates, below the project: one directory per engine."""


def template_names(root: str | Path, engine: str = "*") -> list[str]:
    """Returns the names of the templates of an engine, in lower case; those of all engines by default."""
    return sorted({path.stem.lower() for path in (Path(root) / STRATEGY_FOLDER).glob(f"{engine}/*.j2")})
