"""Combines the files of a project: domains, tables, tasks, types, schedules and refs."""
