"""Run config of a step, as set in the launchpad."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import Field

from starlake_dagster_assets.errors import CommandError

__all__ = ["LaunchSettings", "StarlakeRunConfig"]


class StarlakeRunConfig(dg.Config):
    """Run config of the steps of a Starlake project.

    The steps of `build_definitions` and `build_starlake_assets` accept it. To use it in a function that is decorated
    with `starlake_assets`, add a parameter of this type: `starlake.run(context)` reads it.

    Examples:
        ::

            @starlake_assets(project=project)
            def starbake(context: dg.AssetExecutionContext, starlake: StarlakeResource, config: StarlakeRunConfig):
                yield from starlake.run(context)
    """

    full_refresh: bool = Field(
        default=False,
        description="Empty the tables of APPEND transforms before their rows are inserted (`--truncate true`). "
        "It has no effect on loads and on transforms with another write strategy.",
    )
    options: dict[str, str] = Field(
        default_factory=dict,
        description="Variables of the transforms (`--options`); they take precedence over all others.",
    )
    scheduled_date: str | None = Field(
        default=None,
        description="`--scheduledDate` of loads and transforms, an ISO date such as 2026-01-31 or "
        "2026-01-31T06:00:00+01:00; without an offset, in the time zone of the project.",
    )


@dataclass(frozen=True)
class LaunchSettings:
    """Settings of one launch, as read from its run config.

    Attributes:
        full_refresh: Whether to empty the tables of APPEND transforms first.
        options: Variables of the transforms.
        scheduled_date: An ISO date as text; None if none was set.
    """

    full_refresh: bool = False
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    scheduled_date: str | None = None

    @classmethod
    def of(cls, config: StarlakeRunConfig) -> "LaunchSettings":
        """Returns the settings of a run config."""
        return cls(config.full_refresh, dict(config.options), config.scheduled_date)

    def scheduled_moment(self, timezone: str) -> datetime | None:
        """Returns the scheduled date with a time zone; None if none was set.

        Args:
            timezone: The time zone of a date without an offset.

        Raises:
            CommandError: When the text is not an ISO date.
        """
        text = (self.scheduled_date or "").strip()
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1] in "zZ" else text)
        except ValueError as error:
            raise CommandError(
                f"Run config `scheduled_date`: {text!r} is not a date. Pass an ISO date such as 2026-01-31 or "
                "2026-01-31T06:00:00+01:00."
            ) from error
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(timezone))
