"""The commands of the starlake program, run by the embedded engine.

- `program`: the command line
- `grammar`: options of each command
- `stage`, `preload`, `load`, `transform`, `console`: one module per command
- `load_results`: results of a load so far
"""
