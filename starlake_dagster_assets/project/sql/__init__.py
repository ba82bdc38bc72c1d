"""SQL of tasks: sections, tables that it reads, columns and column lineage."""
