"""Literals of a statement that may be secrets: an engine's error message quotes them."""

import re
from collections.abc import Iterator

from convergence_assets.redaction.known import HIDDEN, SHORTEST

_QUOTES = re.compile(r"""^[rb]*('{3}|"{3}|['"])|('{3}|"{3}|['"])$""", re.IGNORECASE)
_BETWEEN_QUOTES = re.compile(r"""['"\s]+""")
_MAY_BE_A_SECRET = re.compile(rf"(?=\S*[A-Za-z])(?=\S*[0-9])\S{{{SHORTEST},}}")
_MOMENT_OR_NUMBER = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+)?Z?|[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.IGNORECASE | re.ASCII
)


def hide_literals(message: str, sql: str) -> str:
    """The message without literals of the statement that have letters and digits and no space, as keys and tokens do.

    Moments and numbers stay: they are what most messages are about.
    """
    for text in sorted(filter(None, set(_texts(sql))), key=len, reverse=True):
        if text in message and _MAY_BE_A_SECRET.fullmatch(text) and not _MOMENT_OR_NUMBER.fullmatch(text):
            message = message.replace(text, HIDDEN)
    return message


def _texts(sql: str) -> Iterator[str]:
    """As BigQuery reads them, and as written; every candidate where the statement cannot be parsed."""
    from sqlglot import TokenError, TokenType, tokenize

    try:
        tokens = tokenize(sql, dialect="bigquery")
    except TokenError:
        yield from _BETWEEN_QUOTES.split(sql)
        return
    for token in tokens:
        if token.token_type in (TokenType.STRING, TokenType.RAW_STRING, TokenType.BYTE_STRING):
            yield token.text
            yield _QUOTES.sub("", sql[token.start : token.end + 1])
