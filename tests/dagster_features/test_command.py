"""Single commands from ops, assets and bodies of steps."""

from dataclasses import replace

import dagster as dg
import pytest

import starlake_dagster_assets as sda
from starlake_dagster_assets.errors import CommandError, StarlakeError
from starlake_dagster_assets.testing import FakeRunner, Script, fake_starlake
from tests.dagster_features import projects

pytestmark = pytest.mark.dagster_feature("Commands from ops and assets")
SALES = {
    **projects.SALES,
    "metadata/transform/kpi/bad.sl.yml": projects.TASK,
    "metadata/transform/kpi/bad.sql": "select * from main.gone",
}
LOAD, BY_DAY = ["load", "--domains", "sales"], ["transform", "--name", "kpi.by_day"]
BAD = ["transform", "--name", "kpi.bad"]


@pytest.fixture
def project(tmp_path):
    return sda.StarlakeProject(projects.write(tmp_path / "sales", SALES))


def run_op(starlake, body, **more):
    @dg.op
    def refresh(context: dg.OpExecutionContext, starlake: sda.StarlakeResource):
        body(context, starlake)

    @dg.job(resource_defs={"starlake": starlake})
    def job():
        refresh()

    return job.execute_in_process(**more)


def test_an_op_runs_several_commands_of_the_embedded_engine(project):
    done = []

    def body(context, starlake):
        done.extend(starlake.command(args, context=context, project=project) for args in (["stage"], LOAD, BY_DAY))
        done.append(starlake.command(BAD, context=context, project=project.root, raise_on_error=False))
        with pytest.raises(dg.Failure, match=r"`starlake transform --name kpi.bad` failed .*gone"):
            starlake.command(BAD, context=context, project=project)

    assert run_op(sda.StarlakeDuckDB(), body).success
    assert [one.success for one in done] == [True, True, True, False]
    assert [one.exit_code == 0 for one in done] == [True, True, True, False]
    assert "gone" in done[-1].error
    assert done[2].argv == tuple(BY_DAY)
    assert [(row.job_id, row.success) for row in done[2].audit_rows] == [(done[2].job_id, True)]
    found = projects.rows(project.root / "datasets/duckdb.db", "select orders from kpi.by_day order by all")
    assert found == [(1,), (2,)]


def test_the_body_of_a_step_gives_the_project(project):
    fake = FakeRunner()

    @sda.starlake_assets(project=project, name="mine", select="kpi.by_day")
    def mine(context: dg.AssetExecutionContext, starlake: sda.StarlakeResource):
        assert starlake.command(["site"], context=context).argv == ("site",)
        yield from starlake.run(context)

    assert dg.materialize([mine], resources={"starlake": fake_starlake(fake)}).success
    assert [command.argv for command in fake.commands] == [("site",), tuple(BY_DAY)]


def test_secrets_cancellation_and_wrong_arguments(project, capfd):
    secret = Script(["ERROR cannot log in with hunter22"], 1)
    fake = FakeRunner({"bootstrap": secret, "serve": Script(["up"], error=KeyboardInterrupt())})
    fake.capabilities = replace(fake.capabilities, secrets=frozenset({"hunter22"}))
    starlake = fake_starlake(fake)
    failed = starlake.command(["bootstrap", "--password", "hunter22"], project=project, raise_on_error=False)
    assert failed.argv == ("bootstrap", "--password", "***")
    assert (failed.exit_code, failed.audit_rows) == (1, None)
    assert failed.lines == (failed.error,) == ("ERROR cannot log in with ***",)
    assert "hunter22" not in "".join(capfd.readouterr())
    with pytest.raises(KeyboardInterrupt):
        starlake.command(["serve"], project=project)
    assert fake.handles[-1].cancelled
    for args in ("transform --name kpi.by_day", [], ["load", 1]):
        with pytest.raises(CommandError, match="is not a list of texts"):
            starlake.command(args, project=project)
    with pytest.raises(StarlakeError, match="no project"):
        starlake.command(BY_DAY)


def test_a_command_between_the_results_of_a_step_has_the_warehouse(project):
    @sda.starlake_assets(project=project, name="mine", select=["sales.items", "sales.orders", "kpi.by_day"])
    def mine(context: dg.AssetExecutionContext, starlake: sda.StarlakeResource):
        starlake.command(["stage"], context=context)
        for event in starlake.run(context):
            starlake.command(BY_DAY, context=context, raise_on_error=False)
            yield event

    assert dg.materialize([mine], resources={"starlake": sda.StarlakeDuckDB()}).success
    assert projects.rows(project.root / "datasets/duckdb.db", "select count(*) > 0 from kpi.by_day") == [(True,)]
