"""One table in the place of another: by CREATE OR REPLACE TABLE ... COPY, which is atomic and bills nothing."""

from convergence_assets.warehouse.bigquery.administration import Administration
from convergence_assets.warehouse.bigquery.connection import Connection
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Query, TableRef

_KEPT = {"convergence_former": "kept"}
"""The label of a new table once the former one is kept: from then on `table` may be the new one already."""


def switch(
    connection: Connection, administration: Administration, table: TableRef, new: TableRef, kept: TableRef, job: Job
) -> None:
    """As `Warehouse.switch_table`: keep the former table, note that, replace it, remove the new one's other name."""
    ready = administration.table(new)
    if not _KEPT.items() <= dict(ready.labels or {}).items():
        _copy(connection, table, kept, job)
        _label(connection, administration, new, "kept")
    _copy(connection, new, table, job)
    # A copy may have its source's labels; this one is no new table of a later switch.
    _label(connection, administration, table, None)
    administration.drop(new)


def _label(connection: Connection, administration: Administration, table: TableRef, value: str | None) -> None:
    labelled = administration.table(table)
    labelled.labels = {**(labelled.labels or {}), "convergence_former": value}
    connection.jobs.call(lambda retry: connection.client.update_table(labelled, ["labels"], retry=retry))


def _copy(connection: Connection, source: TableRef, target: TableRef, job: Job) -> None:
    sql = f"CREATE OR REPLACE TABLE {connection.quoted(target)} COPY {connection.quoted(source)}"
    connection.jobs.run(connection.query("switch", Query(sql), job, identity=(sql, job.run_id)), job)
