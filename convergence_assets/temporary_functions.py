"""The temporary functions that a script creates before its one statement."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp


class NotOneStatement(ValueError):
    """A script that is not one statement, with or without temporary functions before it."""


def statement_of(parsed: "Sequence[exp.Expr | None]") -> "exp.Expr":
    """The statement among the parsed ones of a script. Raises `NotOneStatement`.

    A function that reads a table is refused: access is checked on the statement alone.
    """
    from sqlglot import exp

    statements = [one for one in parsed if one is not None and not isinstance(one, exp.Semicolon)]
    if not statements:
        raise NotOneStatement("found no statement")
    *functions, statement = statements
    for function in functions:
        temporary = isinstance(function, exp.Create) and function.find(exp.TemporaryProperty)
        if not temporary or function.args["kind"] != "FUNCTION":
            raise NotOneStatement(f"found {len(statements)} statements")
        body = function.expression
        ctes = {one.alias.lower() for one in body.find_all(exp.CTE)} if body else set()
        for table in body.find_all(exp.Table) if body else ():
            name = ".".join(part.name for part in table.parts)
            if table.db or name.lower() not in ctes:
                raise NotOneStatement(
                    f"found a temporary function that reads {name}; a function reads its arguments alone"
                )
    return statement


def parted(sql: str) -> tuple[str, str]:
    """A script's functions, each with its semicolon, and its statement; the first is empty where there are none."""
    if ";" not in sql:
        return "", sql
    import sqlglot
    from sqlglot.tokenizer_core import TokenType

    tokens = sqlglot.tokenize(sql, read="bigquery")
    end = len(sql)
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        end = tokens.pop().start
    start = max((token.end + 1 for token in tokens if token.token_type == TokenType.SEMICOLON), default=0)
    return sql[:start], sql[start:end]
