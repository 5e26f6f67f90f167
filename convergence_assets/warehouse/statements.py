"""What a statement of BigQuery SQL says of itself: that it only reads, and which tables it names."""

import difflib
from collections.abc import Iterable

from sqlglot import exp

from convergence_assets.warehouse.errors import InvalidQuery
from convergence_assets.warehouse.schema import TableRef


def parsed(sql: str) -> exp.Expr:
    """The one statement of `sql`; raises `InvalidQuery` with its position where there is none, or more than one."""
    import sqlglot

    try:
        statements = sqlglot.parse(sql, read="bigquery")
    except sqlglot.errors.ParseError as error:
        at = error.errors[0] if error.errors else {}
        raise InvalidQuery(str(at.get("description") or error), line=at.get("line"), column=at.get("col")) from None
    except Exception as error:  # sqlglot 30 lets a function's builder fail with what it likes on wrong arguments
        raise InvalidQuery(f"not a query: {error}", line=1, column=1) from None
    if len(statements) != 1 or statements[0] is None:
        raise InvalidQuery(f"expected one statement, found {len(statements)}", line=1, column=1)
    return statements[0]


def only_reads(sql: str) -> None:
    """Raises `InvalidQuery` unless `sql` is one SELECT."""
    if not isinstance(parsed(sql), exp.Query):
        raise InvalidQuery("expected one SELECT; a query cannot write", line=1, column=1)


def table_names(sql: str) -> tuple[TableRef, ...]:
    """The fully named tables of a statement, each once."""
    found = (TableRef(t.db, t.name, t.catalog or None) for t in parsed(sql).find_all(exp.Table) if t.db)
    return tuple(dict.fromkeys(found))


def absent(table: TableRef, known: Iterable[str]) -> str:
    """The sentence for a table that is not there, with the nearest of the dataset's tables."""
    return f"table {table} does not exist" + _nearest(table.table, known)


def absent_dataset(dataset: str, known: Iterable[str]) -> str:
    """The sentence for a dataset that is not there, with the nearest one."""
    return f"dataset {dataset} does not exist" + _nearest(dataset, known)


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(names[:10])}" if names else "; there are none yet"
