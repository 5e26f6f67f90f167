"""Removes secrets from text: the one place that knows what is secret, called before text is written, sent or shown."""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from convergence_assets.redaction.known import HIDDEN, Known
from convergence_assets.redaction.literals import hide_literals
from convergence_assets.redaction.shapes import hide_shapes

__all__ = ["HIDDEN", "hide_literals", "redacted", "redacted_value", "refer", "remember"]

_SECRET_FIELD = re.compile(
    r"(?:.*[_-])?(?:password|passwd|secret|token|api[_-]?key|apikey|(?:access|admin|private|routing)[_-]?key|authorization"
    r"|cookie|set-cookie)",
    re.IGNORECASE,
)
_ROUNDS = 20
_SHORTEST_TEXT = len("sig=x")
_here = Known(os.environ)


def remember(value: str) -> None:
    """Treat this as a secret from now on: a password, a token, or an address that contains one."""
    _here.remember(value)


def refer(variables: Iterable[str]) -> None:
    """Treat the values of these environment variables as secrets."""
    _here.refer(variables)


def redacted(text: str) -> str:
    """The text with `***` in place of every secret; idempotent.

    Hidden are known values of at least eight characters (of the variables that tenant files name, of those whose name
    says that they hold one, passwords in addresses), also as JSON, SQL, URLs and base64 write them, and what looks like
    a secret wherever it is from: API keys, passwords in URLs, authorization headers, `password=...`, private keys.
    """
    return _redacted(text, _here)


def redacted_value(value: Any) -> Any:
    """The same for JSON values; a value under the name of a secret is hidden whole."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {_name(name): _field(name, item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted_value(item) for item in value]
    return value


def _redacted(text: str, secrets: Known) -> str:
    if len(text) < _SHORTEST_TEXT:
        return text
    # Hiding may expose another secret; every round shortens the text or is the last.
    for _ in range(_ROUNDS):
        before, text = text, hide_shapes(secrets.hide(text))
        if text == before:
            break
    return text


def _name(name: Any) -> Any:
    return redacted(name) if isinstance(name, str) else name


def _field(name: Any, item: Any) -> Any:
    if isinstance(item, str) and item and isinstance(name, str) and _SECRET_FIELD.fullmatch(name):
        return HIDDEN
    return redacted_value(item)
