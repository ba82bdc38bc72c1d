"""Tools for the tests of your own project: a scripted runner, and a resource that uses it."""

from starlake_dagster_assets.commands.loaded_project import ProjectSource
from starlake_dagster_assets.execution.backends.fake import (
    FakeRunner,
    FakeWarehouseReader,
    FakeWitness,
    Script,
    loaded_lines,
)
from starlake_dagster_assets.execution.backends.protocol import Runner, StepAttempt
from starlake_dagster_assets.resources import StarlakeResource

__all__ = ["FakeRunner", "FakeWarehouseReader", "FakeWitness", "Script", "fake_starlake", "loaded_lines"]


def fake_starlake(runner: Runner | None = None) -> StarlakeResource:
    """Returns a resource that executes commands with a scripted runner.

    Args:
        runner: The runner; by default one for which every command succeeds.

    Returns:
        A resource for the key `starlake`.

    Examples:
        ::

            fake = FakeRunner({"load --domains sales": Script(loaded_lines("sales", "orders", accepted=3))})
            dg.materialize([sales], resources={"starlake": fake_starlake(fake)})
            assert fake.commands[-1].argv == ("transform", "--name", "kpi.revenue")
    """
    chosen: Runner = runner or FakeRunner()

    class Fake(StarlakeResource):
        """Resource that executes scripts. Dagster rebuilds resources for every run, so the class holds the runner."""

        def runner(self, project: ProjectSource, attempt: StepAttempt | None = None) -> Runner:
            """Returns the runner of the test."""
            return chosen

    return Fake()
