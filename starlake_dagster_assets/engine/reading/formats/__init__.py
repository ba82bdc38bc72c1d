"""Readers of file formats, one module per format; each turns a file into rows of raw cells."""

from __future__ import annotations

__all__: list[str] = []
