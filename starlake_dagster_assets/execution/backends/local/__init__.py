"""The Starlake program on this machine: one supervised process per command, or one warm JVM for several.

- `shell`: the runner of the program
- `shell_env`: environment variables of the program
- `program_launchers`, `dagster_shell_launcher`: ways to start a process
- `supervisor`: the process that stops the program
- `pipe_reader`: from bytes to lines
- `console_runner`: one warm JVM for several transforms
"""
