"""Why a statement is refused; and what can be checked without Google's analyzer."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

# Words that a parenthesis follows and that are no functions.
_SYNTAX = frozenset({
    "ALL", "AND", "ANY", "ARRAY", "AS", "BY", "CASE", "CAST", "CUBE", "DISTINCT", "ELSE", "EXCEPT", "EXISTS", "EXTRACT",
    "FROM", "GROUPING", "IN", "INTERSECT", "INTERVAL", "JOIN", "NOT", "NUMERIC", "ON", "OR", "OVER", "PIVOT", "QUALIFY",
    "REPLACE", "ROLLUP", "SAFE_CAST", "SELECT", "SETS", "SOME", "STRING", "STRUCT", "THEN", "UNION", "UNNEST",
    "UNPIVOT", "USING", "VALUES", "WEEK", "WHEN", "WHERE", "WINDOW", "LIKE", "BETWEEN", "IS", "HAVING",
    "OFFSET", "ORDINAL", "SAFE_OFFSET", "SAFE_ORDINAL", "BIGNUMERIC", "BYTES", "DATE",
    "DATETIME", "TIME", "TIMESTAMP", "JSON", "IF",
})  # fmt: skip


@dataclass(frozen=True)
class SqlProblem:
    """Why a statement is refused; `line` and `column` are 1-based in the given text, `remedy` is empty where the
    message is BigQuery's own."""

    line: int
    column: int
    message: str
    remedy: str


class UnportableSQL(ValueError):
    """The statement has no faithful form on the embedded engine."""

    def __init__(self, problems: tuple[SqlProblem, ...]) -> None:
        super().__init__("; ".join(f"line {p.line}, column {p.column}: {p.message}; {p.remedy}" for p in problems))
        self.problems = problems


def problems_by_name(sql: str) -> Iterator[SqlProblem]:
    """Functions that the embedded engine has no form for, found by their names only."""
    import sqlglot
    from sqlglot.tokenizer_core import TokenType

    after_which_no_function_stands = (TokenType.DOT, TokenType.WITH, TokenType.COMMA, TokenType.ALIAS)
    tokens = sqlglot.tokenize(sql, read="bigquery")
    for before, token, after in zip([None, *tokens], tokens, tokens[1:], strict=False):
        name = token.text.upper()
        is_call = after.token_type == TokenType.L_PAREN and name.replace("_", "").isalnum() and not name[0].isdigit()
        if not is_call or name in _SYNTAX or name in function_names():
            continue
        if before is not None and before.token_type in after_which_no_function_stands and before.text != ",":
            continue
        near = difflib.get_close_matches(name, function_names(), n=1)
        remedy = f"did you mean {near[0]}?" if near else "use one of the functions that the pipelines guide lists"
        column = token.col - len(token.text) + 1
        yield SqlProblem(token.line, column, f"function {name} has no form on the embedded engine", remedy)


@cache
def function_names() -> frozenset[str]:
    """All functions that the embedded engine answers as BigQuery does, for some types of arguments at least."""
    from convergence_assets.warehouse.duckdb.generator import aggregates, functions, windows

    names = {*functions.SCALAR.forms, *aggregates.FORMS, *windows.NAMES}
    return frozenset(name.upper() for name in names if not name.startswith("$")) | {"COUNT"}
