"""Starlake commands, their events and results. Nothing here runs them.

- `model`: commands, events and results
- `build`: commands that load and transform
- `doctor_commands`: read-only commands, for `doctor`
- `loaded_project`: the parts of a project that a command needs
- `partitions`: the partition of a command
- `spark`: Spark properties from tags
- `redaction`: secrets of a project in text, found and hidden
- `secret_encodings`: the forms in which a secret can appear in text
"""
