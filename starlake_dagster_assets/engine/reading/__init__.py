"""Reads files into accepted and rejected rows.

- `read`: from files to accepted and rejected rows
- `single_pass`: rows that are written while they are read
- `archives`: compressed files
- `evaluated_rows`: records with their values and reasons
- `attribute_sql`: attributes as SQL
- `scalars`, `java_dates`, `type_patterns`, `trimming`: values of the types
- `computed`, `privacy`: computed columns, and privacy keys
- `column_types`: column types
- `accepted_rows`: the result of a reading
- `scratch`, `workspace`: temporary tables and directories
"""
