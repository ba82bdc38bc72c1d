"""What a remote environment must be able to do, so that one loop can drive them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

from starlake_dagster_assets.command.model import Command, Line
from starlake_dagster_assets.command.source import names_secret
from starlake_dagster_assets.errors import RunnerError

__all__ = ["Environment", "Policy", "State", "Status", "Submission", "Verdict", "refuse_secrets"]

_LONG = 8
State = Literal["pending", "running", "succeeded", "failed", "cancelled", "lost"]


@dataclass(frozen=True)
class Submission:
    """A command on its way to an environment.

    Attributes:
        command: What is run.
        key: Idempotency: the same for every try of one attempt, another one for a deliberate retry.
        labels: Who asked; each environment makes them fit its own rules.
        timeout: Seconds after which the environment itself should stop the execution; None = never.
    """

    command: Command
    key: str
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    timeout: float | None = None


@dataclass(frozen=True)
class Status:
    """How an execution is doing.

    Attributes:
        state: `lost` when the environment does not know it any more.
        exit_code: Of the program; None while it runs, and where it never came to one.
        reason: Why it did not succeed, in the environment's words.
        url: Where a person looks at it.
    """

    state: State
    exit_code: int | None = None
    reason: str = ""
    url: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in ("pending", "running")


@dataclass(frozen=True)
class Verdict:
    """What an error of a call means.

    Attributes:
        kind: `retry`: surely nothing happened, try again; `ambiguous`: it may have happened, look first; `fatal`: it
            will not work the next time either.
        text: The error in words that help.
    """

    kind: Literal["retry", "ambiguous", "fatal"]
    text: str


@dataclass(frozen=True)
class Policy:
    """How an execution is watched. All times are seconds.

    Attributes:
        poll: Between two looks at first.
        longest_poll: Between two looks of an execution that says nothing for long.
        timeout: After which an execution is cancelled; None = never.
        attempts: How often a call is tried.
        longest_pause: Between two tries of a call.
        settle: How long lines may come late after the end.
        cancelling: How long a cancelled execution may take to end.
    """

    poll: float = 5
    longest_poll: float = 30
    timeout: float | None = None
    attempts: int = 6
    longest_pause: float = 30
    settle: float = 10
    cancelling: float = 120


class Environment(Protocol):
    """A service that runs commands. Every call may fail; `verdict` says what the failure means."""

    @property
    def name(self) -> str:
        """Its name, such as `cloud_run`."""
        ...

    def submit(self, submission: Submission) -> str:
        """Starts an execution; gives its id as soon as the service has accepted it."""
        ...

    def find(self, submission: Submission) -> str | None:
        """The execution that already carries the key of a submission."""
        ...

    def status(self, execution: str) -> Status:
        """How an execution is doing."""
        ...

    def logs(self, execution: str, cursor: str | None) -> tuple[Sequence[Line], str | None]:
        """The lines after a cursor that are there now, and the next cursor."""
        ...

    def cancel(self, execution: str) -> None:
        """Asks for the end of an execution; one that is over is no error."""
        ...

    def verdict(self, error: Exception) -> Verdict:
        """What an error of one of these calls means."""
        ...

    def close(self) -> None:
        """The step is over: what was held for it is given up."""
        ...


def refuse_secrets(command: Command, environment: str) -> None:
    """Raises where an option holds a secret: what an execution was told can be read by whoever may look at it.

    Args:
        command: On its way.
        environment: Where to.

    Raises:
        RunnerError: Names the option, and not its value.
    """
    given = zip(command.args, command.args[1:], strict=False)
    pairs = [pair.partition("=") for name, value in given if name == "--options" for pair in value.split(",")]
    for name, _, value in pairs:
        if names_secret(name) or any(_holds(value, secret) for secret in command.secrets):
            raise RunnerError(
                f"{environment}: the option `{name}` of {command.name} looks like a secret, and anyone who may look at "
                "an execution could read it. Give it to the service through its own secret store instead."
            )


def _holds(value: str, secret: str) -> bool:
    """Whether a value gives a secret away; a short one may well be part of an innocent word."""
    return secret == value or (len(secret) >= _LONG and secret in value)
