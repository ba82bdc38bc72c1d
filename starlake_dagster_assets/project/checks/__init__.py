"""Checks of tables, tasks, refs and expectations that need more than one file."""
