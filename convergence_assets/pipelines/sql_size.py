"""How large a statement may be: parsers recurse, and one that is too deep ends the process or takes minutes."""

import sqlglot
from sqlglot.tokenizer_core import TokenType

LONGEST_SQL = 200_000
"""Characters of a statement, as its template was rendered."""
MOST_TOKENS = 20_000
MOST_SELECTS = 500
MOST_TABLES = 500
"""Read in one statement: names are looked up in all that is beside them."""
DEEPEST = 60
"""Brackets and CASE within one another."""
LONGEST_CHAIN = 300
"""Operators and calls in a row: `a + b + c` is a tree as deep as it is long."""

_OPENS = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE})
_CLOSES = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END})
_CHAINS = _OPENS | {
    TokenType.AMP, TokenType.AND, TokenType.ARROW, TokenType.CARET, TokenType.DASH, TokenType.DCOLON, TokenType.DOT,
    TokenType.DPIPE, TokenType.DSTAR, TokenType.EQ, TokenType.FARROW, TokenType.GT, TokenType.GTE, TokenType.INTERVAL,
    TokenType.IS, TokenType.JOIN, TokenType.LT, TokenType.LTE, TokenType.NEQ, TokenType.NOT, TokenType.OR,
    TokenType.PIPE, TokenType.PIPE_GT, TokenType.PLUS, TokenType.SLASH, TokenType.STAR, TokenType.TILDE,
}  # fmt: skip
_ENDS_CHAIN = frozenset({
    TokenType.COMMA, TokenType.SELECT, TokenType.FROM, TokenType.WHERE, TokenType.ON, TokenType.WHEN, TokenType.THEN,
    TokenType.ELSE, TokenType.UNION,
})  # fmt: skip


def oversize(text: str) -> tuple[int, str, str] | None:
    """The line where a statement goes beyond a bound, what is too much, and what is expected; None where nothing is."""
    if len(text) > LONGEST_SQL:
        return 1, f"SQL of {len(text)} characters", f"at most {LONGEST_SQL}"
    try:
        tokens = sqlglot.tokenize(text, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return None  # the parser reports what is wrong, and where
    if len(tokens) > MOST_TOKENS:
        return tokens[MOST_TOKENS].line, f"SQL of {len(tokens)} words and signs", f"at most {MOST_TOKENS}"
    selects, chains = 0, [0]
    for token in tokens:
        kind = token.token_type
        selects += kind is TokenType.SELECT
        if selects > MOST_SELECTS:
            return token.line, f"more than {MOST_SELECTS} SELECTs", "fewer in one statement"
        if kind in _ENDS_CHAIN:
            chains[-1] = 0
        elif kind in _CHAINS:
            chains[-1] += 1
        if chains[-1] > LONGEST_CHAIN:
            return token.line, f"more than {LONGEST_CHAIN} operators in a row", "a shorter expression, or IN and arrays"
        if kind in _OPENS:
            chains.append(0)
        elif kind in _CLOSES and len(chains) > 1:
            chains.pop()
        if len(chains) > DEEPEST:
            return token.line, f"nested more than {DEEPEST} levels deep", "WITH for what is inside"
    return None
