"""Keys of `application.sl.yml`, including those that only the starlake program reads."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from starlake_dagster_assets.project.files.schema import Loader, RefFile, SinkFile
from starlake_dagster_assets.project.files.schema_values import Bool, FileModel, Int, Text, TextMap

__all__ = ["ApplicationFile"]


class ConnectionFile(FileModel):
    """Keys of `connections.<name>`."""

    type: Text
    loader: Loader | None = None
    spark_format: Text | None = None
    quote: Text | None = None
    separator: Text | None = None
    options: TextMap | None = None
    transpile_dialect: Text | None = Field(default=None, alias="_transpileDialect")


class AreaFile(FileModel):
    """Keys of `area`."""

    incoming: Text | None = None
    stage: Text | None = None
    unresolved: Text | None = None
    archive: Text | None = None
    ingesting: Text | None = None
    replay: Text | None = None
    hive_database: Text | None = None


class AuditFile(FileModel):
    """Keys of `audit`."""

    active: Bool | None = None
    domain: Text | None = None
    max_errors: Int | None = None
    detailed_load_audit: Bool | None = None
    sink: SinkFile | None = None
    database: Text | None = None
    path: Text | None = None
    sql: Text | None = None
    domain_rejected: Text | None = None
    domain_expectation: Text | None = None


class ExpectationsFile(FileModel):
    """Keys of `expectations`."""

    active: Bool | None = None
    fail_on_error: Bool | None = None
    path: Text | None = None


class DagRefFile(FileModel):
    """Keys of `dagRef`."""

    load: Text | None = None
    transform: Text | None = None


class LockFile(FileModel):
    """Keys of `lock`."""

    path: Text | None = None
    timeout: Int | None = None
    poll_time: Int | None = None
    refresh_time: Int | None = None


class SparkSchedulingFile(FileModel):
    """Keys of `sparkScheduling`."""

    max_jobs: Int | None = None
    pool_name: Text | None = None
    mode: Text | None = None
    file: Text | None = None


class AccessPoliciesFile(FileModel):
    """Keys of `accessPolicies`."""

    apply: Bool | None = None
    location: Text | None = None
    database: Text | None = None
    taxonomy: Text | None = None


class MetricsFile(FileModel):
    """Keys of `metrics`."""

    path: Text | None = None
    discrete_max_cardinality: Int | None = None
    active: Bool | None = None


class InternalFile(FileModel):
    """Keys of `internal`."""

    cache_storage_level: Text | None = None
    intermediate_bigquery_format: Text | None = None
    temporary_gcs_bucket: Text | None = None
    substitute_vars: Bool | None = None
    bq_audit_save_in_batch_mode: Bool | None = None


class PrivacyFile(FileModel):
    """Keys of `privacy`."""

    options: TextMap | None = None


class HttpFile(FileModel):
    """Keys of `http`."""

    interface: Text | None = None
    port: Int | None = None


class _Paths(FileModel):
    root: Text | None = None
    datasets: Text | None = None
    incoming: Text | None = None
    metadata: Text | None = None
    dags: Text | None = None
    types: Text | None = None
    macros: Text | None = None
    tests: Text | None = None
    write_strategies: Text | None = None
    load_strategies: Text | None = None
    python_libs_dir: Text | None = None
    tmpdir: Text | None = None


class _Unused(FileModel):
    """Keys that neither the graph nor the embedded engine needs."""

    metrics: MetricsFile | None = None
    lock: LockFile | None = None
    access_policies: AccessPoliciesFile | None = None
    spark_scheduling: SparkSchedulingFile | None = None
    internal: InternalFile | None = None
    http: HttpFile | None = None
    hadoop: TextMap | None = None
    dsv_options: TextMap | None = None
    jdbc_engines: dict[str, Any] | None = None
    kafka: dict[str, Any] | None = None
    spark: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None
    gizmosql: dict[str, Any] | None = None
    udfs: Text | None = None
    version: Text | None = None
    csv_output: Bool | None = None
    csv_output_ext: Text | None = None
    default_write_format: Text | None = None
    default_rejected_write_format: Text | None = None
    default_audit_write_format: Text | None = None
    privacy_only: Bool | None = None
    row_validator_class: Text | None = None
    tree_validator_class: Text | None = None
    sql_parameter_pattern: Text | None = None
    reject_max_records: Int | None = None
    max_par_copy: Int | None = None
    max_par_task: Int | None = None
    force_halt: Bool | None = None
    force_view_pattern: Text | None = None
    force_domain_pattern: Text | None = None
    force_table_pattern: Text | None = None
    force_job_pattern: Text | None = None
    force_task_pattern: Text | None = None
    use_local_file_system: Text | None = None
    session_duration_serve: Text | None = None
    archive_table: Bool | None = None
    archive_table_pattern: Text | None = None
    auto_export_schema: Bool | None = None
    sync_sql_with_yaml: Bool | None = None
    validate_on_load: Bool | None = None
    long_job_timeout_ms: Int | None = None
    short_job_timeout_ms: Int | None = None
    on_exception_retries: Int | None = None
    prune_partition_on_merge: Bool | None = None
    max_interactive_records: Int | None = None
    duckdb_mode: Bool | None = None
    duckdb_path: Text | None = None
    duckdb_extensions: Text | None = None
    duck_db_enable_external_access: Bool | None = None
    test_csv_null_string: Text | None = None
    hive_in_test: Text | None = None


class ApplicationFile(_Paths, _Unused):
    """Keys of `application`."""

    env: Text | None = None
    connections: dict[str, ConnectionFile] | None = None
    connection_ref: Text | None = None
    load_connection_ref: Text | None = None
    transform_connection_ref: Text | None = None
    loader: Loader | None = None
    database: Text | None = None
    tenant: Text | None = None
    area: AreaFile | None = None
    audit: AuditFile | None = None
    expectations: ExpectationsFile | None = None
    dag_ref: DagRefFile | None = None
    schedule_presets: TextMap | None = None
    refs: tuple[RefFile, ...] | None = None
    archive: Bool | None = None
    grouped: Bool | None = None
    grouped_max: Int | None = None
    load_strategy_class: Text | None = None
    reject_all_on_error: Bool | None = None
    reject_with_value: Bool | None = None
    sink_replay_to_file: Bool | None = None
    empty_is_null: Bool | None = None
    scd2_start_timestamp: Text | None = None
    scd2_end_timestamp: Text | None = None
    sync_yaml_with_db: Bool | None = None
    create_schema_if_not_exists: Bool | None = None
    job_id_env_name: Text | None = None
    timezone: Text | None = None
    privacy: PrivacyFile | None = None
