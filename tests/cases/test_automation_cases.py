from __future__ import annotations

import re

import pytest

from tests.cases.cases import CASES, check_case, fixed_cases, pytestmark
from tests.docs.blocks import ROOT

__all__ = ["pytestmark"]

SENSORS = "automation/definitions/lineage_sensors"
ARRIVALS = "automation/file_arrivals/test_sensors.py"
TESTS = {
    "ack_of_yesterday": f"{ARRIVALS}::test_an_ack_of_a_neighbouring_date_is_answered_and_others_are_named",
    "ack_path_of_generated_dags": f"{ARRIVALS}::test_the_path_of_an_ack_names_the_date_as_generated_dags_do",
    "ack_two_schedules": f"{ARRIVALS}::test_an_ack_for_two_crons_is_deleted_when_both_have_answered_it",
    "arrival_partition_of_the_clock": "dagster_features/test_partitions.py::"
    "test_the_green_partitions_of_a_load_are_the_days_of_its_rows",
    "autumn_window_twice": f"{ARRIVALS}::test_a_cron_opens_one_window_in_the_night_in_which_the_clocks_go_back",
    "catchup_hole": "automation/definitions/schedules/test_schedules.py::"
    "test_catchup_asks_for_what_no_run_and_no_materialization_covers",
    "condition_and_sensor": "automation/definitions/test_build_definitions.py::"
    "test_a_task_with_a_condition_of_the_translator_has_no_sensor",
    "data_cycle_interval": "automation/policies/test_data_intervals.py::"
    "test_the_interval_is_the_union_of_what_is_declared",
    "dead_run_blocks_domain": f"{ARRIVALS}::test_a_run_that_does_not_end_is_named_with_its_age_and_what_to_do",
    "diamond_two_runs": f"{SENSORS}/test_both_kinds.py::test_a_diamond_is_made_once",
    "example_second_day": "system/test_second_day.py::test_the_second_day_reaches_every_table_by_the_sensors",
    "expression_over_foreign_assets": "automation/policies/test_build.py::"
    "test_an_expression_may_name_assets_of_other_code_locations_alone",
    "file_stuck_in_stage": f"{ARRIVALS}::test_files_on_another_station_of_a_load_are_named",
    "freshness_gates_trigger": "automation/policies/test_lineage_evaluation.py::"
    "test_freshness_is_a_gate_by_option_only",
    "lineage_interval": f"{SENSORS}/test_sensors.py::test_the_times_of_events_are_no_interval",
    "load_dependencies_with_project": "legacy/test_project.py::"
    "test_load_dependencies_puts_what_a_task_reads_into_its_job_whatever_its_own_schedule",
    "manual_run_repeated": f"{SENSORS}/test_both_kinds.py::test_what_a_person_materializes_is_not_made_again",
    "new_task_beside_others": "automation/definitions/test_build_definitions.py::"
    "test_a_task_that_is_added_is_made_alone",
    "partition_flood": f"{SENSORS}/test_both_kinds.py::test_all_of_a_history_by_option",
    "partition_lost_update": f"{SENSORS}/test_both_kinds.py::"
    "test_a_partition_that_is_updated_during_its_run_is_made_again",
    "partitioned_target_does_not_wait": f"{SENSORS}/test_both_kinds.py::"
    "test_a_partition_waits_for_a_run_of_its_other_upstream_only",
    "renamed_job_repeats": f"{SENSORS}/test_both_kinds.py::test_a_new_sensor_remembers_as_much_as_the_old_one",
    "settings_without_effect": "automation/policies/test_options.py::"
    "test_a_setting_without_sense_is_an_error_whatever_the_project_has",
    "slower_upstream_never_made": "automation/policies/test_build.py::"
    "test_a_monthly_table_does_not_hold_a_daily_task_unless_told_to",
    "window_failed_run": f"{ARRIVALS}::test_a_failed_run_does_not_use_up_its_window",
    "window_late_file": f"{ARRIVALS}::test_a_tick_of_a_schedule_opens_a_window_for_its_files",
    "window_second_file": f"{ARRIVALS}::test_a_tick_of_a_schedule_opens_a_window_for_its_files",
}
"""The test of this repository for the kind of fault that each case shows, also where the cases are not there."""


@pytest.mark.parametrize("case", fixed_cases("automation"))
def test_every_fact_of_the_case_is_right(case: str):
    check_case(case)


def test_each_case_has_a_test_of_its_own():
    assert sorted(TESTS) == sorted(one.name for one in (CASES / "automation").iterdir() if one.is_dir())
    for test in TESTS.values():
        file, _, name = test.partition("::")
        assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(), re.MULTILINE), test
