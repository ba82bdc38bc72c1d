"""A worker in a process of its own, which is killed while its command runs."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

__all__ = ["main"]


def main() -> None:
    """Starts a command that does not end; says so once it is at work.

    The module of the subject, its name and the directory of the test are on the command line.
    """
    module, name, work = sys.argv[1:]
    subjects = importlib.import_module(f"tests.conformance.{module}").SUBJECTS
    (subject,) = [one for one in subjects if one.name == name]
    with pytest.MonkeyPatch.context() as monkeypatch, subject.open(Path(work), monkeypatch) as running:
        handle = running.runner().start(running.prepare("hang"))
        for line in handle.lines():
            if "Ingest resolved" in line.text or "Transforming" in line.text:
                print("at work", flush=True)


if __name__ == "__main__":
    main()
