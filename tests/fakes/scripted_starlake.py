"""Stands in for the `starlake` program: prints and returns what the real one was seen to print and return.

Standard library only. A JSON file tells it what to do (`SCRIPTED_STARLAKE`, written by `tests.fakes.script.Scripted`):

    journal       each process appends its argument list, environment, pids and console commands here
    variables     names of the environment variables whose values are journalled
    startup       seconds that the program takes to start
    console       whether the version has `console`
    without       names of commands and options that the version does not have
    validate      lines that `validate` prints
    tables        by `domain.table`: {"do": ..., "files": [...], "rows": 1, "rejected": 0, "seconds": 0}. "native": no
                  count of rejected rows; "again": the second write of a table that replaces rows, without a summary;
                  "error": text of its error; "format"
    order         tables in the order in which the program takes them; that of the command line by default
    broken        text of the error that ends the walk before any table is named
    clash         name of a file that `stage` moves twice, as where the patterns of two tables match it
    tasks         by name: {"do": ..., "seconds": 0}; a task that is not named succeeds, unless `only` is true
    noise         lines printed before anything else; `noise_megabytes` of filler
    ignore_term   TERM does nothing
    orphan        leaves a grandchild behind that keeps the output open
    engine        "embedded": the embedded engine does the work
    warehouse     {"argv": [...], "env": {...}}: what runs SQL that is written to its stdin, such as `psql`. Rows of
                  files that move are written to their tables and the audit as the real program does; "lost" names
                  audit tables that are not written. Of a table: "types" of columns (text by default) and
                  "expectations" {expect: SQL}; of a task: "sql", and "expectations"

A table does: load, reject (bad rows refused, exit 0), refuse (the whole file refused after its summary, exit 1), fail,
part (the last file fails), nothing, crash_before, crash_after, hang, kill. A task does: ok, fail, unknown, crash, hang,
kill. A table that is not named, or is told to `move`, takes the files of `$SL_ROOT/datasets/stage/<domain>` that begin
with its name: they go through `ingesting`, where those that fail stay, to `archive`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from typing import Any

OPTIONS: dict[str, tuple[str, ...]] = {
    "stage": ("--domains", "--tables", "--options", "--reportFormat"),
    "preload": (
        "--domain",
        "--tables",
        "--strategy",
        "--globalAckFilePath",
        "--notReadySentinel",
        "--options",
        "--reportFormat",
    ),
    "load": (
        "--domains",
        "--tables",
        "--files",
        "--options",
        "--scheduledDate",
        "--accessToken",
        "--test",
        "--primaryKeys",
        "--reportFormat",
    ),
    "transform": (
        "--name",
        "--options",
        "--scheduledDate",
        "--compile",
        "--tags",
        "--truncate",
        "--recursive",
        "--accessToken",
        "--reportFormat",
    ),
    "validate": ("--reload", "--reportFormat"),
    "settings": ("--test-connection", "--reportFormat"),
    "lineage": ("--task", "--all", "--print", "--json", "--output", "--verbose", "--reload", "--objects"),
    "freshness": ("--tables", "--persist", "--connection", "--database"),
    "dag-generate": ("--outputDir", "--clean", "--tags", "--tasks", "--domains", "--withRoles"),
}
FLAGS = {"--recursive", "--compile", "--all", "--print", "--json", "--verbose", "--clean", "--tasks", "--reload"}
REQUIRED = {"transform": "--name", "preload": "--domain"}


class Script:
    """What one process was told."""

    def __init__(self) -> None:
        path = os.environ.get("SCRIPTED_STARLAKE")
        self.told: dict[str, Any] = {}
        if path:
            with open(path, encoding="utf-8") as file:
                self.told = json.load(file)
        self.informs = os.environ.get("SL_LOG_LEVEL", "error").lower() in ("info", "debug", "trace")

    def note(self, **what: Any) -> None:
        """Appends a line to the journal: whole lines, also from several processes at once."""
        if "journal" not in self.told:
            return
        text = json.dumps({"pid": os.getpid(), **what}) + "\n"
        handle = os.open(self.told["journal"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)

    def log(self, level: str, logger: str, text: str) -> None:
        """A log line; below the level of the program it does not exist."""
        if level in ("ERROR", "FATAL") or self.informs:
            err(f"{time.strftime('%y/%m/%d %H:%M:%S')} {level} {logger}: {text}")

    def info(self, logger: str, text: str) -> None:
        """An INFO line."""
        self.log("INFO", logger, text)


def out(text: str) -> None:
    """A line of stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def err(text: str) -> None:
    """A line of stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


class Usage(Exception):
    """The command line asks for the options of a command."""


class Refused(Exception):
    """The command line is not of the grammar: usage, exit code 1."""


class Failed(Exception):
    """The command failed; its text is the exception that is printed."""


# ------------------------------------------------------------------------------------------------- the grammar


def parse(argv: list[str]) -> dict[str, str]:
    """The options of a command.

    Raises:
        Refused: With the lines that the program prints.
    """
    command, rest = argv[0], argv[1:]
    if rest == ["--help"]:
        raise Usage
    known, found, errors = OPTIONS[command], {}, []
    while rest:
        name = rest.pop(0)
        if name not in known:
            errors.append(f"Error: Unknown {'option' if name.startswith('-') else 'argument'} {quoted(name)}")
            continue
        if name in FLAGS or (command, name) == ("dag-generate", "--domains"):
            found[name] = "true"
            continue
        if not rest:
            errors.append(f"Error: Missing value after {name}")
            continue
        value = rest.pop(0)
        if name == "--options" and any("=" not in pair for pair in value.split(",")):
            errors.append(f"Error: Option --options failed when given '{value}'. Expected a key=value pair")
        found[name] = value
    if (needed := REQUIRED.get(command)) and needed not in found:
        errors.append(f"Error: Missing option {needed}")
    if errors:
        raise Refused("\n".join(errors))
    return found


def quoted(name: str) -> str:
    """An argument in quotes, an option as it is."""
    return name if name.startswith("-") else f"'{name}'"


# ------------------------------------------------------------------------------------------------- the commands


def run(script: Script, argv: list[str]) -> int:
    """Runs one command as a process does: its exit code."""
    typed = " ".join(argv)
    script.info("Main", "Starlake Version 1.6.0")
    script.info("Main", f"Running Starlake {typed}")
    if not argv or argv[0] in ("help", "--help"):
        out("Usage: starlake <command> [options]\nCommands:\n" + "\n".join(f"  {name}" for name in sorted(OPTIONS)))
        return 0
    if argv[0] in ("version", "--version"):
        out("1.6.0")
        return 0
    if argv[0] == "console" and script.told.get("console", True):
        return console(script)
    if argv[0] not in OPTIONS:
        out(f"ERROR: Unknown command --> {argv[0]}")
        err(f"\n{'-' * 50}\n\n{'-' * 50}\nUnknown command {argv[0]}")
        return 1
    try:
        done = do(script, argv)
    except Usage:
        out("\n".join([f"Usage: starlake {argv[0]} [options]", *(f"  {name} <value>" for name in OPTIONS[argv[0]])]))
        return 0
    except Refused as refused:
        err(f"\n{'-' * 50}\n{refused}\nstarlake {argv[0]} [options]\nUsage: starlake {argv[0]} [options]\n")
        return 1
    except Failed as failed:
        sys.stderr.write(f"Starlake failed to execute command with args {typed}")
        if str(failed):  # the real one prints no line break between both
            script.log("ERROR", "Main", str(failed))
            err(f'Exception in thread "main" {failed}\n\tat ai.starlake.job.Main$.main(Main.scala:100)')
        else:
            err("")
        return 1
    if done is not None:
        return done
    script.info("Main", f"Successfully {typed}")
    return 0


def do(script: Script, argv: list[str]) -> int | None:
    """Runs one command; None when it ended well.

    Raises:
        Refused: Of the grammar.
        Failed: It failed.
    """
    options = parse(argv)
    if script.told.get("engine") == "embedded":
        return embedded(argv)
    if argv[0] == "stage":
        return stage(script, options)
    if argv[0] == "preload":
        return preload(script, argv, options)
    if argv[0] == "load":
        return load(script, options)
    if argv[0] == "transform":
        return transform(script, options)
    if argv[0] == "validate":
        out("\n".join(script.told.get("validate", ["No errors or warnings found"])))
    if argv[0] == "settings" and (name := options.get("--test-connection")):
        wrong = script.told.get("connections", {}).get(name)
        out(f"SUCCESS: Connection {name} is valid" if wrong is None else f"ERROR: {wrong}")
    return None


def root() -> str:
    """SL_ROOT as a path."""
    return os.environ.get("SL_ROOT", ".").removeprefix("file://")


def area(name: str, domain: str) -> str:
    """A directory of a domain."""
    return os.path.join(root(), "datasets", name, domain)


def listed(folder: str) -> list[str]:
    """The files of a directory; none where it is not there."""
    try:
        return sorted(name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name)))
    except OSError:
        return []


def stage(script: Script, options: dict[str, str]) -> None:
    """Moves what is incoming."""
    domain = options.get("--domains", "")
    source, target = area("incoming", domain), area("stage", domain)
    clash = script.told.get("clash")
    if files := listed(source):
        os.makedirs(target, exist_ok=True)
        moves = [*files, *([clash] if clash else [])]
        out(f"Moving {len(moves)} file(s) from {source} to file:{target}")
        for name in moves:
            out(f"Moving {name}")
            try:
                os.replace(os.path.join(source, name), os.path.join(target, name))
            except FileNotFoundError:
                raise Failed(f"java.io.FileNotFoundException: File file:{source}/{name} does not exist") from None


def preload(script: Script, argv: list[str], options: dict[str, str]) -> int | None:
    """Says which tables have files; the exit code of the real one."""
    domain, strategy = options["--domain"], options.get("--strategy", "imported").lower()
    tables = [name for name in options.get("--tables", "").split(",") if name]
    script.info("PreLoadCmd$", f"Pre loading domain {domain} with strategy {strategy}")
    if script.told.get("preload") == "crash":
        raise Failed("java.lang.OutOfMemoryError: Java heap space")
    sentinel = options.get("--notReadySentinel")
    if strategy == "ack":
        path = options.get("--globalAckFilePath", "").removeprefix("file://")
        ready = os.path.exists(path)
        if ready:
            os.remove(path)
        counts: dict[str, int] = {}
    else:
        files = listed(area("incoming" if strategy == "imported" else "stage", domain))
        counts = {table: sum(name.startswith(table) for name in files) for table in tables}
        ready = any(counts.values())
    if not ready and sentinel:
        open(sentinel.removeprefix("file://"), "w").close()
        script.info("PreLoadCmd$", f"Wrote not-ready sentinel to {sentinel}")
        return None
    if strategy == "ack":
        if not ready:
            raise Failed("")
        return None
    script.info("Main", f"Preload Successfully {' '.join(argv)}")
    width = max([6, *map(len, tables)])
    wide = max(6, len(domain))
    bar = f"+{'-' * wide}+{'-' * width}+--------+"
    rows = [f"|{domain:>{wide}}|{table:>{width}}|{min(count, 1):>8}|" for table, count in sorted(counts.items())]
    head = f"|{'domain':>{wide}}|{'table':>{width}}|loadable|"
    script.info("Main", "\n" + "\n".join([bar, head, bar, *rows, bar]) + "\n")
    return 0 if ready else 1


def load(script: Script, options: dict[str, str]) -> int | None:
    """Loads the tables one after the other; a failed one does not stop the others."""
    domain = options.get("--domains", "")
    asked = [name for name in options.get("--tables", "").split(",") if name]
    script.info("IngestionWorkflow", f"Loading domains : {domain}")
    script.info("IngestionWorkflow", f"Loading tables : {','.join(asked)}")
    errors: list[str] = []
    found = find_files(script, domain, asked)
    total, rejected, loaded = 0, 0, ""
    if broken := script.told.get("broken"):
        script.log("ERROR", "IngestionWorkflow", "Error during ingestion")
        err(f"{broken}\n\tat ai.starlake.workflow.IngestionWorkflow.load(IngestionWorkflow.scala:1)")
        errors.append(broken)
    else:
        for table, told in found.items():
            before = len(errors)
            accepted, refused = ingest(script, domain, table, told, errors)
            total, rejected = total + accepted, rejected + refused
            files = told.get("files") or [f"{table}.csv"]
            loaded = loaded or (f"file:{area('ingesting', domain)}/{files[0]}" if len(errors) == before else "")
    if errors:
        script.log("ERROR", "IngestionWorkflow", "Some tables failed to be loaded")
        script.log("ERROR", "IngestionWorkflow", errors[0])
        raise Failed(f"java.lang.Exception: {'; '.join(errors)}")
    again = any(told.get("again") for told in found.values())
    counts = "" if again else f"Input records: {total + max(rejected, 0)}\nAccepted: {total}\nRejected: {rejected}\n"
    out(f"{'Native ' if again else ''}Load summary:\n{counts}Data successfully loaded from {loaded}\n")
    script.info("IngestionWorkflow", "All tables loaded successfully")
    return None


def find_files(script: Script, domain: str, asked: list[str]) -> dict[str, dict[str, Any]]:
    """Lists the stage area; gives the tables that have files, in the order in which they are taken."""
    there = listed(area("stage", domain))
    left = list(there)
    tables: dict[str, dict[str, Any]] = {}
    for table in asked:
        told = script.told.get("tables", {}).get(f"{domain}.{table}")
        if told is None or told.get("move"):
            mine = [name for name in left if name.startswith(table)]
            left = [name for name in left if name not in mine]
            mine = [*(name for name in (told or {}).get("files", ()) if name in mine), *mine]
            told = {"do": "load", "move": True, **(told or {}), "files": list(dict.fromkeys(mine))}
            if not mine:
                continue
        if told["do"] != "nothing":
            tables[table] = told
    order = script.told.get("order", asked)
    tables = {name: tables[name] for name in order if name in tables}
    names = [name for table, told in tables.items() for name in told.get("files") or [f"{table}.csv"]]
    infos = [f"FileInfo(file:{area('stage', domain)}/{name},{size(domain, name)},{MOMENT})" for name in names + left]
    script.info("IngestionWorkflow", f"Found {','.join(infos)}" if infos else "No Files Found.")
    return tables


def size(domain: str, name: str) -> int:
    """Bytes of a file in stage; of one that a test only tells of, a few."""
    path = os.path.join(area("stage", domain), name)
    return os.path.getsize(path) if os.path.exists(path) else 13


MOMENT = "2026-01-01T00:00:00.000Z"


def ingest(script: Script, domain: str, table: str, told: dict[str, Any], errors: list[str]) -> tuple[int, int]:
    """Loads one table; gives the rows accepted and rejected."""
    deed = told["do"]
    files = told.get("files") or [f"{table}.csv"]
    if deed == "crash_before":
        crash(script)
    script.info("IngestionWorkflow", f"Ingest resolved file : {','.join(files)} as table {domain}.{table}")
    take(domain, files, told)
    accepted = refused = 0
    for index, name in enumerate(files):
        path = f"file:{area('ingesting', domain)}/{name}"
        out(f"Loading\nFormat: {told.get('format', 'DSV')}\nFile(s): {path}\nTable: {domain}.{table}")
        if deed in ("hang", "kill"):
            halt(deed)
        if deed == "fail" or (deed == "part" and index == len(files) - 1):
            error = told.get("error", f"java.sql.SQLException: Conversion Error: could not read {name} of {table}")
            audit(script, "LOAD", domain, table, paths=path, counts=(-1, -1, -1), error=error)
            fail(script, error, errors, "DsvIngestionJob", "IngestionWorkflow")
            continue
        rows, rejected = summarise(script, domain, table, name, told)
        if deed == "refuse":
            error = "ai.starlake.exceptions.DisallowRejectRecordException: Fail on rejected count requested"
            fail(script, error, errors, "IngestionWorkflow")
            continue
        broken = expect(script, domain, table, told)
        if broken and told.get("fail_on_error"):  # the rows stay, and so does the file in `ingesting`
            fail(script, broken, errors, "IngestionWorkflow")
            continue
        accepted, refused = accepted + rows, refused + rejected
        archive = area("archive", domain)
        if told.get("move"):
            moved(domain, name, "ingesting", "archive")
        out("Archive duration takes 1ms")
        script.info("IngestionWorkflow", f"Backing up file {path} to file:{archive}/{name}")
    if deed == "crash_after":
        crash(script)
    time.sleep(told.get("after", 0))
    return accepted, refused


def summarise(script: Script, domain: str, table: str, name: str, told: dict[str, Any]) -> tuple[int, int]:
    """Writes the rows of a file and its audit row, and prints its summary; gives the rows accepted and rejected."""
    path = f"file:{area('ingesting', domain)}/{name}"
    rows = told.get("rows", 1)
    rejected = told.get("rejected", 1 if told["do"] in ("reject", "refuse") else 0)
    if "warehouse" in script.told:
        rows, rejected = write_rows(script, domain, table, name, told)
    found = rows + rejected
    if told.get("native"):
        found, rejected = rows, -1
    audit(script, "LOAD", domain, table, paths=path, counts=(found, rows, rejected))
    if not told.get("again"):
        script.info(
            "DsvIngestionJob",
            f"ingestion-summary -> files: [{path}], domain: {domain}, schema: {table}, "
            f"input: {found}, accepted: {rows}, rejected:{rejected}",
        )
    return rows, rejected


def fail(script: Script, error: str, errors: list[str], *loggers: str) -> None:
    """An error of a table, as each logger prints it."""
    for logger in loggers:
        script.log("ERROR", logger, error)
    errors.append(error)


def take(domain: str, files: list[str], told: dict[str, Any]) -> None:
    """A table's load begins; it may be all there is of it."""
    if told.get("move"):
        for name in files:
            moved(domain, name, "stage", "ingesting")
    time.sleep(told.get("seconds", 0))


