"""Checks of tables, tasks, refs and expectations that need more than one file.

- `tables`, `tasks`: checks of tables, domains and tasks
- `expectations`: checks of expectations
- `refs`: checks of `refs.sl.yml`
"""
