"""Asset specs: attributes and dependencies of assets before they are materialized.

- `translator`: `StarlakeTranslator`
- `translator_settings`: switches of the translator
- `names`: names that Dagster accepts
- `metadata`: metadata of an asset definition
- `partitions`, `partition_keys`, `mappings`: partitions, their keys, and partition mappings
- `freshness`, `retries`: freshness and retry policies
- `row_previews`: rows as Markdown
- `wording`: descriptions in words
- `dagster_free_translator`: the names of a translator without Dagster
"""
