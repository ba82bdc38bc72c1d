"""Execution environments of commands."""
