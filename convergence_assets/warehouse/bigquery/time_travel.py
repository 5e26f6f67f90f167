"""What a table was: BigQuery's time travel (https://cloud.google.com/bigquery/docs/time-travel)."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

from convergence_assets.warehouse.errors import InvalidQuery, NotFound, NotKept
from convergence_assets.warehouse.schema import Query, TableRef, TableSchema

KEPT = timedelta(days=7)
"""The longest that BigQuery keeps; a dataset may be set to less."""


def must_be_kept(table: TableRef, as_of: datetime) -> None:
    """Raises `NotKept` for a moment that BigQuery answers nothing for, or with rows of no moment: one to come."""
    now = datetime.now(UTC)
    if as_of > now:
        raise NotKept(f"table {table}: {_shown(as_of)} is still to come")
    if as_of < now - KEPT:
        raise NotKept(f"table {table}: {_shown(as_of)} is longer ago than BigQuery keeps rows ({KEPT.days} days)")


def rows(quoted: str, schema: TableSchema, partition: date, as_of: datetime) -> Query:
    """All columns of the partition's rows as they were."""
    column = schema.column(schema.partition_column or "")
    assert column is not None, "only a table of partitions has a partition's past"
    kind = "DATE" if column.type == "DATE" else "TIMESTAMP"
    moment = f"TIMESTAMP '{as_of.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00'"
    day = f"`{column.name}` = {kind} '{partition}'"
    return Query(f"SELECT * FROM {quoted} FOR SYSTEM_TIME AS OF {moment} WHERE {day}")


def in_columns(past: Query, schema: TableSchema, column_names: Collection[str]) -> Query:
    """The same rows in the declared columns of today; those that the table did not have then are NULL."""
    existing = {name.lower() for name in column_names}
    chosen = ", ".join(
        f"`{c.name}`" if c.name.lower() in existing else f"CAST(NULL AS {c.spelled}) AS `{c.name}`"
        for c in schema.columns
    )
    return Query(f"SELECT {chosen} FROM (\n{past.sql}\n)")


@contextmanager
def explaining_expired_history(table: TableRef, as_of: datetime) -> Iterator[None]:
    """BigQuery's error is `Invalid snapshot time` for a moment before its window or the table's beginning."""
    try:
        yield
    except InvalidQuery as error:
        if "snapshot" not in str(error).lower():
            raise
        raise NotKept(f"table {table} has no rows kept of {_shown(as_of)}: {error}") from error
    except NotKept:
        raise
    except NotFound as error:
        raise NotKept(f"table {table} did not exist at {_shown(as_of)}, or is gone: {error}") from error


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
