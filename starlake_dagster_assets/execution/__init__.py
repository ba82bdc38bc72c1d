"""Starlake commands and what their output says."""
