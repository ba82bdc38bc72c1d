"""Runs tables and tasks in order and tells what became of each: free of Dagster, shared by steps and command line."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from starlake_dagster_assets.command import build
from starlake_dagster_assets.command.checks import NamedExpectation, named_expectations
from starlake_dagster_assets.command.evaluation import ExpectationResults, blocking_failures
from starlake_dagster_assets.command.model import Command, TableLoaded
from starlake_dagster_assets.command.outcome import Held, Outcome, RunSettings, Settled
from starlake_dagster_assets.command.process import Desk
from starlake_dagster_assets.command.reconcile import (
    Ending,
    Expected,
    Verdict,
    doubted,
    reconcile_load,
    reconcile_transform,
)
from starlake_dagster_assets.command.source import ProjectSource
from starlake_dagster_assets.command.watching import Watch, staging_failures, taken
from starlake_dagster_assets.errors import CommandError, UnreachableError
from starlake_dagster_assets.graph.model import Graph, Node
from starlake_dagster_assets.graph.plan import argv_chunks, topological
from starlake_dagster_assets.project.model import Table, Task
from starlake_dagster_assets.runners.protocol import Runner

__all__ = ["execute", "ordered"]

_Outcomes = Iterator[Outcome | Settled]


def execute(
    source: ProjectSource, selection: Collection[str], runner: Runner, settings: RunSettings
) -> Generator[Outcome | Settled, None, None]:
    """Loads and transforms what is selected; a failure is told, and the others go on.

    Args:
        source: The project.
        selection: Node ids; external ones are left out.
        runner: Where commands run.
        settings: How.

    Yields:
        One outcome for each selected table and task, as it becomes known; `Settled` after an outcome told early.
        An outcome `failed` can follow `materialized` when the audit contradicts the log.

    Raises:
        SelectionError: When the selected tasks depend on each other in a circle.
    """
    run = _Run(source, runner, settings)
    domains, tasks = ordered(source.graph, selection)
    read = {up for task in tasks for up in source.graph.upstream[task.id]}
    try:
        for nodes in domains:
            yield from run.load(nodes)
        for node in tasks:
            yield from run.transform(node, read=node.id in read)
        yield from run.settle()
        run.warn()
    except UnreachableError:  # what runs there still needs what the runner holds
        raise
    except BaseException:
        run.close()
        raise
    run.close()


def ordered(graph: Graph, selection: Collection[str]) -> tuple[tuple[tuple[Node, ...], ...], tuple[Node, ...]]:
    """The order of a run.

    Args:
        graph: The project's graph.
        selection: Node ids.

    Returns:
        The tables by domain directory, then the tasks, each after those that it reads.

    Raises:
        SelectionError: When the tasks depend on each other in a circle.
    """
    wanted = set(selection)
    domains: dict[str, list[Node]] = {}
    tasks: list[Node] = []
    for name in topological(graph, wanted):
        node = graph.nodes[name]
        if name not in wanted:
            continue
        if node.kind == "task":
            tasks.append(node)
        elif node.table is not None:
            domains.setdefault(node.table.domain, []).append(node)
    return tuple(tuple(group) for group in domains.values()), tuple(tasks)


@dataclass(frozen=True)
class _Ran:
    """A command as typed, the job id of its audit rows, how long it took for one node, and its exit code."""

    command: str
    job_id: str
    seconds: float
    exit_code: int | None


@dataclass(frozen=True)
class _Unsettled:
    """A task that was made while its runner kept the warehouse to itself; `told` where its outcome is out already."""

    node: Node
    task: Task
    ending: Ending
    ran: _Ran
    told: bool


class _Run:
    """The state of one run: which nodes are lost to those that read them."""

    def __init__(self, source: ProjectSource, runner: Runner, settings: RunSettings) -> None:
        self._source = source
        self._settings = settings
        self._desk = Desk(runner, settings)
        self._argv_bytes = min(build.ARGV_BYTES, getattr(runner, "argv_bytes", None) or build.ARGV_BYTES)
        self._lost: dict[str, str] = {}
        self._unsettled: list[_Unsettled] = []
        self._expectations = ExpectationResults(self._desk, source.model.application)
        self._count = 0

    # ------------------------------------------------------------------------------------------------- loads

    def load(self, nodes: Sequence[Node]) -> _Outcomes:
        """One `stage` and one `load` for the tables of a domain (more where the names fill an argument)."""
        held = self._settings.not_ready(nodes)
        yield from self._noted(self._held(node, held[node.id]) for node in nodes if node.id in held)
        alike: dict[tuple[tuple[str, str], ...], dict[str, Node]] = {}
        for node in nodes:
            if node.id not in held:
                spark = tuple(sorted(self._settings.spark(node).items()))
                alike.setdefault(spark, {})[_table(node).stem] = node
        for by_stem in alike.values():
            for stems in argv_chunks(by_stem, self._argv_bytes):
                yield from self._noted(self._load({stem: by_stem[stem] for stem in stems}))

    def close(self) -> None:
        """Gives up what the runner holds between commands."""
        self._desk.close()

    def warn(self) -> None:
        """Warns once of what is unknown of the run."""
        self._expectations.warn()

    def _held(self, node: Node, held: Held) -> Outcome:
        if held.failed:
            return Outcome(node, "failed", self._desk.redact(held.reason))
        outcome = Outcome(node, "nothing", self._desk.redact(held.reason))
        return self._standing(outcome, named_expectations(node, self._source.model.application))

    def _load(self, nodes: dict[str, Node]) -> _Outcomes:
        failed: dict[str, Outcome] = {}
        nodes = yield from self._resumed(nodes, failed)
        for item in self._submitted(nodes) if nodes else ():
            if isinstance(item, Outcome) and item.status == "nothing" and item.node.id in failed:
                yield failed[item.node.id]  # its files were taken by the load before
            else:
                yield item

    def _resumed(
        self, nodes: dict[str, Node], failed: dict[str, Outcome]
    ) -> Generator[Outcome | Settled, None, dict[str, Node]]:
        """Follows the loads that earlier attempts of the step left.

        Args:
            nodes: The tables that are wanted, by file stem.
            failed: Takes the results of tables that failed there, by node id.

        Returns:
            The tables that are still to be loaded, by file stem: those of no such load, and those that failed there.
        """
        left = dict(nodes)
        for command in self._desk.unfinished("load"):
            domain, stems = build.loaded_tables(command)
            mine = {stem: left[stem] for stem in stems if stem in left and _table(left[stem]).domain == domain}
            for item in self._stream(command, list(mine.values()), {}) if mine else ():
                node = item.node if isinstance(item, Outcome) else item.outcome.node
                if isinstance(item, Outcome) and item.status == "failed":
                    failed[item.node.id] = item
                    continue
                left = {stem: one for stem, one in left.items() if one.id != node.id}
                yield item
        return left

    def _submitted(self, nodes: dict[str, Node]) -> _Outcomes:
        domain = _table(next(iter(nodes.values()))).domain
        secrets = self._settings.secrets
        try:
            staging = build.stage(domain, list(nodes), secrets=secrets, job_id=self._job())
            loading = build.load(
                domain,
                list(nodes),
                scheduled_date=self._settings.scheduled(next(iter(nodes.values()))),
                secrets=secrets,
                job_id=self._job(),
                spark=self._settings.spark(next(iter(nodes.values()))),
            )
        except CommandError as error:
            yield from (Outcome(node, "failed", str(error)) for node in nodes.values())
            return
        refused: Mapping[str, str] = {}
        if self._has_incoming(domain, nodes.values()):
            ending = self._desk.complete(staging)
            refused = staging_failures(ending, nodes.values())
            if not ending.clean and not refused:
                reason = f"stage failed: {ending.error or 'it could not be run'}"
                ran = self._ran(staging, 0.0)
                lost = (self._judged(node, Verdict("failed", reason=reason), ran, False) for node in nodes.values())
                yield from (replace(outcome, settled=True) for outcome in lost)
                return
        yield from self._stream(loading, list(nodes.values()), refused)

    def _stream(self, command: Command, nodes: Sequence[Node], refused: Mapping[str, str]) -> _Outcomes:
        by_name = {(_table(node).domain_name, _table(node).name): node for node in nodes}
        repeated = [name for name, node in by_name.items() if _table(node).metadata.write_strategy.types]
        watch = Watch()
        early: dict[str, Outcome] = {}
        try:
            with closing(self._desk.start(command, expected=list(by_name), repeated=repeated)) as events:
                for event in events:
                    watch.note(event)
                    if not isinstance(event, TableLoaded):
                        continue
                    node = by_name.get(name := (event.domain, event.table))
                    if node is None or node.id in {*early, *refused} or not self._may_tell(node):
                        continue
                    ran = self._ran(command, watch.seconds(name))
                    early[node.id] = self._judged(node, _told(event), ran, self._desk.live)
                    yield early[node.id]
        finally:  # also of a load that was cancelled: it has ended
            for name, node in by_name.items():
                self._desk.put_back(_table(node), watch.unfinished(name))
        verdicts = reconcile_load([_expected(node) for node in nodes], self._desk.ending)
        if self._desk.ending.rows is None:
            verdicts = doubted(verdicts, self._desk.ending, {one for one in by_name if self._blocking(by_name[one])})
        for name, node in by_name.items():
            told = early.get(node.id)
            if told is not None and told.settled and verdicts[name].status == "loaded":
                continue
            left = self._left(node, verdicts[name])
            verdict = replace(left, status="failed", reason=refused[node.id]) if node.id in refused else left
            outcome = self._judged(node, verdict, self._ran(command, watch.seconds(name)), True)
            yield outcome if told is None or outcome.status != "materialized" else Settled(outcome)

    def _left(self, node: Node, verdict: Verdict) -> Verdict:
        """No new file, but one that an earlier load took and did not bring to its end: a retry is no success then."""
        if verdict.status != "nothing":
            return verdict
        names = self._desk.left(_table(node)) or self._settings.taken.get(node.id, ())
        status = "failed" if self._settings.again else "nothing"
        return replace(verdict, status=status, reason=taken(names)) if names else verdict

    def _blocking(self, node: Node) -> bool:
        return any(one.blocking for one in named_expectations(node, self._source.model.application))

    def _may_tell(self, node: Node) -> bool:
        if self._desk.live:
            return True
        return not self._settings.hold and not self._blocking(node)

    def _has_incoming(self, domain: str, nodes: Collection[Node]) -> bool:
        known = self._source.graph.domains.get(domain)
        if known is None or known.incoming:
            return True
        return any(_table(node).metadata.directory for node in nodes)

    # -------------------------------------------------------------------------------------------- transforms

    def transform(self, node: Node, *, read: bool = False) -> _Outcomes:
        """One `transform`, unless something it reads was lost in this run.

        Args:
            node: A task.
            read: Whether another task of this run reads it.
        """
        yield from self._noted(self._transform(node, _task(node), read))

    def settle(self) -> _Outcomes:
        """Judges the tasks whose runner kept the warehouse to itself, which it now lets go of."""
        self._desk.release()
        yield from self._noted(self._settle())

    def _transform(self, node: Node, task: Task, read: bool) -> _Outcomes:
        lost = [up for up in self._source.graph.upstream[node.id] if up in self._lost]
        if lost:
            reasons = ", ".join(f"{up} {self._lost[up]}" for up in lost)
            yield Outcome(node, "skipped", f"not run: {reasons}")
            return
        settings = self._settings
        if node.id in settings.refused:
            yield Outcome(node, "failed", settings.refused[node.id])
            return
        try:
            command = build.transform(
                task.raw,
                settings.task_options(node),
                settings.scheduled(node),
                truncate=settings.truncate,
                env=settings.environment(node),
                secrets=settings.secrets,
                job_id=self._job(),
                spark=settings.spark(node),
            )
        except CommandError as error:
            yield Outcome(node, "failed", str(error))
            return
        ending = self._desk.complete(command)
        ran = self._ran(command, ending.result.seconds if ending.result else 0.0)
        verdict = reconcile_transform(task.domain, task.table, ending)
        if not self._desk.held:
            yield from self._settle()
            yield self._judged(node, verdict, ran, True)
            return
        outcome = self._judged(node, verdict, ran, False)
        if verdict.status != "loaded":
            yield replace(outcome, settled=True)
            return
        blocking = self._blocking(node)
        self._unsettled.append(_Unsettled(node, task, ending, ran, told=not blocking))
        if not blocking:
            yield outcome
        elif read:
            self._desk.release()
            yield from self._settle()

    def _settle(self) -> _Outcomes:
        waiting, self._unsettled = self._unsettled, []
        for one in waiting:
            ending = replace(one.ending, rows=self._desk.audit(one.ran.job_id))
            verdict = reconcile_transform(one.task.domain, one.task.table, ending)
            outcome = self._judged(one.node, verdict, one.ran, True)
            yield Settled(outcome) if one.told and outcome.status == "materialized" else outcome

    def _ran(self, command: Command, seconds: float) -> _Ran:
        """What is known of the last command."""
        typed = self._desk.redact(shlex.join(("starlake", *command.argv)))
        result = self._desk.ending.result
        return _Ran(typed, self._desk.job_id or command.job_id, seconds, result.exit_code if result else None)

    # ---------------------------------------------------------------------------------------------- verdicts

    def _judged(self, node: Node, verdict: Verdict, ran: _Ran, settled: bool) -> Outcome:
        named = named_expectations(node, self._source.model.application)
        status = "materialized" if verdict.status == "loaded" else verdict.status
        outcome = Outcome(
            node,
            status,
            _plain(node, self._desk.redact(verdict.reason)),
            files=verdict.files,
            input=verdict.input,
            accepted=verdict.accepted,
            rejected=verdict.rejected,
            seconds=ran.seconds,
            job_id=ran.job_id,
            settled=settled,
            command=ran.command,
            exit_code=ran.exit_code,
        )
        if not settled:
            return outcome
        if status == "nothing":
            return self._standing(outcome, named)
        if status == "failed":
            return replace(outcome, checks=self._expectations.of_failed(node, named, ran.job_id))
        checks = self._expectations.of(node, named, ran.job_id, ran.exit_code)
        rejects = self._rejects(node, outcome)
        broken = blocking_failures(checks)
        if not broken:
            return replace(outcome, checks=checks, rejects=rejects)
        return replace(outcome, status="failed", reason=self._desk.redact(broken), checks=checks, rejects=rejects)

    def _standing(self, outcome: Outcome, named: Sequence[NamedExpectation]) -> Outcome:
        """No new file: what is there still has to hold, because what reads the table runs all the same."""
        checks = self._desk.standing(outcome.node, named) if named else None
        if checks is None:
            return outcome
        if broken := blocking_failures(checks):
            return replace(
                outcome, status="failed", reason=self._desk.redact(f"{outcome.reason}; {broken}"), checks=checks
            )
        return replace(outcome, checks=checks)

    def _rejects(self, node: Node, outcome: Outcome) -> tuple[str, ...]:
        if not outcome.rejected or node.table is None:
            return ()
        return self._desk.rejects(outcome.job_id, node.table)

    def _noted(self, outcomes: Iterator[Outcome | Settled]) -> Generator[Outcome | Settled, None, None]:
        for item in outcomes:
            if isinstance(item, Outcome) and item.status in ("failed", "skipped"):
                self._lost[item.node.id] = "failed" if item.status == "failed" else "was not run"
            yield item

    def _job(self) -> str:
        self._count += 1
        return f"{self._settings.job_prefix}-{self._count}"


def _plain(node: Node, reason: str) -> str:
    """The reason without the name of the node before it: whoever tells it says that first."""
    for name in (node.raw, node.id):
        reason = reason.removeprefix(f"{name}: ") if name else reason
    return reason


def _expected(node: Node) -> Expected:
    table = _table(node)
    return Expected(table.domain_name, table.name, table.final_domain, table.final_name, table.domain)


def _told(event: TableLoaded) -> Verdict:
    return Verdict("loaded", event.files, event.input, event.accepted, event.rejected)


def _table(node: Node) -> Table:
    assert node.table is not None
    return node.table


def _task(node: Node) -> Task:
    assert node.task is not None
    return node.task
