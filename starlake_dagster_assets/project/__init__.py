"""Starlake projects as frozen models: files, rendering, validation, references, manifest."""
