"""Secrets in texts that others can read."""

import pytest

from starlake_dagster_assets.command.source import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://bob:other$3cret@h:5432/db is down", "postgresql://bob:***@h:5432/db is down"),
        (
            "jdbc:postgresql://h/db?user=u&password=other$3cret failed",
            "jdbc:postgresql://h/db?user=u&password=*** failed",
        ),
        ("known value: hunter2", "known value: ***"),
        ("https://h/path?day=1 at 12:30 of user@host", "https://h/path?day=1 at 12:30 of user@host"),
    ],
)
def test_known_values_and_passwords_in_urls_are_hidden(text: str, shown: str):
    assert redact(text, frozenset({"hunter2"})) == shown
