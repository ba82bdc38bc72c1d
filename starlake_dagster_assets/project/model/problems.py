"""Problems found while loading or checking a project, collected instead of raised."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["INVALID_SCHEDULE", "UNKNOWN_STRATEGY", "Problem"]

INVALID_SCHEDULE = "invalid-schedule"
"""Code of a schedule that cannot be read: the object is loaded without it, and only schedules fail."""

UNKNOWN_STRATEGY = "unknown-strategy"
"""Code of an unknown write strategy: the object is loaded, and each write to it fails."""


class Problem(BaseModel):
    """A problem of a project, with its position, what was found and expected, and the next step.

    Attributes:
        file: Posix path relative to the project root.
        line: 1-based line, None if it is not known.
        column: 1-based column of the line, for SQL; None if it is not known.
        key: Dotted path of the YAML key (`table.attributes.0.type`); "" if there is none.
        message: What was found and what was expected.
        hint: The next step; "" if the message is enough.
        severity: `error` stops the object that the file describes; `warning` does not.
        code: A stable word for machines, such as `unknown-key`, `missing-file`, `lineage-differs`.
    """

    model_config = ConfigDict(frozen=True)

    file: str
    line: int | None = None
    column: int | None = None
    key: str = ""
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    code: str

    @property
    def stops_object(self) -> bool:
        """Whether the object that the file describes cannot be used."""
        return self.severity == "error" and self.code not in {INVALID_SCHEDULE, UNKNOWN_STRATEGY}

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        what = f"{self.key}: {self.message}" if self.key else self.message
        return f"{where}: {what}" + (f" {self.hint}" if self.hint else "")
