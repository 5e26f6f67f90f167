"""SQL by its content: a comment, a line break or the case of a keyword is no part of it."""

import hashlib
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from convergence_assets.kept_results import KeptResults, code_version

if TYPE_CHECKING:
    from sqlglot.tokenizer_core import Token

_KEPT_AS_WRITTEN = frozenset({
    "VAR", "IDENTIFIER", "STRING", "RAW_STRING", "BYTE_STRING", "HEREDOC_STRING", "UNKNOWN",
})  # fmt: skip
"""Names of sqlglot's token types."""


@lru_cache(maxsize=4096)
def sql_content(sql: str) -> str:
    """A hash of what BigQuery reads of a statement: equal where only comments, layout or the case of keywords and of
    its own functions differ. Text that is no SQL is hashed as it is."""
    key = hashlib.sha256(sql.encode(errors="surrogatepass")).hexdigest()
    kept = _kept_contents()
    content = kept.read(key)
    if not isinstance(content, str):
        content = _content(sql)
        kept.write(key, content)
    return content


@cache
def _kept_contents() -> KeptResults:
    return KeptResults("contents", code_version([Path(__file__)], ["sqlglot"]))


def _content(sql: str) -> str:
    import sqlglot

    try:
        words = "\0".join(_words(sqlglot.tokenize(sql, read="bigquery")))
    except sqlglot.errors.SqlglotError:
        words = sql
    return hashlib.sha256(words.encode(errors="surrogatepass")).hexdigest()[:16]


def _words(tokens: "list[Token]") -> Iterator[str]:
    from sqlglot.tokenizer_core import TokenType

    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens = tokens[:-1]
    # Functions that the statement itself makes may differ by case alone.
    own_functions = any(token.token_type == TokenType.FUNCTION for token in tokens)
    for at, token in enumerate(tokens):
        kind, text = token.token_type, token.text
        is_call = at + 1 < len(tokens) and tokens[at + 1].token_type == TokenType.L_PAREN
        if kind.name not in _KEPT_AS_WRITTEN or (kind == TokenType.VAR and is_call and not own_functions):
            text = text.upper()
        yield f"{kind.name}\1{text}"
