"""Starlake commands, their events and their results, without the code that runs commands.

- `model`: commands, events and results
- `build`: commands that load and transform
- `doctor_commands`: read-only commands, for `doctor`
- `loaded_project`: the parts of a project that a command needs
- `partitions`: the partition of a command
- `spark`: Spark properties from tags
- `redaction`: finds and redacts the secrets of a project in text
- `secret_encodings`: the forms in which a secret can appear in text
"""
