"""Names of variables and options that hold secrets, and values that only refer to one."""

from __future__ import annotations

import re

__all__ = ["is_secret", "is_secret_name", "is_secret_reference"]

_SECRET = re.compile(
    r"passw|passphrase|(?<!by)pass(?![a-z]|[-_]through)|pwd|secret|token|credential|jsonkey|(?<![a-z])sas(?![a-z])"
    r"|(?:api|private|access|account|encryption)[-_.]?key"
    r"|basic[-_.]?auth(?![-_.]?(?:user|enable|realm))|(?:http|proxy|registry|docker)[-_.]?auth(?![a-z])|authorization$",
    re.I,
)
_OF_REFERENCE = re.compile(r"(?:[-_.](?:file|path|name)|[-_.]?provider[-_.]?class)$", re.I)
_OF_REFERENCE_IN_CAMEL_CASE = re.compile(r"(?<=[a-z])(?:Path|Name)$")
_OF_SPARK = re.compile(r"spark\.kubernetes\.(?:driver|executor)\.(?:secrets|(secretKeyRef))\..+")
"""Property of Spark that refers to a Secret of Kubernetes."""
_NUMBER_OF_TOKENS = re.compile(r"tokens=\d{1,9}$", re.I)
_PATH = re.compile(r"(?:/[\w.@-]+){2,}/?")
_RANDOM = re.compile(r"(?=[^/]*[A-Z])(?=[^/]*[a-z])(?=[^/]*\d)[^/.]{12,}")
"""Part of a path that looks generated: a key in base64 may begin with `/`."""
_REFERENCE = re.compile(r"\$\([\w.-]+\)|(?:gsm://|projects/|arn:).*", re.DOTALL)
"""Variable that Kubernetes replaces, or name in the secret store of a cloud."""


def is_secret(name: str, value: str) -> bool:
    """Whether a variable or an option of that name and value holds a secret, instead of a reference to one."""
    return is_secret_name(name) and not is_secret_reference(name, value)


def is_secret_name(name: str) -> bool:
    """Whether a variable or an option of that name holds a secret."""
    return _SECRET.search(name) is not None


def is_secret_reference(name: str, value: str) -> bool:
    """Whether a value is the path or the name of a secret, or a number of tokens, and not the secret itself.

    Args:
        name: Name of the variable or the option.
        value: The value.
    """
    if found := _OF_SPARK.fullmatch(name):
        return re.fullmatch(r"[a-z0-9.-]+:[\w.-]+" if found[1] else r"/[\w./-]+", value) is not None
    if _OF_REFERENCE.search(name) or _OF_REFERENCE_IN_CAMEL_CASE.search(name):
        return True
    if _PATH.fullmatch(value):
        return _RANDOM.search(value) is None
    return bool(_REFERENCE.fullmatch(value) or _NUMBER_OF_TOKENS.search(f"{name}={value}"))
