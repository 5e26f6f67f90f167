"""Expectations that are a query: the rows it returns are the unexpected ones, the warehouse runs it."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from convergence_assets.quality.aggregates import partition_key
from convergence_assets.quality.engine import EXAMPLES_READ, message_of
from convergence_assets.quality.expectations import Expectation, PartitionOutcome
from convergence_assets.quality.values import ERROR_LENGTH, examples, row_example, shortened

if TYPE_CHECKING:
    import pyarrow as pa


def judged_by_query(
    expectation: Expectation,
    *,
    partition_column: str,
    partitions: Sequence[str],
    sensitive: frozenset[str],
    table_columns: frozenset[str],
    run_query: Callable[[str], "pa.Table"] | None,
) -> dict[str, PartitionOutcome]:
    """Every partition's outcome. A failed query, or a row without a partition, fails all of them.

    A value under a name that is not among `table_columns` is shown only where no column is sensitive.
    """
    sql = expectation.kwargs.get("unexpected_rows_query")
    if not isinstance(sql, str) or not sql.strip():
        return _for_all(partitions, "kwargs.unexpected_rows_query is missing: expected a SELECT over {batch}")
    if run_query is None:
        return _for_all(partitions, "there is no warehouse to run the query on")
    secrets = frozenset(name.lower() for name in sensitive)
    try:
        result = run_query(sql)
    except Exception as raised:
        if any(re.search(rf"\b{re.escape(name)}\b", sql, re.IGNORECASE) for name in secrets):
            text = f"{type(raised).__name__} (its text may hold values of a sensitive column and is not shown)"
            return _for_all(partitions, text)
        return _for_all(partitions, shortened(message_of(raised), ERROR_LENGTH))
    masked = _masked(sql, result.column_names, partition_column, secrets, table_columns)
    if result.num_rows == 0:
        return {key: PartitionOutcome(passed=True, unexpected_count=0) for key in partitions}
    column = next((n for n in result.column_names if n.lower() == partition_column.lower()), None)
    if column is None:
        shown = examples(row_example(row, masked) for row in result.slice(0, EXAMPLES_READ).to_pylist())
        if len(partitions) == 1:
            return {partitions[0]: _failed(result.num_rows, shown)}
        error = (
            f"the query returned {result.num_rows} rows without the partition column {partition_column!r}; select it, "
            "so that each row's partition is known"
        )
        return _for_all(partitions, error, shown)
    return _attributed(result, column, partitions, masked)


def counted_together(run_query: Callable[[str], "pa.Table"], queries: Sequence[str]) -> Callable[[str], "pa.Table"]:
    """`run_query`, but for those of `queries` that find nothing: one query counts the rows of all of them.

    BigQuery bills a query for at least 10 MB a table it reads, and a good day's queries find nothing.
    """
    distinct = [sql for sql in dict.fromkeys(queries) if sql.strip()]
    if len(distinct) < 2:
        return run_query
    counts = "\nUNION ALL\n".join(
        f"SELECT {number} AS query_number, COUNT(*) AS rows_found FROM (\n{sql}\n)"
        for number, sql in enumerate(distinct)
    )
    try:
        counts_by_number = {row["query_number"]: row["rows_found"] for row in run_query(counts).to_pylist()}
    except Exception:
        return run_query  # Each query then reports its own error.
    finds_nothing = {sql for number, sql in enumerate(distinct) if counts_by_number.get(number) == 0}

    def run(sql: str) -> "pa.Table":
        import pyarrow as pa

        return pa.table({}) if sql in finds_nothing else run_query(sql)

    return run


def _attributed(
    result: "pa.Table", column: str, partitions: Sequence[str], masked: frozenset[str]
) -> dict[str, PartitionOutcome]:
    import pyarrow as pa
    import pyarrow.compute as pc

    encoded = pc.dictionary_encode(result.column(column), null_encoding="encode").combine_chunks()
    keys = [None if v is None else partition_key(v) for v in encoded.dictionary.to_pylist()]
    outcomes: dict[str, PartitionOutcome] = {}
    strays: list[str] = []
    for code, key in enumerate(keys):
        rows = result.filter(pc.equal(encoded.indices, pa.scalar(code, encoded.indices.type)))
        shown = examples(row_example(row, masked) for row in rows.slice(0, EXAMPLES_READ).to_pylist())
        if key in partitions:
            outcomes[str(key)] = _failed(rows.num_rows, shown)
        else:
            strays.append(f"{rows.num_rows} of {key or 'no date'}")
    if strays:
        error = f"the query returned rows that lie in no partition of this run: {', '.join(sorted(strays)[:5])}"
        return {
            key: PartitionOutcome(
                passed=False,
                error=error,
                unexpected_count=outcomes[key].unexpected_count if key in outcomes else 0,
                examples=outcomes[key].examples if key in outcomes else (),
            )
            for key in partitions
        }
    return {key: outcomes.get(key, PartitionOutcome(passed=True, unexpected_count=0)) for key in partitions}


def _failed(rows: int, shown: tuple[str, ...]) -> PartitionOutcome:
    return PartitionOutcome(passed=False, unexpected_count=rows, examples=shown)


def _for_all(partitions: Sequence[str], error: str, shown: tuple[str, ...] = ()) -> dict[str, PartitionOutcome]:
    return {key: PartitionOutcome(passed=False, error=error, examples=shown) for key in partitions}


def _masked(
    sql: str, names: Sequence[str], partition_column: str, secrets: frozenset[str], table_columns: frozenset[str]
) -> frozenset[str]:
    """The result's columns whose values may come from a sensitive column."""
    if not secrets:
        return frozenset()
    tainted = _tainted(sql, secrets)
    open_names = {name.lower() for name in table_columns} - secrets
    return frozenset(
        name
        for name in names
        if name.lower() != partition_column.lower()
        and (tainted is None or name.lower() in tainted or name.lower() not in open_names)
    )


def _tainted(sql: str, secrets: frozenset[str]) -> frozenset[str] | None:
    """The names under which the query passes sensitive columns on; None where that is unknown."""
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(sql.replace("{batch}", "batch"), dialect="bigquery")
    except sqlglot.errors.SqlglotError:
        return None
    tainted = set(secrets)
    if isinstance(tree, exp.SetOperation) or tree.find(exp.SetOperation):
        mentioned = {column.name.lower() for column in tree.find_all(exp.Column)}
        return None if mentioned & tainted else frozenset(tainted)
    grew = True
    while grew:
        before = len(tainted)
        for alias in tree.find_all(exp.Alias):
            if any(column.name.lower() in tainted for column in alias.this.find_all(exp.Column)):
                tainted.add(alias.alias.lower())
        grew = len(tainted) > before
    return frozenset(tainted)
