"""The text of DAG files."""
