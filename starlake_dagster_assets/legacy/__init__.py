"""DAG files that `starlake dag-generate` wrote, read as text: what they say, and a project made of it."""
