"""Combines the files of a project: domains, tables, tasks, types, schedules and refs.

- `tables`, `tasks`: domains with their tables and tasks
- `inheritance`: settings of domains and defaults
- `types_file`: types of attributes
- `schedules`, `durations`: crons and durations
- `ref_rules`: rules of `refs.sl.yml`
- `file_matching`, `ack_files`: the tables that files match, and names of ack files
- `java_regex`: Java regular expressions in Python
- `strategy_templates`: write strategies of the project
- `broken`: leaves out objects with errors
- `parsed_project`: types of this package
"""
