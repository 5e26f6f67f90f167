"""What a statement of BigQuery SQL does: that it only reads, and which tables it names."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp

from convergence_assets.temporary_functions import NotOneStatement, statement_of
from convergence_assets.warehouse.errors import InvalidQuery
from convergence_assets.warehouse.schema import STAGING_PREFIX, TableRef

LINE_BREAK = re.compile(r"\r\n|\r|\n")
"""What GoogleSQL counts; str.splitlines() knows others."""


@lru_cache(maxsize=4)
def parsed(sql: str) -> exp.Expr:
    """The statement of `sql`, behind its temporary functions, not to be changed: it is kept for whoever asks next.

    Raises `InvalidQuery` with its position for what is none or more."""
    try:
        return statement_of(sqlglot.parse(sql, read="bigquery"))
    except NotOneStatement as error:
        raise InvalidQuery(f"expected one statement, {error}", line=1, column=1) from None
    except sqlglot.errors.ParseError as error:
        at = error.errors[0] if error.errors else {}
        raise InvalidQuery(str(at.get("description") or error), line=at.get("line"), column=at.get("col")) from None
    except Exception as error:  # sqlglot 30 lets a function's builder fail with what it likes on wrong arguments
        raise InvalidQuery(f"not a query: {error}", line=1, column=1) from None


def only_reads(sql: str) -> None:
    """Raises `InvalidQuery` unless `sql` is one SELECT, behind its temporary functions."""
    if not isinstance(parsed(sql), exp.Query):
        raise InvalidQuery("expected one SELECT; a query cannot write", line=1, column=1)


def table_names(sql: str) -> tuple[TableRef, ...]:
    """The fully named tables of a statement, each once."""
    tables = (TableRef(t.db, t.name, t.catalog or None) for t in parsed(sql).find_all(exp.Table) if t.db)
    return tuple(dict.fromkeys(tables))


@dataclass(frozen=True)
class Shortened:
    """A statement with a bare name for each table that it names in full, and the table of each.

    Statements of many tenants and runs become one text, whose outcome is worked out once.
    """

    sql: str
    tables: Mapping[str, TableRef]
    original: str
    replaced: tuple[tuple[int, int, int], ...]
    """Of each name: where it begins and ends in the original, and where its bare name ends here."""

    def place(self, line: int, column: int) -> tuple[int, int]:
        """Line and column in the original of a place here, all 1-based."""
        starts = [0, *(match.end() for match in LINE_BREAK.finditer(self.sql))]
        at = starts[min(line, len(starts)) - 1] + column - 1
        for _, end, ends_here in reversed(self.replaced):
            if at >= ends_here:
                at += end - ends_here
                break
        return line_and_column(self.original[:at])


def line_and_column(before: str) -> tuple[int, int]:
    """Of what follows a text, 1-based."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def shortened(sql: str) -> Shortened:
    """Raises `InvalidQuery` for what is no statement."""
    references, tree = [], parsed(sql)
    for node in tree.find_all(exp.Table):
        if node.db:
            places = [part.meta for part in node.parts]
            start, end = min(p["start"] for p in places), max(p["end"] for p in places) + 1
            references.append((start, end, TableRef(node.db, node.name, node.catalog or None), bool(node.alias)))
    names: dict[TableRef, str] = {}
    withs = [cte.alias for cte in tree.find_all(exp.CTE)]
    text, last, replaced = "", 0, []
    for start, end, table, aliased in sorted(references, key=lambda one: one[0]):
        name = names.setdefault(table, _bare(table, [*names.values(), *withs]))
        keeps_name = aliased or name == table.table or table.dataset.startswith(STAGING_PREFIX)
        text += sql[last:start] + f"`{name}`" + ("" if keeps_name else f" AS `{table.table}`")
        replaced.append((start, end, len(text)))
        last = end
    return Shortened(text + sql[last:], {name: table for table, name in names.items()}, sql, tuple(replaced))


def _bare(table: TableRef, taken: Collection[str]) -> str:
    """A staging table's name ends with its run, which is no part of what a statement means; nothing refers to it."""
    name = table.table.partition("__")[0] if table.dataset.startswith(STAGING_PREFIX) else table.table
    while name.lower() in {other.lower() for other in taken}:
        name += "_"
    return name


def absent(table: TableRef, existing: Iterable[str]) -> str:
    """The sentence for a table that is not there, with the nearest of the dataset's tables."""
    return f"table {table} does not exist" + _nearest(table.table, existing)


def absent_dataset(dataset: str, existing: Iterable[str]) -> str:
    """The sentence for a dataset that is not there, with the nearest one."""
    return f"dataset {dataset} does not exist" + _nearest(dataset, existing)


def _nearest(name: str, existing: Iterable[str]) -> str:
    names = sorted(existing)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(names[:10])}" if names else "; there are none yet"
