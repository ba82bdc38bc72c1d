"""Inputs that failed once: each script of `../shared/cases` prints facts, and ends with 1 while one is wrong."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT

CASES = ROOT.parent / "shared" / "cases"
FIXED = (
    "airflow/continuous_unmatched_file",
    "airflow/continuous_without_sensor",
    "airflow/default_pool_shrunk",
    "airflow/ids_are_not_those_of_starlake_airflow",
    "airflow/log_level_hides_the_load",
    "airflow/non_latin_names_refused",
    "airflow/partial_evidence_is_green",
    "airflow/second_project_deletes_first",
    "airflow/secret_in_url_exported",
    "airflow/too_many_dags",
    "airflow/two_pools_for_one_database",
    "automation/ack_of_yesterday",
    "automation/ack_path_of_generated_dags",
    "automation/ack_two_schedules",
    "automation/arrival_partition_of_the_clock",
    "automation/autumn_window_twice",
    "automation/catchup_hole",
    "automation/condition_and_sensor",
    "automation/data_cycle_interval",
    "automation/dead_run_blocks_domain",
    "automation/diamond_two_runs",
    "automation/expression_over_foreign_assets",
    "automation/file_stuck_in_stage",
    "automation/freshness_gates_trigger",
    "automation/lineage_interval",
    "automation/load_dependencies_with_project",
    "automation/manual_run_repeated",
    "automation/new_task_beside_others",
    "automation/partition_flood",
    "automation/partition_lost_update",
    "automation/partitioned_target_does_not_wait",
    "automation/renamed_job_repeats",
    "automation/settings_without_effect",
    "automation/slower_upstream_never_made",
    "automation/window_failed_run",
    "automation/window_late_file",
    "automation/window_second_file",
    "dagster/env_var_in_resource",
    "dagster/forgotten_yield_is_green",
    "dagster/key_prefix_runs_nothing",
    "dagster/load_partition_of_other_days",
    # not dagster/overwrite_partitions_wipe: its script asks for a partition of an asset that is left unpartitioned now,
    # which its page names as right; see tests/dagster_features/test_partitions.py
    "dagster/own_asset_for_external_key",
    "dagster/partition_key_never_used",
    "dagster/path_instead_of_project",
    "dagster/reexecution_repeats_successes",
    "dagster/silent_wait_per_domain",
    "engine/ambiguous_file_stops_other_domains",
    "engine/archive_not_writable_stops_all",
    "engine/archive_same_name",
    "engine/file_grows_during_load",
    "engine/long_name_stops_all",
    "engine/max_errors_undocumented",
    "engine/secret_in_error_of_embedded",
    "engine/symlink_in_incoming",
    "engine/file_name_with_line_break",
    "engine/byte_letters",
    "engine/cr_in_first_record",
    "engine/impossible_dates_moved",
    "engine/long_multiline_crlf",
    "engine/offset_of_date_dropped",
    "engine/position_with_header",
    "engine/blocking_expectation_commits",
    "engine/column_lineage_of_stars",
    "engine/expectation_count_and_samples",
    "engine/expectation_error_text",
    "engine/presql_on_first_run",
    "engine/privacy_lost_after_two_hops",
    "engine/second_statement_dropped",
    "engine/self_reading_first_run",
    "engine/transpiled_with_other_meaning",
    "projects/check_misses_sql_errors",
    "projects/cron_of_six_fields",
    "projects/legacy_strategy_overridden",
    "projects/two_tasks_one_table",
    "projects/unknown_environment",
    "projects/unset_variable_message",
    "projects/vendor_options_unknown",
)

pytestmark = [
    pytest.mark.newest_only,  # the kinds of fault have tests of their own, which run on the oldest Dagster too
    pytest.mark.skipif(
        not CASES.is_dir(), reason=f"{CASES} is not there: it lies beside the repository of the authors"
    ),
]


def fixed_cases(directory: str) -> list[str]:
    """Returns the fixed cases of a directory; each directory has a test file of its own, for the workers of xdist."""
    return [case for case in FIXED if case.startswith(f"{directory}/")]


def check_case(case: str) -> None:
    """Runs the script of a case.

    Raises:
        AssertionError: When one of its facts is wrong.
    """
    script = CASES / case / "run.py"
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=script.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
