"""The audit is read at most a tenth of the time while a load runs."""

from starlake_dagster_assets.execution.audit_read_limit import ReadBudget


def test_a_slow_read_delays_the_next_one():
    now = [0.0]
    budget = ReadBudget(lambda: now[0])
    assert budget.allows
    with budget.spent():
        now[0] = 2.0
    assert not budget.allows
    now[0] = 19.9
    assert not budget.allows
    now[0] = 20.0
    assert budget.allows
    with budget.spent():
        now[0] = 20.04
    assert budget.allows, "a quick read delays nothing"
