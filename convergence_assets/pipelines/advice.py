"""What makes a SELECT expensive on BigQuery, judged by its text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from convergence_assets.temporary_functions import statement_of

WIDE_COLUMNS = 20
# Around a partition column these still let BigQuery leave partitions out.
_PRUNES = (exp.Cast, exp.Date, exp.Timestamp, exp.TsOrDsToDate, exp.Paren)


@dataclass(frozen=True)
class Advice:
    """One sentence, and the 1-based line of the text that it is about."""

    message: str
    line: int


def advise(sql: str, partitioned: Mapping[str, str], widths: Mapping[str, int]) -> tuple[Advice, ...]:
    """Advice on one SELECT, in the text's order.

    `partitioned` names the partition column of each partitioned table, `widths` the number of columns of each table;
    both by the table's name as the text has it, without its dataset.
    """
    tree = statement_of(sqlglot.parse(sql, read="bigquery"))
    advice: list[Advice] = []
    for scope in traverse_scope(tree):
        advice += _whole_scans(scope, partitioned)
        advice += _wide_stars(scope, widths)
        advice += _cross_joins(scope)
    return tuple(sorted(set(advice), key=lambda a: (a.line, a.message)))


def _whole_scans(scope: Scope, partitioned: Mapping[str, str]) -> Iterator[Advice]:
    for alias, table in _tables(scope):
        column = partitioned.get(table.name)
        if column is None:
            continue
        mentions = [c for p in _predicates(scope) for c in p.find_all(exp.Column) if _is_column(c, column, alias)]
        if not mentions:
            yield Advice(f"{table.name} is read whole: filter on its partition column {column}", _line(table))
        elif all(_is_wrapped(c) for c in mentions):
            yield Advice(
                f"a function around {column} of {table.name} keeps BigQuery from leaving partitions out: "
                "compare the column itself",
                _line(mentions[0]),
            )


def _wide_stars(scope: Scope, widths: Mapping[str, int]) -> Iterator[Advice]:
    if not isinstance(scope.expression, exp.Select) or not scope.expression.is_star:
        return
    # `SELECT *` is every table's, `SELECT a.*` that of one.
    starred = {c.table if isinstance(c, exp.Column) else "" for c in scope.expression.selects if c.is_star}
    for alias, table in _tables(scope):
        if widths.get(table.name, 0) > WIDE_COLUMNS and starred & {"", alias}:
            yield Advice(
                f"SELECT * reads all {widths[table.name]} columns of {table.name}: name those that are needed",
                _line(table),
            )


def _cross_joins(scope: Scope) -> Iterator[Advice]:
    for join in scope.expression.args.get("joins") or ():
        joined = join.this
        if isinstance(joined, exp.Table) and not joined.db and joined.name in scope.sources:
            pass  # a CTE multiplies rows like a table
        elif not isinstance(joined, exp.Table | exp.Subquery):
            continue
        conditioned = join.args.get("on") or join.args.get("using") or join.method == "NATURAL"
        if not conditioned and not _is_compared(scope, joined.alias_or_name):
            yield Advice(
                f"{joined.alias_or_name} is joined without a condition: every row meets every row", _line(joined)
            )


def _is_compared(scope: Scope, alias: str) -> bool:
    """`FROM a, b WHERE a.x = b.x` is a join with a condition."""
    where = scope.expression.args.get("where")
    comparisons = where.find_all(exp.EQ) if where else ()
    return any(
        {c.table for c in eq.find_all(exp.Column)} >= {alias} and len({c.table for c in eq.find_all(exp.Column)}) > 1
        for eq in comparisons
    )


def _tables(scope: Scope) -> Iterator[tuple[str, exp.Table]]:
    for alias, (node, source) in scope.selected_sources.items():
        if isinstance(source, exp.Table) and isinstance(node, exp.Table):
            yield alias, node


def _predicates(scope: Scope) -> Iterator[exp.Expr]:
    where = scope.expression.args.get("where")
    if where:
        yield where
    for join in scope.expression.args.get("joins") or ():
        if join.args.get("on"):
            yield join.args["on"]


def _is_column(column: exp.Column, name: str, alias: str) -> bool:
    return column.name.lower() == name.lower() and column.table in ("", alias)


def _is_wrapped(column: exp.Column) -> bool:
    node = column.parent
    while node is not None and not isinstance(node, exp.Predicate | exp.Where):
        if isinstance(node, exp.Func | exp.Extract) and not isinstance(node, _PRUNES):
            return True
        node = node.parent
    return False


def _line(node: exp.Expr) -> int:
    return next((int(n.meta["line"]) for n in node.walk() if "line" in n.meta), 1)
