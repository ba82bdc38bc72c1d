"""The scripted `starlake` from a test's side: what it is told, and what it noted of each process."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from starlake_dagster_assets.conformance.stand_in_program import is_alive

__all__ = ["Call", "Scripted", "descendants", "wait_for_end"]

PROGRAM = Path(__file__).with_name("scripted_starlake.py")


@dataclass(frozen=True)
class Call:
    """One process that was started.

    Attributes:
        argv: Its arguments.
        pid: Its pid.
        names: Names of its environment variables.
        env: Values of those that the script journals.
        cwd: Its directory.
        group: Its process group.
        console: The commands that it was given on stdin.
        signals: The signals that it saw.
        code: Its exit code; None where it never came to say.
    """

    argv: tuple[str, ...]
    pid: int
    names: frozenset[str]
    env: Mapping[str, str]
    cwd: str
    group: int
    console: tuple[tuple[str, ...], ...] = ()
    signals: tuple[int, ...] = ()
    code: int | None = None


@dataclass
class Scripted:
    """A `starlake` of a test.

    Attributes:
        work: Where its files are.
        told: What it is told; see `scripted_starlake`.
    """

    work: Path
    told: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        self.path = self.work / "starlake"
        self.journal = self.work / "journal.jsonl"
        self._script = self.work / "script.json"
        # As the real launcher it does not exec: the program is a child of a shell.
        self.path.write_text(f'#!/bin/sh\n"{sys.executable}" -I -S "{PROGRAM}" "$@"\nexit $?\n')
        self.path.chmod(0o755)
        self.told.setdefault("journal", str(self.journal))
        self.told.setdefault("variables", ["SL_ROOT", "SL_ENV", "SL_JOB_ID", "SL_LOG_LEVEL"])
        self.save()

    @property
    def environ(self) -> dict[str, str]:
        """Variables that the program needs."""
        program = shlex.join([sys.executable, "-c", "from starlake_dagster_assets.cli import main; main()"])
        return {"SCRIPTED_STARLAKE": str(self._script), "SCRIPTED_EMBEDDED": program}

    def tell(self, **told: Any) -> Scripted:
        """Changes what it is told."""
        self.told.update(told)
        self.save()
        return self

    def tables(self, tables: Mapping[str, Mapping[str, Any]]) -> Scripted:
        """What becomes of tables, by `domain.table`."""
        return self.tell(tables=dict(tables))

    def tasks(self, tasks: Mapping[str, Mapping[str, Any]]) -> Scripted:
        """What becomes of tasks, by name."""
        return self.tell(tasks=dict(tasks))

    def save(self) -> None:
        """Writes the script, whole."""
        text = self._script.with_suffix(".new")
        text.write_text(json.dumps(self.told))
        text.replace(self._script)

    def calls(self, *names: str) -> list[Call]:
        """The processes that were started, in order; of some commands only where they are named."""
        if not self.journal.exists():
            return []
        notes = [json.loads(line) for line in self.journal.read_text().splitlines()]
        starts = [note for note in notes if note["event"] == "start"]
        calls = [self._call(note, [one for one in notes if one["pid"] == note["pid"]]) for note in starts]
        return [call for call in calls if not names or call.argv[:1] in {(name,) for name in names}]

    @staticmethod
    def _call(start: Mapping[str, Any], notes: Sequence[Mapping[str, Any]]) -> Call:
        return Call(
            argv=tuple(start["argv"]),
            pid=start["pid"],
            names=frozenset(start["names"]),
            env=start["env"],
            cwd=start["cwd"],
            group=start["group"],
            console=tuple(tuple(note["argv"]) for note in notes if note["event"] == "console"),
            signals=tuple(note["signal"] for note in notes if note["event"] == "signal"),
            code=next((note["code"] for note in notes if note["event"] == "end"), None),
        )


def wait_for_end(pid: int) -> None:
    """Waits for the end of a process: a container closes its log shortly before its last process is gone."""
    while is_alive(pid):
        Event().wait(0.01)


def descendants(pid: int) -> set[int]:
    """The processes that a process started, and theirs."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found: set[int] = set()
    while new := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= new
    return found
