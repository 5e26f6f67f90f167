"""Texts of a statement that may be secrets: an engine's message about it quotes them."""

import re

from convergence_assets.redaction.known import HIDDEN, SHORTEST

_LITERAL = re.compile(r"'((?:[^'\\]|\\.|'')*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_MAY_BE_A_SECRET = re.compile(rf"(?=\S*[A-Za-z])(?=\S*[0-9])\S{{{SHORTEST},}}")
_MOMENT_OR_NUMBER = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+)?Z?|[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.IGNORECASE | re.ASCII
)


def hide_literals(message: str, sql: str) -> str:
    """The message without texts of the statement that have letters and digits and no space, as keys and tokens do.

    Moments and numbers stay: they are what most messages are about.
    """
    found = {text for pair in _LITERAL.findall(sql) for text in pair if text and text in message}
    for text in sorted(found, key=len, reverse=True):
        if _MAY_BE_A_SECRET.fullmatch(text) and not _MOMENT_OR_NUMBER.fullmatch(text):
            message = message.replace(text, HIDDEN)
    return message
