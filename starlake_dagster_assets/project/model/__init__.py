"""Frozen models of a project whose defaults, inheritance and variables are applied."""
