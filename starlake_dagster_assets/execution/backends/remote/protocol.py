"""Protocol of a remote environment, so that one loop can drive all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

from starlake_dagster_assets.commands.model import Command, Line
from starlake_dagster_assets.commands.redaction import contains_secret
from starlake_dagster_assets.errors import RunnerError
from starlake_dagster_assets.project.model.secret_names import is_secret

__all__ = ["Environment", "ErrorClass", "Policy", "State", "Status", "Submission", "validate_no_secret_options"]

ErrorKind = Literal["retry", "ambiguous", "denied", "fatal"]
State = Literal["pending", "running", "succeeded", "failed", "cancelled", "lost"]


@dataclass(frozen=True)
class Submission:
    """A command that is submitted to an environment.

    Attributes:
        command: The command to run.
        key: Idempotency key: the same for every try of one attempt, another one for a deliberate retry.
        labels: The run and step that requested it; each environment adapts them to its own rules.
        timeout: Seconds after which the environment itself should stop the execution; None = never.
        is_needed: Returns whether the execution is still needed; called again after a long preparation.
    """

    command: Command
    key: str
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    timeout: float | None = None
    is_needed: Callable[[], bool] = lambda: True

    def confirm(self) -> None:
        """Raises an error if the execution is no longer needed; called right before it is requested.

        Raises:
            RunnerError: When the caller was interrupted.
        """
        if not self.is_needed():
            raise RunnerError(f"{self.command.name}: interrupted before it was submitted")


@dataclass(frozen=True)
class Status:
    """State of an execution.

    Attributes:
        state: `lost` if the environment does not know the execution any more.
        exit_code: Exit code of the program; None while it runs, or if it ended without one.
        reason: Why it did not succeed or does not start, as the environment reports it.
        url: Its page in the console of the service.
        started: Whether the program may have run; False if its container never started.
    """

    state: State
    exit_code: int | None = None
    reason: str = ""
    url: str = ""
    started: bool = True

    @property
    def over(self) -> bool:
        """Whether the state is final."""
        return self.state not in ("pending", "running")


@dataclass(frozen=True)
class ErrorClass:
    """Classification of an error of a call.

    Attributes:
        kind: `retry`: surely nothing happened, try again; `ambiguous`: it may have happened, look first; `denied`: the
            credentials are expired or have no permission, try again with new ones; `fatal`: it will not work the next
            time either.
        text: Message about the error for users.
        retry_after: Seconds for which the service asks to wait before the next call, such as `Retry-After`; up to
            `Policy.longest_pause` of them are waited for.
    """

    kind: ErrorKind
    text: str
    retry_after: float = 0


@dataclass(frozen=True)
class Policy:
    """Times for watching an execution, in seconds.

    Attributes:
        poll: Between two reads of the status at first.
        longest_poll: Between two reads of an execution without new lines.
        timeout: After which an execution is cancelled; None = never.
        starting: For which a submission is repeated when the service throttles, has no capacity or does not answer.
        outage: For which the status of an execution may be unreadable.
        grace: For which the service may not know an execution: its answers are eventually consistent.
        longest_pause: Between two tries of a call.
        settle: For which the end marker of the log is waited for after the end of an execution.
        cancelling: For which a cancelled execution may take to end.
    """

    poll: float = 5
    longest_poll: float = 30
    timeout: float | None = None
    starting: float = 600
    outage: float = 600
    grace: float = 60
    longest_pause: float = 30
    settle: float = 60
    cancelling: float = 120


class Environment(Protocol):
    """A service that runs commands. Every call may fail; `classify_error` classifies the failure.

    If the attribute `is_idempotent` is true, a submission with the same key starts no second execution.
    """

    @property
    def name(self) -> str:
        """Name of the environment, such as `cloud_run`."""
        ...

    def submit(self, submission: Submission) -> str:
        """Starts an execution; returns its id as soon as the service has accepted it."""
        ...

    def find(self, submission: Submission) -> str | None:
        """Returns the execution that already has the key of a submission."""
        ...

    def status(self, execution: str) -> Status:
        """Returns the state of an execution."""
        ...

    def logs(self, execution: str, cursor: str | None) -> tuple[Sequence[Line], str | None]:
        """Returns the lines after a cursor that exist now, and the next cursor."""
        ...

    def cancel(self, execution: str) -> None:
        """Requests the end of an execution; one that has ended is not an error."""
        ...

    def classify_error(self, error: Exception) -> ErrorClass:
        """Classifies an error of one of these calls."""
        ...

    def refresh(self) -> None:
        """Creates new clients, with the credentials that are valid now."""
        ...

    def close(self) -> None:
        """Releases the resources that were kept for the step, at the end of the step."""
        ...


def validate_no_secret_options(command: Command, environment: str) -> None:
    """Raises an error if an option holds a secret: the arguments of an execution are visible in the service.

    Args:
        command: The command to submit.
        environment: Name of the environment.

    Raises:
        RunnerError: Names the option, and not its value.
    """
    advice = "Give it to the service through its own secret store instead."
    neighbours = zip(command.args, command.args[1:], strict=False)
    pairs = [pair.partition("=") for name, value in neighbours if name == "--options" for pair in value.split(",")]
    for name, _, value in pairs:
        if is_secret(name, value) or contains_secret(value, command.secrets):
            raise RunnerError(
                f"{environment}: the option `{name}` of {command.name} looks like a secret, and anyone who may look at "
                f"an execution could read it. {advice}"
            )
    for name, value in command.env.items():
        if contains_secret(value, command.secrets) or contains_secret(name, command.secrets):
            raise RunnerError(
                f"{environment}: a variable of {command.name} has a secret or a URL with a password, and anyone who "
                f"may look at an execution could read it. {advice}"
            )
    for number, value in enumerate(command.args, start=1):
        if contains_secret(value, command.secrets):
            raise RunnerError(
                f"{environment}: argument {number} of {command.name} has a secret or a URL with a password, and anyone "
                f"who may look at an execution could read it. {advice}"
            )
    if any(contains_secret(text, command.secrets) for text in command.overrides):
        raise RunnerError(
            f"{environment}: a setting of {command.name} for this table has a secret or a URL with a password, and "
            f"anyone who may look at an execution could read it. {advice}"
        )
    for name, value in command.spark.items():
        if is_secret(name, value) or contains_secret(value, command.secrets):
            raise RunnerError(
                f"{environment}: the Spark property `{name}` of {command.name} looks like a secret, and anyone who may "
                f"look at an execution could read it. {advice}"
            )
