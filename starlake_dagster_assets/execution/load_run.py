"""Runs the loads of one run, one `stage` and one `load` per domain, and reports each table once its result is known."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

from starlake_dagster_assets.commands import build
from starlake_dagster_assets.commands.model import AuditRow, Command, TableLoaded
from starlake_dagster_assets.errors import CommandError
from starlake_dagster_assets.execution.audit_read_limit import ReadBudget
from starlake_dagster_assets.execution.backends.protocol import Runner
from starlake_dagster_assets.execution.evidence import Evidence, TableFiles, TableResult
from starlake_dagster_assets.execution.expected_load import expected_of
from starlake_dagster_assets.execution.load_files import LoadFiles
from starlake_dagster_assets.execution.load_progress import LoadProgress
from starlake_dagster_assets.execution.outcome import FailedCommand, FinalOutcome, NotReady, Outcome
from starlake_dagster_assets.execution.reconcile import (
    all_loaded,
    early_verdict,
    reconcile_load,
    records_no_load,
    with_unknown_expectations,
)
from starlake_dagster_assets.execution.run_state import CommandRun, RunState
from starlake_dagster_assets.execution.stage_failures import staging_failures
from starlake_dagster_assets.execution.unfinished_loads import (
    find_overwritten_files,
    find_unreported_load,
    resolve_without_new_files,
)
from starlake_dagster_assets.execution.unstaged_files import IncomingFiles
from starlake_dagster_assets.graph.acyclic_groups import split_names
from starlake_dagster_assets.graph.model import Node
from starlake_dagster_assets.project.model.project import Table

__all__ = ["LoadRun"]

_Item = Outcome | FinalOutcome | FailedCommand
_Name = tuple[str, str]


class LoadRun:
    """The loads of one run.

    Args:
        state: State of the run.
        runner: Runner, for its argument limit (`argv_bytes`).
    """

    def __init__(self, state: RunState, runner: Runner) -> None:
        self._state = state
        self._executor = state.executor
        self._settings = state.settings
        self._argv_bytes = min(build.ARGV_BYTES, runner.capabilities.argv_bytes or build.ARGV_BYTES)

    def load(self, nodes: Sequence[Node]) -> Iterator[_Item]:
        """Runs one `stage` and one `load` for the tables of a domain.

        They are split if the table names exceed the argument limit, or tables have other Spark properties or
        settings of the execution environment.
        """
        not_ready = self._settings.not_ready(nodes)
        yield from self._state.noted(
            self._not_loaded(node, not_ready[node.id]) for node in nodes if node.id in not_ready
        )
        alike: dict[tuple[object, ...], dict[str, Node]] = {}
        for node in nodes:
            if node.id not in not_ready:
                spark = tuple(sorted(self._settings.spark(node).items()))
                alike.setdefault((spark, self._settings.overrides(node)), {})[_table(node).stem] = node
        for by_stem in alike.values():
            for stems in split_names(by_stem, self._argv_bytes):
                yield from self._state.noted(self._load({stem: by_stem[stem] for stem in stems}))

    def _not_loaded(self, node: Node, why: NotReady) -> Outcome:
        if why.failed:
            return Outcome(node, "failed", self._executor.redact(why.reason))
        if found := find_unreported_load(node, self._state):
            return self._state.outcome(node, found, CommandRun("", found.job_id, 0.0, None), is_final=True)
        outcome = Outcome(node, "nothing", self._executor.redact(why.reason), evidence=Evidence.FILES)
        return self._state.with_current_checks(outcome, self._state.expectations(node))

    def _load(self, nodes: dict[str, Node]) -> Iterator[_Item]:
        failed: dict[str, Outcome] = {}
        nodes = yield from self._resumed(nodes, failed)
        for item in self._submitted(nodes) if nodes else ():
            if isinstance(item, Outcome) and item.status == "nothing" and item.node.id in failed:
                yield failed[item.node.id]  # its files were taken by the load before
            else:
                yield item

    def _resumed(self, nodes: dict[str, Node], failed: dict[str, Outcome]) -> Generator[_Item, None, dict[str, Node]]:
        """Follows the loads that earlier attempts of the step did not finish.

        Args:
            nodes: The tables to load, by file stem.
            failed: Receives the results of tables that failed in those loads, by node id.

        Returns:
            The tables that are still to be loaded, by file stem: those of no such load, and those that failed there.
        """
        left = dict(nodes)
        for command in self._executor.unfinished("load"):
            domain, stems = build.loaded_tables(command)
            mine = {stem: left[stem] for stem in stems if stem in left and _table(left[stem]).domain == domain}
            if not mine:
                continue
            files = self._files([*mine.values()])
            for item in _Load(self._state, command, [*mine.values()], files, {}, resumed=True).run():
                if isinstance(item, FailedCommand):
                    yield item
                    continue
                node = item.node if isinstance(item, Outcome) else item.outcome.node
                if isinstance(item, Outcome) and item.status == "failed":
                    failed[item.node.id] = item
                    continue
                left = {stem: one for stem, one in left.items() if one.id != node.id}
                yield item
        return left

    def _submitted(self, nodes: Mapping[str, Node]) -> Iterator[_Item]:
        nodes = dict(nodes)
        domain = _table(next(iter(nodes.values()))).domain
        try:
            staging = build.stage(domain, list(nodes), secrets=self._settings.secrets, job_id=self._state.job_id())
            loading = self._loading(nodes)
        except CommandError as error:
            yield from (Outcome(node, "failed", str(error)) for node in nodes.values())
            return
        not_staged: Mapping[str, str] = {}
        incoming: IncomingFiles | None = None
        if self._has_incoming(domain, nodes.values()):
            incoming = IncomingFiles(self._executor.files, _table(next(iter(nodes.values()))).domain_name)
            ending = self._executor.complete(staging)
            not_staged = staging_failures(ending, nodes.values())
            if not ending.clean and not not_staged:
                reason = f"stage failed: {ending.error or 'it could not be run'}"
                ran = self._state.execution(staging, 0.0)
                verdict = TableResult("failed", reason=reason)
                failed = (self._state.outcome(node, verdict, ran, is_final=False) for node in nodes.values())
                yield from (replace(outcome, is_final=True) for outcome in failed)
                return
        files = self._files([*nodes.values()])
        if refused := find_overwritten_files(nodes.values(), files):
            for stem in [stem for stem, node in nodes.items() if node.id in refused]:
                node = nodes.pop(stem)
                yield Outcome(node, "failed", self._executor.redact(refused[node.id]), evidence=Evidence.FILES)
            if not nodes:
                return
            loading = self._loading(nodes)
        yield from _Load(self._state, loading, [*nodes.values()], files, not_staged, incoming=incoming).run()

    def _loading(self, nodes: Mapping[str, Node]) -> Command:
        """Returns the `load` command of tables of one domain, by file stem."""
        first = next(iter(nodes.values()))
        return build.load(
            _table(first).domain,
            list(nodes),
            scheduled_date=self._settings.scheduled(first),
            secrets=self._settings.secrets,
            job_id=self._state.job_id(),
            spark=self._settings.spark(first),
            overrides=self._settings.overrides(first),
        )

    def _files(self, nodes: Sequence[Node]) -> LoadFiles:
        """Lists the files of tables of one domain before their load."""
        tables = [_table(node) for node in nodes]
        model = self._state.source.model
        domain = [one for one in model.tables if one.domain_name == tables[0].domain_name]
        return LoadFiles(self._executor.files, tables, domain, archives=model.application.archive)

    def _has_incoming(self, domain: str, nodes: Collection[Node]) -> bool:
        known = self._state.source.graph.domains.get(domain)
        if known is None or known.incoming:
            return True
        return any(_table(node).metadata.directory for node in nodes)


class _Load:
    """A `load` command.

    Args:
        state: State of the run.
        command: The command.
        nodes: Its tables, of one domain.
        files: Of these tables and others of the domain, as they were before it.
        not_staged: By node id, why files of a table stay in incoming.
        resumed: Whether an earlier attempt has started it.
        incoming: The files before `stage`; None if nothing was staged.
    """

    def __init__(
        self,
        state: RunState,
        command: Command,
        nodes: Sequence[Node],
        files: LoadFiles,
        not_staged: Mapping[str, str],
        *,
        resumed: bool = False,
        incoming: IncomingFiles | None = None,
    ) -> None:
        self._not_staged, self._resumed, self._incoming = not_staged, resumed, incoming
        self._state = state
        self._executor = state.executor
        self._command = command
        self._nodes = {(_table(node).domain_name, _table(node).name): node for node in nodes}
        self._expected = {name: expected_of(_table(node)) for name, node in self._nodes.items()}
        self._progress = LoadProgress()
        self._early: dict[_Name, Outcome] = {}
        self._waiting: dict[_Name, TableLoaded] = {}
        self._budget = ReadBudget()
        self._files = files

    def run(self) -> Iterator[_Item]:
        """Runs the command; yields an outcome per table, while the command runs if there is evidence."""
        repeated = [name for name, node in self._nodes.items() if _table(node).metadata.write_strategy.types]
        files: Mapping[_Name, TableFiles] = {}
        try:
            with closing(self._executor.start(self._command, self._nodes, repeated)) as events:
                for event in events:
                    self._progress.note(event)
                    if isinstance(event, TableLoaded) and self._may_report(event):
                        self._waiting[event.domain, event.table] = event
                    if self._waiting and self._budget.allows:
                        yield from self._report()
        finally:  # also of a load that was cancelled: it has ended
            files = self._put_back(self._files.after(self._executor.ending.events, adopted=self._adopted))
            self._state.warn_of_files()
        sequential = self._state.source.model.application.max_jobs <= 1
        ending = replace(self._executor.ending, files=files, sequential=sequential)
        verdicts = reconcile_load(self._expected.values(), ending)
        if ending.rows is None:
            blocking = {name for name, node in self._nodes.items() if self._state.blocks(node)}
            verdicts = with_unknown_expectations(verdicts, ending, blocking)
        outcomes: list[Outcome] = []
        for name, verdict in verdicts.items():
            early = self._early.get(name)
            if early is not None and early.is_final and verdict.status == "loaded":
                outcomes.append(early)
                continue
            outcome = self._outcome(name, self._resolved(name, verdict), is_final=True)
            outcomes.append(outcome)
            yield outcome if early is None or outcome.status != "materialized" else FinalOutcome(outcome)
        if not ending.clean and not any(one.status in ("failed", "unknown") for one in outcomes):
            yield self._failed_command(ending.error)

    @property
    def _adopted(self) -> bool:
        """Whether the load had begun before its files were listed."""
        return self._resumed or self._executor.adopted

    def _may_report(self, event: TableLoaded) -> bool:
        name = (event.domain, event.table)
        node = self._nodes.get(name)
        if node is None or name in self._early or node.id in self._not_staged:
            return False
        return self._executor.supports_concurrent_reads or not (
            self._state.settings.report_after_command or self._state.blocks(node)
        )

    def _report(self) -> Iterator[Outcome]:
        """Yields the outcomes of tables whose result is proven; other tables are evaluated later."""
        with self._budget.spent():
            concurrent = self._executor.supports_concurrent_reads
            rows = (self._executor.audit(self._executor.job_id) if concurrent else None) or ()
        for name, event in [*self._waiting.items()]:
            evidence = self._evidence(name, event, rows)
            if evidence is Evidence.NONE:
                continue
            del self._waiting[name]
            sizes = self._files.sizes(_table(self._nodes[name]))
            verdict = early_verdict(self._expected[name], event, evidence, rows, sizes)
            if verdict.status == "loaded":
                self._early[name] = self._outcome(name, verdict, is_final=self._executor.supports_concurrent_reads)
                yield self._early[name]

    def _evidence(self, name: _Name, event: TableLoaded, rows: Sequence[AuditRow]) -> Evidence:
        if rows and all_loaded(self._expected[name], event.files, rows):
            return Evidence.AUDIT
        if self._executor.supports_concurrent_reads and self._state.blocks(self._nodes[name]):
            return Evidence.NONE
        if not self._adopted and self._files.has_archived(event.files):
            return Evidence.FILES
        if not self._executor.lossless or self._files.is_working_on(event.files):
            return Evidence.NONE
        return Evidence.LOG

    def _put_back(self, files: Mapping[_Name, TableFiles]) -> Mapping[_Name, TableFiles]:
        """Moves files without rows back to `stage`; returns the facts about the files of the tables after that."""
        found = {name: facts for name, facts in files.items() if name in self._nodes}
        for name, node in self._nodes.items():
            names = self._progress.unfinished(name) | self._without_rows(name, files)
            returned = self._executor.put_back(_table(node), names)
            if name in found:
                found[name] = replace(found[name], returned=returned)
        return found

    def _without_rows(self, name: _Name, files: Mapping[_Name, TableFiles]) -> frozenset[str]:
        """Returns the files of a table in `ingesting` without a summary, if the audit has no row of the table."""
        found = files[name].ingesting - self._progress.summarised(name) if name in files else frozenset[str]()
        return found if found and records_no_load(self._expected[name], self._executor.ending) else frozenset()

    def _resolved(self, name: _Name, verdict: TableResult) -> TableResult:
        if reason := self._not_staged.get(self._nodes[name].id):
            return replace(verdict, status="failed", reason=reason, warnings=())
        if verdict.status != "nothing":
            return verdict
        return resolve_without_new_files(verdict, self._nodes[name], self._state, self._files, self._incoming)

    def _outcome(self, name: _Name, verdict: TableResult, *, is_final: bool) -> Outcome:
        ran = self._state.execution(self._command, self._progress.seconds(name))
        return self._state.outcome(self._nodes[name], verdict, ran, is_final=is_final)

    def _failed_command(self, error: str) -> FailedCommand:
        ran = self._state.execution(self._command, 0.0)
        code = "without an exit code" if ran.exit_code is None else f"with exit code {ran.exit_code}"
        reason = f"the load ended {code} although none of its tables failed: {self._executor.redact(error)}"
        return FailedCommand(tuple(self._nodes.values()), reason, ran.command, ran.exit_code)


def _table(node: Node) -> Table:
    assert node.table is not None
    return node.table
