"""Names of variables and options that hold secrets."""

from __future__ import annotations

import re

__all__ = ["is_secret_name"]

_SECRET = re.compile(
    r"passw|passphrase|(?<!by)pass(?![a-z]|[-_]through)|pwd|secret|token|credential|jsonkeyfile|(?<![a-z])sas(?![a-z])"
    r"|(?:api|private|access|account|encryption)[-_.]?key"
    r"|basic[-_.]?auth(?![-_.]?(?:user|enable|realm))|(?:http|proxy|registry|docker)[-_.]?auth(?![a-z])|authorization$",
    re.I,
)


def is_secret_name(name: str) -> bool:
    """Whether a variable or an option of that name holds a secret."""
    return _SECRET.search(name) is not None
