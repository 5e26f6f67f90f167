"""Staged rows over their table's partitions, each atomically: by copy jobs, or in one transaction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from convergence_assets.warehouse.bigquery.connection import Connection
from convergence_assets.warehouse.bigquery.jobs import Request
from convergence_assets.warehouse.interface import Job, Staged
from convergence_assets.warehouse.schema import Query, TableSchema

# BigQuery allows 50 partition modifications a table in ten seconds.
COPIES_AT_ONCE = 40


def copy(connection: Connection, staged: Staged, partitions: Sequence[date], job: Job) -> None:
    """Partition by partition, each in one atomic job that bills nothing and conflicts with no other partition."""
    waves = [partitions[i : i + COPIES_AT_ONCE] for i in range(0, len(partitions), COPIES_AT_ONCE)]
    for wave in waves:
        connection.jobs.run_all([_copied(connection, staged, day, job) for day in wave], job)


def replace_rows(connection: Connection, staged: Staged, partitions: Sequence[date], job: Job) -> None:
    """All of them by DELETE and INSERT in one transaction."""
    target, source = connection.quoted(staged.target), connection.quoted(staged.table)
    chosen = _in_partitions(staged.schema, partitions)
    columns = ", ".join(f"`{c.name}`" for c in staged.schema.columns)
    script = (
        "BEGIN TRANSACTION;\n"
        f"DELETE FROM {target} WHERE {chosen};\n"
        f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {source} WHERE {chosen};\n"
        "COMMIT TRANSACTION;"
    )
    identity = (str(staged.target), *(day.isoformat() for day in partitions), staged.token)
    connection.jobs.run(connection.query("publish", Query(script), job, identity=identity), job)


def _copied(connection: Connection, staged: Staged, day: date, job: Job) -> Request:
    from google.cloud import bigquery

    identity = (str(staged.target), day.isoformat(), staged.token)
    if not staged.rows_per_partition.get(day):
        # A partition without rows may not exist in staging and cannot be copied. Deleting a whole partition bills
        # nothing; a zero-row query into it would be refused for REQUIRED columns, which a result never has.
        where = _in_partitions(staged.schema, [day])
        delete = f"DELETE FROM {connection.quoted(staged.target)} WHERE {where}"
        return connection.query("empty", Query(delete), job, identity=identity)
    config = bigquery.CopyJobConfig(
        write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
        create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
        **connection.job_options(job),
    )
    decorator = day.strftime("$%Y%m%d")
    source, target = (
        connection.reference(replace(t, table=t.table + decorator)) for t in (staged.table, staged.target)
    )

    def submit(job_id: str, retry: Any) -> Any:
        return connection.client.copy_table(
            source, target, job_id=job_id, location=connection.location, job_config=config, retry=retry
        )

    return Request("copy", submit, identity)


def _in_partitions(schema: TableSchema, partitions: Sequence[date]) -> str:
    # A table without partitions is replaced whole.
    if schema.partition_column is None:
        return "TRUE"
    if not partitions:
        return "FALSE"
    column = schema.column(schema.partition_column)
    kind = "DATE" if column and column.type == "DATE" else "TIMESTAMP"
    days = ", ".join(f"{kind} '{day.isoformat()}'" for day in partitions)
    return f"`{schema.partition_column}` IN ({days})"
