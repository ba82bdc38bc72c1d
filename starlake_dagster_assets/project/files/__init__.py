"""The files of a project: found, rendered, parsed, migrated and validated one at a time.

- `discovery`: the files of a project
- `parsing`: one file: rendered, migrated, validated
- `environment`: variables
- `rendering`, `jinja_limits`: templates, and their limits
- `yaml_io`: YAML with line numbers
- `migration`: files of older versions
- `key_validation`, `validation`: validation of keys, and its messages
- `schema`, `application_keys`, `schema_values`: keys and types of values
- `application`: `application.sl.yml` with settings and defaults
"""
