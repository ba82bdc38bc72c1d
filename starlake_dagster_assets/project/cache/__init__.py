"""Loaded projects on disk: a cache keyed by content, and one prepared file for images."""
