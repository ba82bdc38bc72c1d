"""Registrations of the execution environments of this package."""

from __future__ import annotations

from starlake_dagster_assets.environments import ExecutionEnvironment

__all__ = ["BUILT_IN"]

_GOOGLE_OPTIONS = ("sl_env_var", "gcp_conn_id", "google_cloud_conn_id", "impersonation_chain", "deferrable")

BUILT_IN = (
    ExecutionEnvironment(
        "duckdb",
        "starlake_dagster_assets.resources.duckdb:StarlakeDuckDB",
        "the embedded engine, in this process: no JVM ([embedded engine](embedded-engine.md))",
        requires="duckdb",
        install="starlake-dagster-assets[duckdb]",
        runs_program=False,
    ),
    ExecutionEnvironment(
        "shell",
        "starlake_dagster_assets.resources.shell:StarlakeShell",
        "the `starlake` program on this machine ([shell](shell.md))",
        requires="dagster-shell",
        install="starlake-dagster-assets[shell]",
        options=("sl_env_var", "sl_include_env_vars", "SL_STARLAKE_PATH"),
        airflow="starlake_dagster_assets.airflow.operators.shell:Shell",
        doctor="starlake_dagster_assets.doctor.project:examine_program",
        settings="starlake_dagster_assets.execution.spark_settings:find_invalid_settings",
    ),
    ExecutionEnvironment(
        "dataproc",
        "starlake_dagster_assets.resources.dataproc:StarlakeDataproc",
        "Spark jobs and batches ([Dataproc](dataproc.md))",
        requires="google-cloud-dataproc",
        install="starlake-dagster-assets[dataproc]",
        options=(
            *_GOOGLE_OPTIONS,
            *("cluster_id", "cluster_config_name", "spark_config_name", "spark_bucket", "spark_jar_list"),
            *("spark_job_main_class", "spark_executor_cores", "spark_executor_instances", "spark_executor_memory"),
            *("dataproc_project_id", "dataproc_region", "dataproc_name", "dataproc_image_version", "dataproc_subnet"),
            *("dataproc_idle_delete_ttl", "dataproc_service_account", "dataproc_cluster_metadata"),
            *("dataproc_num_workers", "dataproc_job_wait_timeout", "dataproc_master_disk_size"),
            *("dataproc_master_disk_type", "dataproc_master_machine_type", "dataproc_worker_disk_size"),
            *("dataproc_worker_disk_type", "dataproc_worker_machine_type"),
        ),
        store="gs",
        airflow="starlake_dagster_assets.airflow.operators.dataproc:Dataproc",
        doctor="starlake_dagster_assets.doctor.environment:examine_dataproc",
        settings="starlake_dagster_assets.execution.backends.remote.dataproc_settings:find_invalid_settings",
    ),
    ExecutionEnvironment(
        "cloud_run",
        "starlake_dagster_assets.resources.cloud_run:StarlakeCloudRun",
        "executions of a Cloud Run job ([Cloud Run](cloud-run.md))",
        requires="google-cloud-run",
        install="starlake-dagster-assets[cloud-run]",
        options=(
            *_GOOGLE_OPTIONS,
            *("cloud_run_project_id", "cloud_run_job_name", "cloud_run_region", "cloud_run_job_region", "use_gcloud"),
            *("cloud_run_service_account", "cloud_run_async", "cloud_run_async_poke_interval"),
        ),
        store="gs",
        airflow="starlake_dagster_assets.airflow.operators.cloud_run:CloudRun",
        doctor="starlake_dagster_assets.doctor.environment:examine_cloud_run",
    ),
    ExecutionEnvironment(
        "fargate",
        "starlake_dagster_assets.resources.fargate:StarlakeFargate",
        "ECS tasks ([Fargate](fargate.md))",
        requires="boto3",
        install="starlake-dagster-assets[fargate]",
        options=(
            *("sl_env_var", "aws_conn_id", "aws_profile", "aws_region", "aws_cluster_name", "aws_task_definition_name"),
            *("aws_task_definition_container_name", "aws_task_private_subnets", "aws_task_security_groups"),
            *("cpu", "memory", "fargate_async", "fargate_async_poke_interval", "deferrable"),
            *("awslogs_group", "awslogs_stream_prefix", "awslogs_region"),
        ),
        store="s3",
        airflow="starlake_dagster_assets.airflow.operators.fargate:Fargate",
        doctor="starlake_dagster_assets.doctor.environment:examine_fargate",
    ),
    ExecutionEnvironment(
        "kubernetes",
        "starlake_dagster_assets.resources.kubernetes:StarlakeKubernetes",
        "Kubernetes Jobs ([Kubernetes](kubernetes.md))",
        requires="dagster-k8s",
        install="starlake-dagster-assets[kubernetes]",
        options=(
            *("sl_env_var", "kubernetes_image", "kubernetes_namespace", "kubernetes_service_account_name"),
            *("kubernetes_env_secrets", "kubernetes_cpu", "kubernetes_memory", "kubernetes_conn_id", "deferrable"),
        ),
        airflow="starlake_dagster_assets.airflow.operators.kubernetes:Kubernetes",
        doctor="starlake_dagster_assets.doctor.kubernetes:examine_kubernetes",
        settings="starlake_dagster_assets.execution.backends.remote.kubernetes_settings:find_invalid_settings",
    ),
)
