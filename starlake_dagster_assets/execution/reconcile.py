"""Results of tables and tasks once a command has ended: pure rules over facts, in the order of `Evidence`.

A result rests on rows of the audit, else on the locations of files, else on a complete log. Without any of them it is
`unknown`. Lines of an incomplete log show progress only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from starlake_dagster_assets.commands.model import AuditRow, TableFailed, TableLoaded
from starlake_dagster_assets.execution.audit_row_matching import (
    file_names,
    files_of_row,
    is_load_of,
    is_of,
    is_second_step_of,
    message_of,
    with_counts,
)
from starlake_dagster_assets.execution.empty_loads import fail_without_written_rows
from starlake_dagster_assets.execution.evidence import CommandEnd, Evidence, RequestedTable, TableResult
from starlake_dagster_assets.execution.load_facts import TABLE_EVENTS, ItemsByTable, LoadFacts, TableEvent, TableFacts
from starlake_dagster_assets.plural import first_of

__all__ = [
    "all_loaded",
    "early_verdict",
    "reconcile_load",
    "reconcile_transform",
    "records_no_load",
    "with_unknown_expectations",
]

NO_FILE = "no file: nothing in the stage area matches the table's pattern"
_NO_KNOWN_LINE = "the log holds no line that is known (is SL_LOG_LEVEL=info set?)"

_NONE: Mapping[str, int] = MappingProxyType({})


def reconcile_load(expected: Iterable[RequestedTable], ending: CommandEnd) -> Mapping[tuple[str, str], TableResult]:
    """Returns the result of every table of a `load`, by (domain, table) as announced.

    Args:
        expected: The requested tables.
        ending: The facts about the command.
    """
    events, rows = ItemsByTable[TableEvent](), ItemsByTable[AuditRow]()
    for event in ending.events:
        if isinstance(event, TABLE_EVENTS):
            events.add(event.table, event)
    for row in ending.rows or ():
        rows.add(row.schema, row)
    tables = [*expected]
    load = LoadFacts.of(ending, tables)
    return {(one.domain, one.table): _verdict(TableFacts(one, load, events, rows)) for one in tables}


def early_verdict(
    one: RequestedTable,
    event: TableLoaded,
    evidence: Evidence,
    rows: Sequence[AuditRow] = (),
    sizes: Mapping[str, int] = _NONE,
) -> TableResult:
    """Returns the result of a table that a running load has finished.

    Args:
        one: The table.
        event: Its files and counts, from the log.
        evidence: What proves that they were loaded.
        rows: Rows of the job that are there now.
        sizes: Bytes of its files by name.
    """
    mine = [row for row in rows if is_load_of(row, one)]
    counts = (event.input, event.accepted, event.rejected)
    archived = event.archived or evidence is Evidence.FILES
    verdict = with_counts(TableResult("loaded", event.files, *counts, evidence=evidence, archived=archived), mine)
    second, two_steps = any(is_second_step_of(row, one) for row in rows), any(row.step == "TRANSFORM" for row in rows)
    return fail_without_written_rows(verdict, one, mine, sizes, second=second, two_steps=two_steps)


def all_loaded(one: RequestedTable, files: Sequence[str], rows: Sequence[AuditRow]) -> bool:
    """Whether audit rows prove, while a load still runs, that all files of a table were loaded.

    Args:
        one: The table.
        files: Its files, as announced.
        rows: Rows of the job that are there now.
    """
    mine = [row for row in rows if is_load_of(row, one)]
    if any(not row.success for row in (*mine, *(row for row in rows if is_second_step_of(row, one)))):
        return False
    return bool(files) and {name for row in mine for name in files_of_row(row)} >= set(files)


def records_no_load(one: RequestedTable, ending: CommandEnd) -> bool:
    """Whether the audit records a command that has ended, and has no row of a table.

    Args:
        one: The table.
        ending: The facts about the command.
    """
    if ending.rows is None or not LoadFacts.of(ending, [one]).credible:
        return False
    return not any(is_load_of(row, one) or is_second_step_of(row, one) for row in ending.rows)


def with_unknown_expectations(
    verdicts: Mapping[tuple[str, str], TableResult], ending: CommandEnd, blocking: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], TableResult]:
    """Marks tables as `unknown` if their blocking expectation may have failed and no reader can evaluate it.

    Args:
        verdicts: Results of every table of the load.
        ending: The facts about the command.
        blocking: The tables with an expectation that blocks.

    Returns:
        The same results; `unknown` for tables whose blocking expectation may have failed.
    """
    if not ending.exit_code or any(verdict.status in ("failed", "unknown") for verdict in verdicts.values()):
        return verdicts
    reason = (
        f"its rows were written and the load ended with exit code {ending.exit_code}, as it does when an expectation "
        f"fails; no warehouse reader can evaluate those of this table: {ending.error}"
    )
    return {
        name: replace(verdict, status="unknown", reason=reason)
        if name in blocking and verdict.status == "loaded" and not verdict.archived
        else verdict
        for name, verdict in verdicts.items()
    }


def reconcile_transform(domain: str, table: str, ending: CommandEnd) -> TableResult:
    """Returns the result of a `transform`.

    Args:
        domain: The task's final domain.
        table: The task's final table.
        ending: The facts about the command.
    """
    rows = [row for row in ending.rows or () if row.step == "TRANSFORM" and is_of(row, domain, table)]
    rejected = [row for row in rows if not row.success]
    if rejected:
        return TableResult("failed", reason=ending.error or message_of(rejected[-1]), evidence=Evidence.AUDIT)
    if ending.result is None:
        return TableResult("failed", reason=ending.error or "the command could not be run")
    if ending.clean and rows:
        return TableResult("loaded", evidence=Evidence.AUDIT)
    if ending.succeeded:
        return TableResult("loaded", evidence=Evidence.LOG)
    if ending.exit_code is None and rows:  # its end was not seen, and the row is written last
        return TableResult("loaded", evidence=Evidence.AUDIT)
    if not ending.clean and (ending.exit_code is not None or ending.log.lossless):
        evidence = Evidence.LOG if ending.log.lossless or ending.log.ended else Evidence.NONE
        return TableResult("failed", reason=ending.error, evidence=evidence)
    return TableResult("unknown", reason=_unknown(ending, "its end was not seen and no audit row names it"))


def _verdict(facts: TableFacts) -> TableResult:
    if facts.ending.result is None:
        return TableResult("failed", reason=facts.ending.error or "the command could not be run")
    for rule in _RULES:
        if (verdict := rule(facts)) is not None:
            second, two_steps = bool(facts.second), facts.load.two_steps
            return fail_without_written_rows(
                verdict, facts.one, facts.rows, facts.sizes(), second=second, two_steps=two_steps
            )
    return TableResult(
        "unknown", facts.announced or file_names(facts.rows), reason=_unknown(facts.ending, _evidence_text(facts))
    )


# --------------------------------------------------------------------------------------------------- rules


def _failed_in_audit(facts: TableFacts) -> TableResult | None:
    """Returns a failure in the audit; it takes precedence over the log: engines can ignore a failed final write."""
    rejected = [row for row in (*facts.rows, *facts.second) if not row.success]
    if not rejected:
        return None
    logged = facts.error if facts.failed is not None and facts.failed.reported else ""
    reason = logged or message_of(rejected[-1]) or "the audit reports that the load failed"
    return facts.failure(Evidence.AUDIT, reason, file_names(facts.rows))


def _failed_in_log(facts: TableFacts) -> TableResult | None:
    """Returns a failure that the program logged while it worked on the table."""
    failed = facts.failed
    if failed is None or not failed.reported or not (facts.log.lossless or facts.log.ended):
        return None
    archived = facts.files is not None and facts.files.archived >= set(failed.files)
    if _covered(facts) and (facts.ending.clean or archived):
        return None
    if not (facts.load.traced and (facts.log.lossless or not archived)):  # a lost line blames the wrong table
        return None
    return facts.failure(Evidence.LOG, _with_names(failed, facts.done))


def _loaded_in_audit(facts: TableFacts) -> TableResult | None:
    """Returns a success if the audit has a row of each file, or of the final write of a load that replaces rows."""
    if not _covered(facts):
        return None
    return facts.verdict(Evidence.AUDIT)


def _covered(facts: TableFacts) -> bool:
    good = {name for row in facts.rows if row.success for name in files_of_row(row)}
    if facts.resolved is None and not (facts.ending.clean or facts.log.tables_processed or facts.is_passed):
        return False  # rows of some files prove nothing about the others, unless the load has passed the table
    needed = facts.resolved or frozenset(facts.announced)
    if not needed:
        return bool(good) or (facts.ending.clean and any(row.success for row in facts.second))
    return good >= needed or sum(row.success for row in facts.second) >= len(needed)


def _by_files(facts: TableFacts) -> TableResult | None:
    """Returns a result by file locations: a file in `archive` was loaded, one in `ingesting` was not."""
    files = facts.files
    if files is None:
        return None
    names = set(facts.announced) | set(files.before)
    taken = (set(facts.announced) | (set(files.before) if not files.ambiguous else set[str]())) - files.waiting
    if stuck := sorted(taken & files.ingesting):
        error = facts.error or "the load did not complete"
        return facts.failure(Evidence.FILES, f"{error}\n{_where(stuck, files.returned)}", sorted(taken))
    if taken and taken <= files.archived and names > taken:
        left = f"{_sample(sorted(names - taken))} still in the area `stage`"
        return facts.failure(Evidence.FILES, f"{facts.error or 'the load took a part of its files'}\n({left})", taken)
    if taken and taken <= files.archived:
        return facts.verdict(Evidence.FILES, sorted(taken))
    if taken or files.ambiguous or facts.events:
        return None
    if not names:
        return TableResult("nothing", reason=NO_FILE, evidence=Evidence.FILES) if facts.is_without_file else None
    left = f"{_sample(sorted(names))} still in the area `stage`"
    if facts.ending.clean:
        return facts.failure(Evidence.FILES, f"the load ended with exit code 0 and did not take its files: {left}")
    error = facts.error or "the command failed before it named the table"
    return facts.failure(Evidence.FILES, f"{error}\n(not loaded: {left})")


def _nothing_in_audit(facts: TableFacts) -> TableResult | None:
    """Returns "no file" if a load ended well, or processed all tables, and left no audit row of this one."""
    if facts.events or facts.rows or facts.second or not (facts.load.credible and facts.is_without_file):
        return None
    if facts.ending.clean or (facts.log.tables_processed and facts.ending.rows):
        return TableResult("nothing", reason=NO_FILE, evidence=Evidence.AUDIT)
    return None


def _failed_without_rows(facts: TableFacts) -> TableResult | None:
    """Returns a failure if the audit is readable and lacks the rows that a load of the table writes."""
    if not facts.load.credible:
        return None
    landed_files = file_names([row for row in facts.rows if row.success])
    if facts.ending.clean and not (facts.events or facts.files is not None):
        return None
    error = facts.error or ("" if facts.ending.clean else "the command failed before it named the table")
    part = "the audit has no row of its load"
    if landed_files:
        part = f"the audit has rows of {_sample(landed_files)}, and nothing shows that these are all its files"
    return facts.failure(Evidence.AUDIT, f"{error}\n({part})" if error else part, landed_files)


def _by_log(facts: TableFacts) -> TableResult | None:
    log = facts.log
    if not (log.lossless or log.ended):
        return None
    if facts.loaded is not None and facts.failed is None:
        whole = log.lossless or facts.is_announced or (facts.listed is not None and facts.listed <= {*facts.announced})
        return facts.verdict(Evidence.LOG) if whole else None
    if facts.failed is not None:
        return facts.failure(Evidence.LOG, _with_names(facts.failed, facts.done)) if log.lossless else None
    if facts.events:
        return facts.failure(Evidence.LOG, facts.error or "its load began and never ended") if log.lossless else None
    return _unannounced(facts)


def _unannounced(facts: TableFacts) -> TableResult | None:
    """Returns a result for a table that no log line names."""
    log, listed = facts.log, facts.listed
    if not facts.is_without_file:
        return None
    absent = listed is not None and not listed
    all_processed = log.lossless and log.tables_processed and (facts.ending.clean or bool(facts.load.announced))
    if log.ended and (absent or (listed is None and all_processed)):
        return TableResult("nothing", reason=NO_FILE, evidence=Evidence.LOG)
    if listed is None and log.lossless and log.understood and facts.ending.clean:
        return TableResult("nothing", reason=NO_FILE, evidence=Evidence.LOG)
    if facts.ending.clean or not log.understood or not (log.lossless or log.failed_before_tables):
        return None  # the lines of its load may be lost
    reason = facts.error or "the command failed before it named the table"
    return facts.failure(Evidence.LOG, reason, sorted(listed or ()))


_RULES: tuple[Callable[[TableFacts], TableResult | None], ...] = (
    _failed_in_audit,
    _failed_in_log,
    _loaded_in_audit,
    _by_files,
    _nothing_in_audit,
    _by_log,
    _failed_without_rows,
)


# ------------------------------------------------------------------------------------------------- details


def _unknown(ending: CommandEnd, seen: str) -> str:
    """Describes what is known about an unknown result, and what could not be read."""
    code = "its exit code is not known" if ending.exit_code is None else f"exit code {ending.exit_code}"
    log = "the log has its end" if ending.log.ended else "the end of the log is missing"
    if not (ending.log.understood or ending.log.has_info_lines):
        log = _NO_KNOWN_LINE
    log += f" ({ending.log_problem})" if ending.log_problem else ""
    audit = "there is no audit table to query" if ending.rows is None else "the audit does not have its rows"
    files = "" if ending.files else "; its files cannot be listed"
    error = f"\n{ending.error}" if ending.error and (ending.is_reported or not ending.clean) else ""
    return f"the result is unknown: {seen}; {code}; {log}; {audit}{files}.{error}"


def _evidence_text(facts: TableFacts) -> str:
    if facts.loaded is not None:
        return "the log reports it as loaded, and lines may be missing"
    if facts.failed is not None and facts.failed.missing:
        return f"its load began, and {_sample(facts.failed.missing)} has no summary in the log"
    if facts.events:
        return "its load began, and its end is not in the log"
    if facts.listed:
        return f"{_sample(sorted(facts.listed))} was found, and no line reports its load"
    return "no line names the table"


def _with_names(failed: TableFailed, done: Collection[str]) -> str:
    missing = [name for name in failed.missing if name not in done] or failed.missing
    unnamed = [name for name in missing if name not in failed.error]
    return ": ".join([*([", ".join(unnamed)] if unnamed else []), failed.error])


def _where(stuck: Sequence[str], returned: Collection[str]) -> str:
    """Describes the locations of files that a load took and did not archive, and the next step."""
    back, left = ([name for name in stuck if (name in returned) is known] for known in (True, False))
    found = [f"({_sample(back)} is back in the area `stage`: the next load takes it)"] if back else []
    if left:
        found += [
            f"({_sample(left)} left in the area `ingesting`)",
            "Next: check whether its rows are in the table. Move it to the area `archive` if they are, else to the "
            "area `stage`: the next load takes it.",
        ]
    return "\n".join(found)


def _sample(names: Sequence[str]) -> str:
    return first_of(names, 5)
