"""Execution environments, which run the commands.

- `protocol`: the interface of every execution environment
- `extras`: optional packages
- `load_areas`: files of loads of the Starlake program
- `fake`: a scripted runner for tests
"""
