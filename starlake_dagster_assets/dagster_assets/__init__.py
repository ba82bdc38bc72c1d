"""The asset graph of a project as Dagster assets: specs, steps and results.

- `decorator`: `@starlake_assets` and `build_starlake_assets`
- `build_options`: `StarlakeMetadata` and `StarlakeSteps`
- `selection`: asset selections by names of the project
- `step_binding`: the project and nodes of a running step
- `direct_invocation`: calls of a step as a function
- `resource_assignment`: the resource of each node
- `dagster_runs`: runs of a Dagster instance
"""