def moved(domain: str, name: str, source: str, target: str) -> None:
    """Moves a file from one area to another."""
    os.makedirs(area(target, domain), exist_ok=True)
    os.replace(os.path.join(area(source, domain), name), os.path.join(area(target, domain), name))


def transform(script: Script, options: dict[str, str]) -> None:
    """Runs one task."""
    name = options["--name"]
    tasks = script.told.get("tasks", {})
    told = tasks.get(name) or {"do": "unknown" if script.told.get("only") else "ok"}
    script.info("IngestionWorkflow", f"Transforming with config \nname={name}\noptions={options.get('--options', '')}")
    time.sleep(told.get("seconds", 0))
    deed = told["do"]
    domain, _, table = name.partition(".")
    if deed == "unknown":
        raise Failed(f"ai.starlake.utils.StarlakeNotFoundException: Invalid task name {name}")
    if deed == "fail":
        error = told.get("error", 'java.sql.SQLException: Binder Error: Referenced column "nosuchcol" not found')
        audit(script, "TRANSFORM", domain, table, counts=(-1, -1, -1), error=error)
        raise Failed(error)
    if "sql" in told:
        write(
            script,
            f"CREATE SCHEMA IF NOT EXISTS {domain}; DROP TABLE IF EXISTS {name}",
            f"CREATE TABLE {name} AS {told['sql']}",
        )
    audit(script, "TRANSFORM", domain, table, counts=(-1, -1, -1))
    expect(script, domain, table, told)
    if deed == "crash":
        crash(script)
    if deed in ("hang", "kill"):
        halt(deed)


