"""Polls the status of one remote execution, also during outages and rejected calls of its service."""

from __future__ import annotations

from starlake_dagster_assets.errors import RunnerError, UnreachableError
from starlake_dagster_assets.execution.backends.remote.calls import TimeSource
from starlake_dagster_assets.execution.backends.remote.protocol import Environment, Policy, Status
from starlake_dagster_assets.execution.backends.remote.response_validation import classify_error, read_status

__all__ = ["StatusPoll"]

_PATIENCE = 60
"""Seconds without an answer of the service after which a warning is reported."""
_FAILED_READS = 5
"""Minimum number of failed reads in a row in an outage that lasts too long: a suspended process reads nothing."""


class StatusPoll:
    """Reader of the status of one execution. An unreadable status cancels nothing.

    Args:
        environment: The service.
        execution: Id of the execution.
        policy: For how long it may be unreadable, or unknown to the service.
        clock: Source of the time.
        url: URL of the execution's page, for people.
        is_recorded: Whether the execution is recorded, so that a retry of the step finds it.
    """

    def __init__(
        self,
        environment: Environment,
        execution: str,
        policy: Policy,
        clock: TimeSource,
        url: str = "",
        *,
        is_recorded: bool = False,
    ) -> None:
        self._environment = environment
        self._execution = execution
        self._policy = policy
        self._clock = clock
        self._url = url
        self._next_step = (
            ", and a retry of the step adopts it."
            if is_recorded
            else ", and is not recorded. Next: wait for its end, or end it in the service, before you run it again."
        )
        self._unreadable: float | None = None
        self._failed_reads = 0
        self._missing: float | None = None
        self._warned = False
        self._causes: set[str] = set()
        self._notes: list[tuple[str, str]] = []

    def read_status(self) -> Status | None:
        """Reads the status once.

        Returns:
            The status; None while it cannot be read. An execution that the service does not know is pending for the
            grace time of the policy.

        Raises:
            UnreachableError: It could not be read for longer than an outage may take, nor by five reads in a row; the
                execution may go on.
        """
        try:
            status = read_status(self._environment, self._execution)
        except Exception as error:
            self._count_rejection(error)
            return None
        if self._warned and self._unreadable is not None:
            seconds = self._clock.now() - self._unreadable
            self._notes.append(("INFO", f"the state of {self._execution} was not readable for {seconds:.0f} seconds"))
        self._unreadable, self._failed_reads, self._warned = None, 0, False
        return self._final_status(status)

    @property
    def missing(self) -> bool:
        """Whether the service did not know the execution at the last read."""
        return self._missing is not None

    def notes(self) -> list[tuple[str, str]]:
        """Returns the messages since the last call, as level and text."""
        notes, self._notes = self._notes, []
        return notes

    def _final_status(self, status: Status) -> Status:
        if status.state != "lost":
            self._missing = None
            self._note_cause(status)
            return status
        if self._missing is None:
            self._missing = self._clock.now()
        young = self._clock.now() - self._missing < self._policy.grace
        return Status("pending", None, "", status.url) if young else status

    def _note_cause(self, status: Status) -> None:
        """Adds a message about the reason why an execution does not start, once per cause."""
        cause = "".join(char for char in status.reason if not char.isdigit())
        if status.state == "pending" and cause and cause not in self._causes:
            self._causes.add(cause)
            self._notes.append(("WARN", f"{self._execution} does not start yet: {status.reason}"))

    def _count_rejection(self, error: Exception) -> None:
        now = self._clock.now()
        error_class = None if isinstance(error, RunnerError) else classify_error(self._environment, error)
        text = str(error) if error_class is None else error_class.text
        if self._unreadable is None:
            self._unreadable = now
        self._failed_reads += 1
        seconds = now - self._unreadable
        if seconds >= self._policy.outage and self._failed_reads >= _FAILED_READS:
            raise UnreachableError(
                f"{self._environment.name}: the state of {self._execution} is unknown for {seconds:.0f} seconds: "
                f"{_sentence(text)} Nothing was cancelled: it may go on{self._next_step} {self._url}".rstrip()
            ) from error
        denied = error_class is not None and error_class.kind == "denied"
        stays = denied or error_class is None
        if denied:
            self._environment.refresh()
        if not self._warned and (stays or seconds >= _PATIENCE):
            self._warned = True
            self._notes.append(
                (
                    "WARN",
                    f"the state of {self._execution} cannot be read: {_sentence(text)} It may go on; nothing is "
                    "cancelled.",
                )
            )


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."
