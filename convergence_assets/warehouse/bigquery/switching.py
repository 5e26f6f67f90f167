"""One table in the place of another: by one statement that replaces it, or by two that rename."""

from convergence_assets.warehouse.bigquery import tables
from convergence_assets.warehouse.bigquery.administration import Administration
from convergence_assets.warehouse.bigquery.connection import Connection
from convergence_assets.warehouse.bigquery.labels import of_version, value_of
from convergence_assets.warehouse.errors import NameTaken, NotFound, NotReplaceable, SchemaMismatch, SwitchRunning
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Dataset, Query, TableRef, TableSchema

_ALWAYS = TableSchema(())


def switch(
    connection: Connection, administration: Administration, table: TableRef, new: TableRef, kept: TableRef, job: Job, *,
    may_be_absent: bool,
) -> None:  # fmt: skip
    """As `Warehouse.switch_table`.

    BigQuery replaces a table only by one of the same partition column and clustering. The former one is kept before, so
    that at every moment `table` is whole: the former until the one statement that replaces it has ended, then the new.
    """
    # Before anything is read: what an ended process has sent may still replace the table, or what is kept of it.
    _refuse_running(connection, table, job)
    ready = tables.schema_of(administration.table(new), _ALWAYS)
    try:
        former = tables.schema_of(administration.table(table), _ALWAYS)
    except NotFound:
        _rename(connection, new, table, job)
        return
    if former.version == ready.version:
        return  # that statement has done it, and `kept` is the former one
    is_replaceable = _layout(former) == _layout(ready)
    if not is_replaceable and not may_be_absent:
        raise NotReplaceable(
            f"table {table} is laid out by {_spelled(former)} and its other version by {_spelled(ready)}; BigQuery "
            "replaces no table by one that is laid out otherwise, so that for some seconds there is none of that name"
        )
    if kept not in administration.version_tables(Dataset.of(kept)) and administration.has_table(kept):
        raise NameTaken(f"there is {kept}, which is no version of table {table}; nothing was changed")
    administration.drop(kept)
    if is_replaceable:
        _replace(connection, kept, table, former, job)
        _refuse_other(administration, kept, former)
        _replace(connection, table, new, ready, job)
    else:
        administration.mark_version(table, former.version)
        _rename(connection, table, kept, job)
        _rename(connection, new, table, job)


def _refuse_running(connection: Connection, table: TableRef, job: Job) -> None:
    own = {key: value_of(job.labels[key]) for key in ("tenant", "asset", "partition") if key in job.labels}
    running = connection.jobs.running(None, all_users=False) if own else ()
    if left := [one.job_id for one in running if own.items() <= one.labels.items()]:
        raise SwitchRunning(f"job {', '.join(left)} of an earlier switch of table {table} still runs")


def _refuse_other(administration: Administration, kept: TableRef, former: TableSchema) -> None:
    """Refuse to replace a table whose copy is not what it is, or is not marked as a version."""
    copied = tables.schema_of(administration.table(kept), _ALWAYS)
    is_marked = kept in administration.version_tables(Dataset.of(kept))
    if (copied.columns, copied.version) != (former.columns, former.version) or not is_marked:
        raise SchemaMismatch(
            f"table {kept} was to be a copy of version {former.version}, and is version {copied.version} of "
            f"{len(copied.columns)} columns{'' if is_marked else ', without its mark'}; the table is as it was"
        )


def _layout(schema: TableSchema) -> tuple[str, ...]:
    return tuple(name.lower() for name in (schema.partition_column or "", *schema.clustering))


def _spelled(schema: TableSchema) -> str:
    clustering = f", clustered by {', '.join(schema.clustering)}" if schema.clustering else ""
    return f"partition column {schema.partition_column}{clustering}"


def _rename(connection: Connection, table: TableRef, name: TableRef, job: Job) -> None:
    sql = f"ALTER TABLE {connection.quoted(table)} RENAME TO `{name.table}`"
    connection.jobs.run(connection.query("rename", Query(sql), job, identity=(sql, job.run_id)), job)


def _replace(connection: Connection, table: TableRef, source: TableRef, schema: TableSchema, job: Job) -> None:
    """Make `table` what `source` is, its version with it, in one statement."""
    labels = ", ".join(f"('{key}', '{value}')" for key, value in of_version(schema.version).items())
    sql = f"CREATE OR REPLACE TABLE {connection.quoted(table)} "
    if connection.decorators:
        # Nothing is read, so that nothing is billed.
        sql += f"COPY {connection.quoted(source)} OPTIONS (labels = [{labels}])"
    else:
        sql += _selected(connection.quoted(source), schema, labels)
    connection.jobs.run(connection.query("replace", Query(sql), job, identity=(sql, job.run_id)), job)


def _selected(source: str, schema: TableSchema, labels: str) -> str:
    """The same for an engine that knows no COPY."""
    columns = ", ".join(f"`{c.name}` {c.spelled}{' NOT NULL' * (c.mode == 'REQUIRED')}" for c in schema.columns)
    clustering = f" CLUSTER BY {', '.join(f'`{name}`' for name in schema.clustering)}" if schema.clustering else ""
    day, names = f"`{schema.partition_column}`", ", ".join(f"`{c.name}`" for c in schema.columns)
    return (
        f"({columns}) PARTITION BY {day}{clustering} OPTIONS (labels = [{labels}]) "
        f"AS SELECT {names} FROM {source} WHERE {day} >= DATE '0001-01-01'"
    )
