"""Tests of the log."""

from __future__ import annotations

from starlake_dagster_assets.conformance.case import Case
from starlake_dagster_assets.conformance.settings import ConformanceSettings
from starlake_dagster_assets.conformance.stand_in_program import BURST, LINES, LONG, NOT_UTF8, SEPARATORS
from starlake_dagster_assets.environments import Line

__all__ = ["LogTests"]


class LogTests(ConformanceSettings):
    """Tests that all lines are read, whole and in order."""

    def test_each_line_once(self, conformance: Case) -> None:
        """Tests that lines are whole, in order, read once and while the program runs."""
        conformance.program.behave("lines")
        environment = conformance.environment
        execution = environment.submit(conformance.submission())
        found: list[Line] = []
        cursors: dict[int, str | None] = {0: None}

        def has(text: str) -> bool:
            over = environment.status(execution).over
            lines, cursors[-1] = environment.logs(execution, cursors.get(-1))
            found.extend(lines)
            cursors[len(found)] = cursors[-1]
            assert not (over and text in LINES[99]), f"logs did not return {text!r} while the program ran"
            return any(text in line.text for line in found) and (not lines or not over)

        def shown() -> str:
            return f"it returned {len(found)} lines"

        conformance.until(lambda: has("line 99 "), lambda: f"logs to return lines while the program runs; {shown()}")
        conformance.program.proceed()
        conformance.until(
            lambda: has("Main: Successfully"), lambda: f"logs to return the last line of the program; {shown()}"
        )
        texts = [line.text for line in found]
        written = [text for text in texts if ": line" in text]
        assert written == LINES, "each line must be returned once, whole and in order"
        assert len({line.attempt for line in found}) == 1, "`attempt` counts repetitions by the service itself"
        cursors.pop(-1)
        for number, cursor in cursors.items():
            after = [line.text for line in conformance.read_log(execution, cursor)]
            assert after == texts[number:], f"the cursor {cursor!r} must return the lines after it again"

    def test_burst(self, conformance: Case) -> None:
        """Tests that all lines of a burst are read, in order."""
        conformance.program.behave("burst")
        execution = conformance.environment.submit(conformance.submission())
        conformance.ended(execution)
        texts = conformance.whole_log(execution)
        burst = [text for text in texts if "of a burst" in text]
        assert burst == BURST, f"{len(BURST)} lines were written at once; found {len(burst)}, expected all in order"

    def test_unusual_lines(self, conformance: Case) -> None:
        """Tests lines that are long, are not UTF-8 or have no line break at their end."""
        conformance.program.behave("unusual")
        execution = conformance.environment.submit(conformance.submission())
        conformance.ended(execution)
        lines = conformance.whole_log(execution)
        (bad,) = [line for line in lines if "not UTF-8" in line] or ["no line"]
        assert bad.endswith(" end") and "not UTF-8: caf" in bad, (
            f"a line that is not UTF-8 must be returned; found {bad!r}"
        )
        for line in conformance.read_log(execution):
            expected = (None, NOT_UTF8) if "not UTF-8" in line.text else (None,)
            assert line.raw in expected, f"`raw` must be the bytes of a line that is not UTF-8; found {line.raw!r}"
        assert SEPARATORS in lines, "only a line break ends a line; use split('\\n') and not splitlines()"
        start = LONG[: self.longest_line]
        (long,) = [line for line in lines if line.startswith(LONG[:100])] or ["no line"]
        assert long.startswith(start), f"a line of {len(LONG):,} characters must be returned; found {len(long):,}"
        assert self.longest_line is not None or long == LONG, "the line has other characters at its end"
        last = f"Main: Successfully {' '.join(conformance.command().argv)}"
        assert lines[-1].endswith(last), f"the last line has no line break, and must be returned; found {lines[-1]!r}"
