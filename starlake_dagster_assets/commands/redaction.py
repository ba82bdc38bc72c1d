"""Finds and redacts secrets of a project in text."""

from __future__ import annotations

import re
from collections.abc import Collection

from starlake_dagster_assets.commands.secret_encodings import masked
from starlake_dagster_assets.project.model.project import Project
from starlake_dagster_assets.project.model.secret_names import is_secret, is_secret_name, is_secret_reference

__all__ = ["contains_secret", "find_secrets", "redact", "secrets_of"]

_IN_URL = re.compile(
    r"(?:passw\w*|pwd|token|secret[\w.]*|account\.key[\w.-]*|(?<=[?&])sig)=([^&;\s]+)|://[^/@:\s]*:([^@/\s]+)@"
    r"|\"(?:passw\w*|pwd|token|secret\w*)\"\s*:\s*\"([^\"]+)\""
    r"|jdbc:oracle:\w+:[^/@:\s]+/([^@\s]+)@"
    r"|(?<![\w-])(?:password|passwd|passphrase|pwd|(?:client|api)[-_ ]?(?:secret|key))[\"']?:\s+[\"']?([^\"'\s,;}]+)"
    r"|\bcurl\b[^|;&\n]*?\s(?:-u|--user|--proxy-user)[\s=]*[\"']?[^\s:\"']*:([^\s\"']+)"
    r"|(?<![\w/:.@-])(?!mailto:)[\w.-]+:([^\s/@:]+)@(?!sha\d+:)[\w.-]+[:/]",  # user:password@registry/image
    re.I,
)
_ASSIGNMENT = re.compile(r"(?<![\w.?&;-])([\w.-]+)=(?=([^&;,\s]+))")
"""Assignment in a command; a parameter of a URL is used as it is, and never a path or a name of a secret."""
_KEY_MATERIAL = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?:-----[\w+/=\s\\]*)?|\bA(?:KIA|SIA)[0-9A-Z]{12,}\b|\bgh[pousr]_[A-Za-z0-9]{36,}"
    r"|\bya29\.[\w-]{20,}"
    r"|(?i:AccountKey=([\w+/]{8,}=*))|hooks\.slack\.com/services/(\w+/\w+/\w+)|\bBearer\s+([\w.~+/-]{16,})"
    r"|\beyJ[\w-]{6,}\.[\w-]{6,}\.[\w-]{6,}"  # JSON Web Token
    r"|\b(?:eyJ0eXBlI|ewogICJ0eXBlI)[\w+/]{20,}"  # JSON key of Google Cloud in base64
    r"|(?i:\bAuthorization[\"'\\]*\s*[:=]\s*[\"'\\]*(?:Bearer|Basic|Token)\s+([\w.~+/-]{8,}))"
    # parameter of CREATE SECRET in DuckDB; `secret` alone may be a column
    r"|(?im:(?:[,(]|^)\s*(?:(?:client_)?secret|password|(?:\w+_)?token)\s+'(?![$%<*]|\{\{)([^'\n]{4,})'(?=\s*(?:[,)]|$)))"
    # a tag such as `api_token:x1y2z3`; no type of a column
    r"|(?i:(?<![\w-])(?:api|access|auth|refresh)[-_]?token:(?=[\w.~+/-]*\d|[\w.~+/-]{16})([\w.~+/-]{6,}))"
)
"""Secrets that are recognized by their form; if a group matches, it is the secret without its name."""
_MAY_HIDE = re.compile(
    r"[=@]|passw|pwd|phrase|secret|key|curl|-----|akia|asia|gh[pousr]_|ya29|slack|bearer|eyj|ewog|authoriz|token", re.I
)
"""Characters and words that are fast to find; each text that `_IN_URL` or `_KEY_MATERIAL` matches has one of them."""
_KEY_LINE = re.compile(r"^[A-Za-z0-9+/]{32,}=*$", re.M)
"""Line of a private key: a log may print the lines of a key one by one."""
_PLACEHOLDERS = ("$", "{{", "%", "<", "*")
_LONG = 8
_SHORTEST = 4
"""Minimum length of redacted values: shorter values also occur in ordinary text."""


def contains_secret(text: str, secrets: Collection[str] = ()) -> bool:
    """Whether a text reveals a secret: a URL with a password, a private key, or a known secret in any form.

    Args:
        text: The text. A placeholder for a password, such as `${PASSWORD}`, is not a secret.
        secrets: Values that are known to be secret; a short one counts only if it is the whole text.
    """
    if find_secrets(text, secrets):
        return True
    shown = ((one, masked(text, one)) for one in secrets if one)
    return any(hidden == "***" or (len(one) >= _LONG and hidden != text) for one, hidden in shown)


def find_secrets(text: str, secrets: Collection[str] = ()) -> frozenset[str]:
    """Returns the parts of a text that reveal secrets; see `contains_secret`.

    Args:
        text: The text.
        secrets: Values that are known to be secret.
    """
    in_urls = {
        part for match in _IN_URL.finditer(_ASSIGNMENT.sub(_without_reference, text)) for part in match.groups() if part
    }
    found = {part for part in in_urls if not part.startswith(_PLACEHOLDERS)}
    found |= {match[0] for match in _KEY_MATERIAL.finditer(text)}
    return frozenset(found | {one for one in secrets if one == text or (len(one) >= _LONG and one in text)})


def secrets_of(project: Project) -> frozenset[str]:
    """Returns the values to redact: connection options and variables with secret names, and secrets in other values."""
    pairs = [*project.variables.items()]
    for connection in project.application.connections.values():
        pairs.extend(connection.options.items())
    found = [value for key, value in pairs if is_secret(key, value)]
    for _, value in pairs:
        found += [_secret_in(match) for match in (*_IN_URL.finditer(value), *_KEY_MATERIAL.finditer(value))]
    found += [line for value in found for line in _KEY_LINE.findall(value)]
    return frozenset(value for value in found if len(value) >= _SHORTEST)


def redact(text: str, secrets: frozenset[str]) -> str:
    """Replaces with `***` each known secret, in any form and longest first, and each text that looks like a secret."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = masked(text, secret) if secret else text
    if not _MAY_HIDE.search(text):
        return text
    return _KEY_MATERIAL.sub(_hidden, _IN_URL.sub(_hidden, text))


def _hidden(match: re.Match[str]) -> str:
    return match[0].replace(_secret_in(match), "***")


def _secret_in(match: re.Match[str]) -> str:
    return next(filter(None, match.groups()), match[0])


def _without_reference(match: re.Match[str]) -> str:
    """Returns an assignment without its name if its value only refers to a secret, such as `PASSWORD_FILE=/run/pg`."""
    return "" if is_secret_name(match[1]) and is_secret_reference(match[1], match[2]) else match[0]
