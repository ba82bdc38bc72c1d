"""Files that loads wait for: paths, directory scans, and which tables are due. Free of Dagster.

- `paths`: paths with variables and dates
- `directory_scan`: the files of tables in one listing
- `pre_load_check`: directory and files at one moment
- `arrival_evaluation`: which tables are due
- `state`, `tags`: hints that a sensor keeps, and that it passes to a run
- `guard`, `preload_command`: the check in a run, by a listing or by `starlake preload`
"""
