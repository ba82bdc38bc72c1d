"""Files of a project: found, rendered, parsed, migrated and validated, each by itself."""
