"""Asset specs: attributes and dependencies of assets before they are materialized.

- `translator`: `StarlakeTranslator`
- `translator_settings`: `StarlakeTranslatorSettings`
- `names`: names that Dagster accepts
- `metadata`: metadata of an asset definition
- `partitions`, `partition_keys`, `mappings`: partitions, their keys, and partition mappings
- `freshness`, `retries`: freshness and retry policies
- `row_previews`: rows as Markdown tables
- `wording`: write strategies, schedules and expectations in words
- `dagster_free_translator`: keys, groups and dependencies of assets, for exports that do not use Dagster
"""
