"""One JVM for many transforms: what is said to it, what it answers, and what is done without it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from starlake_dagster_assets.commands.model import Command, CommandFailed, CommandSucceeded
from starlake_dagster_assets.conformance.stand_in_program import is_alive
from starlake_dagster_assets.execution.backends.local.console_runner import ConsoleRunner, supported_by_console
from starlake_dagster_assets.execution.backends.local.shell import ShellRunner
from starlake_dagster_assets.execution.backends.protocol import job_id_of
from starlake_dagster_assets.execution.parse import parse
from tests.fakes.script import Scripted

TRANSCRIPT = Path(__file__).parents[3] / "transcripts" / "console-mixed"


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    return Scripted(tmp_path / "scripted").tasks(
        {
            "kpi.bad": {"do": "fail"},
            "kpi.lost": {"do": "unknown"},
            "kpi.dead": {"do": "crash"},
            "kpi.slow": {"do": "hang"},
        }
    )


def console(scripted: Scripted, *, exclusive: bool = True, **settings: Any) -> ConsoleRunner:
    environ = {**os.environ, **scripted.environ, "SL_LOG_LEVEL": "info"}
    return ConsoleRunner(
        ShellRunner(str(scripted.path), scripted.work, environ, **{"grace": 1.0, **settings}), exclusive=exclusive
    )


def transform(name: str, *more: str, **settings: Any) -> Command:
    return Command("transform", ("--name", name, *more), job_id=f"job-{name}", **settings)


def ran(runner: Any, command: Command) -> tuple[Any, str]:
    """The last event of a command, and the job id of its audit rows."""
    handle = runner.start(command)
    lines = [line.text for line in handle.lines()]
    return list(parse(lines, handle.wait().exit_code))[-1], job_id_of(handle, command)


def test_twenty_transforms_are_one_process(scripted: Scripted) -> None:
    runner = console(scripted)
    endings = [ran(runner, transform(f"kpi.t{number}")) for number in range(20)]
    assert endings == [(CommandSucceeded(), "job-kpi.t0")] * 20
    (call,) = scripted.calls()
    assert call.argv == ("console",)
    assert [words[-1] for words in call.console] == [f"kpi.t{number}" for number in range(20)]
    assert is_alive(call.pid) and runner.is_locking_warehouse
    runner.close()
    runner.close()
    assert not is_alive(call.pid) and not runner.is_locking_warehouse
    assert scripted.calls()[0].code == 0


def test_a_failure_does_not_end_it(scripted: Scripted) -> None:
    runner = console(scripted)
    bad, lost, good = [ran(runner, transform(name))[0] for name in ("kpi.bad", "kpi.lost", "kpi.good")]
    runner.close()
    assert bad == CommandFailed('java.sql.SQLException: Binder Error: Referenced column "nosuchcol" not found', 1)
    assert isinstance(lost, CommandFailed) and "no answer" in lost.error
    assert good == CommandSucceeded()
    assert len(scripted.calls()) == 1


def test_it_is_restarted_once(scripted: Scripted) -> None:
    runner = console(scripted)
    names = ("kpi.a", "kpi.dead", "kpi.b", "kpi.dead", "kpi.c")
    endings = [ran(runner, transform(name)) for name in names]
    runner.close()
    assert [isinstance(ending, CommandSucceeded) for ending, _ in endings] == [True, False, True, False, True]
    assert "ended in the middle of the command" in endings[1][0].error
    assert [call.argv[0] for call in scripted.calls()] == ["console", "console", "transform"]
    assert [job for _, job in endings] == ["job-kpi.a", "job-kpi.a", "job-kpi.b", "job-kpi.b", "job-kpi.c"]


def test_a_version_without_console(scripted: Scripted) -> None:
    scripted.tell(console=False)
    runner = console(scripted)
    endings = [ran(runner, transform(name)) for name in ("kpi.a", "kpi.bad", "kpi.b")]
    runner.close()
    assert [type(ending) for ending, _ in endings] == [CommandSucceeded, CommandFailed, CommandSucceeded]
    assert [job for _, job in endings] == ["job-kpi.a", "job-kpi.bad", "job-kpi.b"]
    assert [call.argv[0] for call in scripted.calls()] == ["console", "transform", "transform", "transform"]


def test_it_may_die_between_two_commands(scripted: Scripted) -> None:
    runner = console(scripted)
    ran(runner, transform("kpi.a"))
    os.kill(scripted.calls()[0].pid, 9)
    assert ran(runner, transform("kpi.b"))[0] == CommandSucceeded()
    runner.close()
    assert [call.console[-1][-1] for call in scripted.calls("console")] == ["kpi.a", "kpi.b"]


@pytest.mark.parametrize(
    "command",
    [
        Command("load", ("--domains", "sales", "--tables", "orders")),
        Command("stage", ("--domains", "sales")),
        transform("kpi.x", "--options", "a=b"),
        transform("kpi.a b"),
        transform("kpi.é"),
        transform("kpi.x?"),
        transform("kpi.x", env={"SL_LOADER": "spark"}),
        transform("kpi.x", ""),
        transform("kpi.x\texit"),
    ],
    ids=lambda command: " ".join(command.argv),
)
def test_what_cannot_be_said_there(command: Command) -> None:
    assert not supported_by_console(command)


def test_what_can_be_said_there() -> None:
    assert supported_by_console(
        transform("kpi.x", "--scheduledDate", "2024-03-01T10:00:00+0000", env={"SL_JOB_ID": "j"})
    )


def test_a_process_gets_the_warehouse_for_itself(scripted: Scripted) -> None:
    runner = console(scripted)
    ran(runner, transform("kpi.a"))
    pid = scripted.calls()[0].pid
    assert ran(runner, transform("kpi.b", "--options", "day=1")) == (CommandSucceeded(), "job-kpi.b")
    assert not is_alive(pid) and not runner.is_locking_warehouse


def test_a_warehouse_that_is_shared_is_not_held(scripted: Scripted) -> None:
    runner = console(scripted, exclusive=False)
    ran(runner, transform("kpi.a"))
    assert not runner.is_locking_warehouse
    ran(runner, transform("kpi.b", "--options", "day=1"))
    ran(runner, transform("kpi.c"))
    runner.close()
    assert [call.argv[0] for call in scripted.calls()] == ["console", "transform"]


def test_the_project_own_variables_need_processes(scripted: Scripted) -> None:
    runner = console(scripted, options={"a": "b"})
    ran(runner, transform("kpi.a"))
    assert [call.argv[0] for call in scripted.calls()] == ["transform"]


def test_cancelling_a_command_ends_it(scripted: Scripted) -> None:
    runner = console(scripted)
    handle = runner.start(transform("kpi.slow"))
    for line in handle.lines():
        if "Transforming" in line.text:
            break
    handle.cancel()
    assert handle.wait().cancelled
    assert not is_alive(scripted.calls()[0].pid)


def test_a_timeout_ends_it(scripted: Scripted) -> None:
    runner = console(scripted, timeout=0.5)
    ending, _ = ran(runner, transform("kpi.slow"))
    assert isinstance(ending, CommandFailed) and "0.5 seconds" in ending.error
    assert not is_alive(scripted.calls()[0].pid)
    assert ran(runner, transform("kpi.a"))[0] == CommandSucceeded()
    runner.close()


def test_what_the_real_one_printed(tmp_path: Path) -> None:
    """Each command is answered with what the transcript holds for it."""
    answers = TRANSCRIPT.joinpath("stdout").read_text().split("\n> ")
    shown = {text.splitlines()[0].removeprefix("> "): "\n".join(text.splitlines()[1:]) for text in answers}
    replay = tmp_path / "starlake"
    replay.write_text(
        f"#!{sys.executable} -IS\nimport json, sys\nshown = json.loads({json.dumps(shown)!r})\n"
        "for line in sys.stdin:\n"
        "    print('> ' + line.strip(), flush=True)\n"
        "    if line.strip() == 'exit': break\n"
        "    print(shown[line.strip()], flush=True)\n"
    )
    replay.chmod(0o755)
    runner = ConsoleRunner(ShellRunner(str(replay), tmp_path, grace=1.0), exclusive=True)
    commands = [line for line in TRANSCRIPT.joinpath("stdin").read_text().splitlines() if line.startswith("transform")]
    found = {line.split()[-1]: ran(runner, transform(line.split()[-1]))[0] for line in commands}
    runner.close()
    assert {name: type(ending) for name, ending in found.items()} == {
        "starbake_analytics.order_items_analysis": CommandSucceeded,
        "bad.nocolumn": CommandFailed,
        "bad.nosuch": CommandFailed,
        "starbake_analytics.customer_purchase_history": CommandSucceeded,
    }
    assert "nosuchcol" in found["bad.nocolumn"].error and "\tat " not in found["bad.nocolumn"].error
