"""A Starlake project as a Dagster component."""