# ------------------------------------------------------------------------------------------------ the warehouse


def write(script: Script, *statements: str) -> None:
    """Runs SQL in the warehouse, where there is one."""
    client = script.told.get("warehouse")
    if client is None:
        return
    text = ";\n".join(("SET client_min_messages = warning", *statements)) + ";\n"
    done = subprocess.run(
        client["argv"], input=text, env={**os.environ, **client["env"]}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Failed(f"java.sql.SQLException: {done.stderr.strip()}")


def write_rows(script: Script, domain: str, table: str, name: str, told: dict[str, Any]) -> tuple[int, int]:
    """Appends the rows of a file in `ingesting`; those whose numbers are none are rejected. Gives both counts."""
    import csv

    types, job = told.get("types", {"id": "bigint"}), os.environ.get("SL_JOB_ID", "")
    with open(os.path.join(area("ingesting", domain), name), encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    columns = ", ".join(f"{column} {types.get(column, 'text')}" for column in header)
    numbers = [index for index, column in enumerate(header) if types.get(column) == "bigint"]
    bad = [row for row in rows if not all(row[index].lstrip("-").isdigit() for index in numbers)]
    statements = [f"CREATE SCHEMA IF NOT EXISTS {domain}", f"CREATE TABLE IF NOT EXISTS {domain}.{table} ({columns})"]
    for row in rows:
        if row in bad:
            error = literal(f"ERR -> `{header[numbers[0]]}` expected a number FILE -> {name}")
            values = f"{literal(job)}, now(), {literal(domain)}, {literal(table)}, {error}, {literal(name)}"
            statements += [*CREATE_AUDIT, f"INSERT INTO audit.rejected VALUES ({values})"]
        else:
            statements.append(f"INSERT INTO {domain}.{table} VALUES ({', '.join(map(literal, row))})")
    write(script, *statements)
    return len(rows) - len(bad), len(bad)


def audit(
    script: Script,
    step: str,
    domain: str,
    table: str,
    *,
    counts: tuple[int, int, int],
    paths: str = "",
    error: str = "",
) -> None:
    """Writes a row of `audit.audit`."""
    if "audit" in script.told.get("lost", ()):
        return
    job = literal(os.environ.get("SL_JOB_ID", ""))
    named = f"{job}, {literal(paths)}, {literal(domain)}, {literal(table)}, {not error}, {', '.join(map(str, counts))}"
    values = f"{named}, date_trunc('second', localtimestamp), 10, {literal(error)}, '{step}', '', '', localtimestamp"
    write(script, *CREATE_AUDIT, f"INSERT INTO audit.audit VALUES ({values})")


def expect(script: Script, domain: str, table: str, told: dict[str, Any]) -> str:
    """Evaluates expectations and writes their rows; gives the text of those that do not hold."""
    found = told.get("expectations", {})
    if not found or "expectations" in script.told.get("lost", ()):
        return ""
    job, now = literal(os.environ.get("SL_JOB_ID", "")), "date_trunc('second', localtimestamp)"
    statements = list(CREATE_AUDIT)
    for call, sql in found.items():
        named = (
            f"{job}, '', {literal(domain)}, {literal(table)}, {now}, {literal(call)}, {literal(call)}, {literal(sql)}"
        )
        statements.append(f"INSERT INTO audit.expectations SELECT {named}, n, '', n = 0 FROM ({sql}) AS counted (n)")
    write(script, *statements)
    return str(told.get("error", f"ai.starlake.exceptions.ExpectationException: {', '.join(found)}"))


def literal(text: str) -> str:
    """A text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


CREATE_AUDIT = (
    "CREATE SCHEMA IF NOT EXISTS audit",
    "CREATE TABLE IF NOT EXISTS audit.audit (JOBID VARCHAR(255), PATHS TEXT, DOMAIN VARCHAR(255), SCHEMA VARCHAR(255), "
    "SUCCESS BOOLEAN, COUNT BIGINT, COUNTACCEPTED BIGINT, COUNTREJECTED BIGINT, TIMESTAMP TIMESTAMP, DURATION BIGINT, "
    "MESSAGE TEXT, STEP VARCHAR(255), DATABASE VARCHAR(255), TENANT VARCHAR(255), SCHEDULED_DATE TIMESTAMP)",
    "CREATE TABLE IF NOT EXISTS audit.rejected (JOBID VARCHAR(255), TIMESTAMP TIMESTAMP, DOMAIN VARCHAR(255), "
    "SCHEMA VARCHAR(255), ERROR TEXT, PATH TEXT)",
    "CREATE TABLE IF NOT EXISTS audit.expectations (JOBID VARCHAR(255), DATABASE VARCHAR(255), DOMAIN VARCHAR(255), "
    "SCHEMA VARCHAR(255), TIMESTAMP TIMESTAMP, NAME VARCHAR(255), PARAMS TEXT, SQL TEXT, COUNT BIGINT, EXCEPTION TEXT, "
    "SUCCESS BOOLEAN)",
)


def crash(script: Script) -> None:
    """Ends at once, without a last word of its own."""
    err('Exception in thread "main" java.lang.OutOfMemoryError: Java heap space')
    script.note(event="crashed")
    os._exit(1)


def halt(deed: str) -> None:
    """Hangs until a signal comes, or kills itself."""
    if deed == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(60)


def embedded(argv: list[str]) -> int:
    """The embedded engine's command line does the work; its lines are ours."""
    program = os.environ.get("SCRIPTED_EMBEDDED", "starlake-dagster")
    done = subprocess.run([*shlex.split(program), "embedded", *argv], check=False)
    if done.returncode:
        return done.returncode
    return 0


# -------------------------------------------------------------------------------------------------- the console


def console(script: Script) -> int:
    """One process for many commands, read from stdin; ends with 0 in every case."""
    for text in sys.stdin:
        typed = text.strip()
        out(f"> {typed}")
        if typed == "exit":
            return 0
        script.note(event="console", argv=typed.split())
        began = time.monotonic()
        answer(script, typed.split())
        out(f"Time: {int((time.monotonic() - began) * 1000)}ms")
    return 0


def answer(script: Script, argv: list[str]) -> None:
    """What the console prints for one command."""
    if not argv:
        return
    if argv[0] not in OPTIONS:
        out(f"\n{'-' * 50}\n\n{'-' * 50}\nUnknown command {argv[0]}")
        return
    try:
        with held() as printed:
            code = do(script, argv) or 0
    except Refused as refused:
        out(str(refused))
        return
    except Failed as failed:
        if "StarlakeNotFoundException" not in str(failed):
            out(json.dumps({"serve": f"{failed}\n\tat ai.starlake.job.Main.run(Main.scala:1)", "exitCode": 1}))
        return
    told = {} if argv[0] == "transform" else {"serve": "\n".join(printed)}
    out(json.dumps({**told, "exitCode": code}, separators=(",", ":")))


@contextlib.contextmanager
def held() -> Any:
    """What a command prints to stdout is kept, as the console does."""
    import io

    before, sys.stdout = sys.stdout, io.StringIO()
    lines: list[str] = []
    try:
        yield lines
    finally:
        lines.extend(sys.stdout.getvalue().splitlines())
        sys.stdout = before


# -------------------------------------------------------------------------------------------------- the process


def main() -> int:
    """The process."""
    if os.environ.get("SL_HTTP_PORT"):
        err("curl: (7) Failed to connect")
        return 7
    script = Script()
    for name in script.told.get("without", []):
        OPTIONS.pop(name, None)
        OPTIONS.update({command: tuple(one for one in known if one != name) for command, known in OPTIONS.items()})
    argv = sys.argv[1:]
    wanted = script.told.get("variables", [])
    script.note(
        event="start",
        argv=argv,
        parent=os.getppid(),
        group=os.getpgrp(),
        names=sorted(os.environ),
        env={name: os.environ[name] for name in wanted if name in os.environ},
        cwd=os.getcwd(),
    )

    def ended(signum: int, frame: Any) -> None:
        script.note(event="signal", signal=signum)
        if not script.told.get("ignore_term"):
            sys.exit(128 + signum)

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    if script.told.get("orphan"):
        subprocess.Popen(["sleep", "30"])
    time.sleep(script.told.get("startup", 0))
    for text in script.told.get("noise", []):
        sys.stderr.buffer.write(text.encode("latin-1") + b"\n")
        sys.stderr.flush()
    filler = ("26/01/01 00:00:00 INFO Filler: " + "x" * 88 + "\n") * 8192
    for _ in range(script.told.get("noise_megabytes", 0)):
        sys.stderr.write(filler)
    code = run(script, argv)
    script.note(event="end", code=code)
    return code


if __name__ == "__main__":
    sys.exit(main())
