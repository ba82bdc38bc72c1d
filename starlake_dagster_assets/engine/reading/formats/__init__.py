"""One module a file format: each makes rows of raw cells out of a file."""

from __future__ import annotations

__all__: list[str] = []
