"""Options of each command, and the parser of a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from starlake_dagster_assets.errors import CommandError, closest_match

__all__ = ["COMMANDS", "Arguments", "Option", "UsageError", "read", "usage"]

OptionKind = Literal["text", "list", "map", "flag", "bool", "int"]


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes:
        name: Its name without dashes.
        kind: Kind of its value: `flag` has none, `list` is `a,b`, `map` is `k=v,k2=v2`.
        required: Whether the command needs it.
        supported: Whether the embedded engine supports it; otherwise it is an error.
    """

    name: str
    kind: OptionKind = "text"
    required: bool = False
    supported: bool = True


@dataclass(frozen=True)
class CommandGrammar:
    """A command: its purpose and its options."""

    summary: str
    options: tuple[Option, ...]


_COMMON = (Option("options", "map"), Option("reportFormat"))


def _unsupported(*names: str, kind: OptionKind = "text") -> tuple[Option, ...]:
    return tuple(Option(name, kind, supported=False) for name in names)


COMMANDS: Mapping[str, CommandGrammar] = {
    "stage": CommandGrammar(
        "Move the files of the incoming directories to the stage area.",
        (Option("domains", "list"), Option("tables", "list"), *_COMMON),
    ),
    "preload": CommandGrammar(
        "Check for new files in the landing area and prepare them for loading.",
        (
            Option("domain", required=True),
            Option("tables", "list"),
            Option("strategy"),
            Option("globalAckFilePath"),
            Option("notReadySentinel"),
            *_COMMON,
        ),
    ),
    "load": CommandGrammar(
        "Load the files of the stage area into their tables.",
        (
            Option("domains", "list"),
            Option("tables", "list"),
            Option("files", "list"),
            Option("scheduledDate"),
            Option("accessToken"),
            *_unsupported("inPlace", "test", kind="flag"),
            *_unsupported("primaryKeys", kind="list"),
            *_COMMON,
        ),
    ),
    "transform": CommandGrammar(
        "Run a task.",
        (
            Option("name", required=True),
            Option("compile", "flag"),
            Option("recursive", "flag"),
            Option("truncate", "bool"),
            Option("scheduledDate"),
            Option("accessToken"),
            Option("reload", "flag"),
            *_unsupported("sync-apply", "sync-preview", "test", "format", "dry-run", kind="flag"),
            *_unsupported("interactive", "query", "action"),
            *_unsupported("tags", kind="list"),
            *_unsupported("pageSize", "pageNumber", kind="int"),
            *_COMMON,
        ),
    ),
    "settings": CommandGrammar("Test a connection.", (Option("test-connection"), *_COMMON)),
    "validate": CommandGrammar("List the problems of the project.", (Option("reload", "flag"), *_COMMON)),
}
_ALIASES = {"load": {"include": "tables", "schemas": "tables"}}


class UsageError(CommandError):
    """Error of an invalid command line.

    Args:
        command: The command.
        messages: Problems of the command line, one per line.
    """

    def __init__(self, command: str, messages: Sequence[str]) -> None:
        self.command = command
        self.messages = tuple(messages)
        super().__init__("\n".join(messages))


@dataclass(frozen=True)
class Arguments:
    """Values of a command line, by option."""

    texts: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]
    flags: frozenset[str]
    variables: Mapping[str, str]

    def text(self, name: str) -> str | None:
        """Returns an option's text; None if it was not given."""
        return self.texts.get(name)

    def items(self, name: str) -> tuple[str, ...] | None:
        """Returns an option's list; None if it was not given."""
        return self.lists.get(name)


def usage(command: str) -> str:
    """Returns the help of a command."""
    spec = COMMANDS[command]
    shown = {"list": " value1,value2,value3 ...", "map": " k1=v1,k2=v2...", "flag": "", "bool": " true|false"}
    lines = [f"  --{option.name}{shown.get(option.kind, ' <value>')}" for option in spec.options]
    return "\n".join([f"Usage: starlake {command} [options]", "", spec.summary, *lines])


def read(command: str, argv: Sequence[str]) -> Arguments:
    """Reads the arguments of a command.

    Raises:
        UsageError: An option is unknown or not supported by the embedded engine, or its value is missing or invalid.
    """
    specs = {option.name: option for option in COMMANDS[command].options}
    aliases = _ALIASES.get(command, {})
    reader = _Reader(command, specs, aliases)
    words = list(argv)
    while words:
        reader.take(words)
    return reader.finish()


class _Reader:
    def __init__(self, command: str, specs: Mapping[str, Option], aliases: Mapping[str, str]) -> None:
        self._command = command
        self._specs = specs
        self._aliases = aliases
        self._errors: list[str] = []
        self._texts: dict[str, str] = {}
        self._lists: dict[str, tuple[str, ...]] = {}
        self._flags: set[str] = set()
        self._variables: dict[str, str] = {}

    def take(self, words: list[str]) -> None:
        word = words.pop(0)
        if not word.startswith("--"):
            self._errors.append(f"Error: Unknown argument '{word}'")
            return
        name, equals, value = word[2:].partition("=")
        option = self._specs.get(self._aliases.get(name, name))
        if option is None:
            guess = closest_match(name, [*self._specs, *self._aliases])
            self._errors.append(f"Error: Unknown option --{name}" + (f"; did you mean --{guess}?" if guess else ""))
        elif option.kind == "flag":
            self._flag(option)
        elif equals or words:
            self._store(option, value if equals else words.pop(0))
        else:
            self._errors.append(f"Error: Missing value after --{name}")

    def finish(self) -> Arguments:
        for option in self._specs.values():
            if option.required and option.name not in self._texts:
                self._errors.append(f"Error: Missing option --{option.name}")
        if self._errors:
            raise UsageError(self._command, self._errors)
        return Arguments(self._texts, self._lists, frozenset(self._flags), self._variables)

    def _flag(self, option: Option) -> None:
        if self._supported(option):
            self._flags.add(option.name)

    def _supported(self, option: Option) -> bool:
        if not option.supported:
            self._errors.append(f"Error: --{option.name} is not supported by the embedded engine")
        return option.supported

    def _store(self, option: Option, value: str) -> None:
        if not self._supported(option):
            return
        if option.kind == "map":
            self._map(option, value)
        elif option.kind == "list":
            self._lists[option.name] = tuple(value.split(","))
        elif option.kind == "bool":
            self._boolean(option, value)
        else:
            self._texts[option.name] = value

    def _map(self, option: Option, value: str) -> None:
        for pair in value.split(","):
            key, equals, text = pair.partition("=")
            if not equals or not key:
                self._errors.append(
                    f"Error: Option --{option.name} failed when given '{value}'. Expected a key=value pair"
                )
                return
            self._variables[key] = text

    def _boolean(self, option: Option, value: str) -> None:
        if value.lower() not in {"true", "false", "yes", "no", "1", "0"}:
            self._errors.append(f"Error: Option --{option.name} failed when given '{value}'. Expected true or false")
        elif value.lower() in {"true", "yes", "1"}:
            self._flags.add(option.name)
