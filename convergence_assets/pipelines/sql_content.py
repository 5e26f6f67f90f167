"""SQL by its content: a comment, a line break or the case of a keyword is no part of it."""

import hashlib
from collections.abc import Iterator
from functools import lru_cache

import sqlglot
from sqlglot.tokenizer_core import Token, TokenType

_KEPT_AS_WRITTEN = frozenset({
    TokenType.VAR, TokenType.IDENTIFIER, TokenType.STRING, TokenType.RAW_STRING, TokenType.BYTE_STRING,
    TokenType.HEREDOC_STRING, TokenType.UNKNOWN,
})  # fmt: skip


@lru_cache(maxsize=4096)
def sql_content(sql: str) -> str:
    """A hash of what BigQuery reads of a statement: equal where only comments, layout or the case of keywords and of
    its own functions differ. Text that is no SQL is hashed as it is."""
    try:
        words = "\0".join(_words(sqlglot.tokenize(sql, read="bigquery")))
    except sqlglot.errors.SqlglotError:
        words = sql
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def _words(tokens: list[Token]) -> Iterator[str]:
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens = tokens[:-1]
    # Functions that the statement itself makes may differ by case alone.
    own_functions = any(token.token_type == TokenType.FUNCTION for token in tokens)
    for at, token in enumerate(tokens):
        kind, text = token.token_type, token.text
        is_call = at + 1 < len(tokens) and tokens[at + 1].token_type == TokenType.L_PAREN
        if kind not in _KEPT_AS_WRITTEN or (kind == TokenType.VAR and is_call and not own_functions):
            text = text.upper()
        yield f"{kind.name}\1{text}"
