"""Forms in which a secret can be written: unencoded, encoded for a URL, JSON or HTML, in base64 or in hexadecimal."""

from __future__ import annotations

import base64
import html
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

__all__ = ["masked"]

_SHOWN = "***"
_REMEMBERED = 2000
_SHORTEST_CODE = 6
"""Minimum length of a piece of base64 that is redacted; shorter pieces also occur in ordinary words."""
_BASE64 = r"[A-Za-z0-9+/_-]*"


@dataclass(frozen=True)
class _Forms:
    """Encodings of one secret.

    Attributes:
        texts: Forms of the secret, longest first.
        in_url: Pattern of the secret with special characters percent-encoded or not; None if it has none.
        codes: Pieces of base64 texts that contain the secret; the text around a piece belongs to it.
    """

    texts: tuple[str, ...]
    in_url: re.Pattern[str] | None
    codes: tuple[str, ...]


def masked(text: str, secret: str) -> str:
    """Replaces a secret with `***` in each form in which it can be written.

    Examples:
        >>> masked("user=sl&pw=p%40ss+word, auth=c2w6cEBzcyB3b3Jk", "p@ss word")
        'user=sl&pw=***, auth=***'
    """
    forms = _forms_of(secret)
    for form in forms.texts:
        if form in text:
            text = text.replace(form, _SHOWN)
    if forms.in_url is not None and ("%" in text or "+" in text):
        text = forms.in_url.sub(_SHOWN, text)
    for code in forms.codes:
        if code in text:
            text = re.sub(f"{_BASE64}{re.escape(code)}{_BASE64}=*", _SHOWN, text)
    return text


@lru_cache(maxsize=_REMEMBERED)
def _forms_of(secret: str) -> _Forms:
    data = secret.encode("utf-8", "surrogatepass")
    escaped = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], html.escape(secret))
    found = {secret, *escaped}
    if len(data) >= _SHORTEST_CODE:
        found |= {data.hex(), data.hex().upper()}
    return _Forms(tuple(sorted(found, key=len, reverse=True)), _in_url(secret), _codes(data))


def _in_url(secret: str) -> re.Pattern[str] | None:
    """Returns the pattern of a secret in a URL; encoders differ in the characters that they escape."""
    parts: list[str] = []
    for char in secret:
        code = "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))
        if quote(char, safe="") == char and char.isalnum():
            parts.append(char)
            continue
        twice = code.replace("%", "%25")
        plus = r"|\+" if char == " " else ""
        parts.append(f"(?:{re.escape(char)}|(?i:{code})|(?i:{twice}){plus})")
    return re.compile("".join(parts)) if any(len(part) > 1 for part in parts) else None


def _codes(data: bytes) -> tuple[str, ...]:
    """Returns the base64 codes of a secret at any position of a longer text, in both alphabets."""
    found: set[str] = set()
    for before in range(3):
        code = base64.b64encode(b"\0" * before + data).decode()
        whole = code[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        found |= {whole, whole.replace("+", "-").replace("/", "_")}
    alone = base64.b64encode(data).decode().rstrip("=")
    found |= {alone, alone.replace("+", "-").replace("/", "_")}
    return tuple(sorted((one for one in found if len(one) >= _SHORTEST_CODE), key=len, reverse=True))
