"""What a warehouse has to do, tried in a dataset of its own that is removed afterwards."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from convergence_assets.assets.warehouse_factory import open_bigquery
from convergence_assets.diagnostics.certify.project import RETRY_SECONDS, ProjectSetup
from convergence_assets.diagnostics.doctor.examine import Finding
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.bigquery.adapter import BigQueryWarehouse
from convergence_assets.warehouse.errors import WarehouseError
from convergence_assets.warehouse.interface import Job, Staged
from convergence_assets.warehouse.schema import Column, Dataset, Query, TableRef, TableSchema

NAME = "warehouse contract"
_CAP = 100 * 2**20
"""Bytes that one statement may be billed: ten times the least that BigQuery bills for a table that is read."""
_SCHEMA = TableSchema(
    (Column("day", "DATE", "REQUIRED"), Column("name", "STRING"), Column("cost", "NUMERIC")), partition_column="day"
)


def contract(setup: ProjectSetup, tenant: Tenant) -> Iterator[Finding]:
    """Make a table, stage two days, publish one and then the other, replace it, merge a row, put a day back to what it
    was; each is read back."""
    dataset = Dataset(f"convergence_certify_{uuid.uuid4().hex[:12]}", tenant.project)
    with open_bigquery(setup.settings, tenant.location, budget_seconds=RETRY_SECONDS) as warehouse:
        try:
            failure = _Trial(warehouse, TableRef(dataset.name, "days", dataset.project)).failure()
        finally:
            with suppress(WarehouseError):
                warehouse.drop_staging(dataset)
                warehouse.drop_table(TableRef(dataset.name, "days", dataset.project))
                warehouse.drop_dataset(dataset)
        left = warehouse.has_dataset(dataset)
        billed = sum(statement.bytes_billed or 0 for statement in warehouse.statements)
    if failure:
        yield Finding(NAME, "broken", failure, "nothing of yours was touched; correct what it names, or report it")
    if left:
        yield Finding(NAME, "warning", f"the dataset {setup.shown(dataset)} of this trial could not be removed",
                      f"`bq rm -r -d {setup.shown(dataset)}`")  # fmt: skip
    if not failure and not left:
        seen = (
            "staged, published, replaced, rolled back, merged and removed in a dataset of its own; "
            f"{billed / 2**20:.0f} MiB billed"
        )
        yield Finding(NAME, "ok", seen)


class _Trial:
    def __init__(self, warehouse: BigQueryWarehouse, table: TableRef) -> None:
        self._warehouse = warehouse
        self._table = table
        self._days = [datetime.now(UTC).date() - timedelta(days=2), datetime.now(UTC).date() - timedelta(days=1)]

    def failure(self) -> str | None:
        """What did not hold; None where all did. Raises `WarehouseError`."""
        first, second = self._days
        self._warehouse.ensure_table(self._table, _SCHEMA)
        staged = self._stage("one", "1.5")
        if self._rows() != []:
            return "rows that are only staged can be read in the table"
        self._warehouse.publish(staged, [first], self._job("publish-first"))
        if self._rows() != [(first, "one", "1.5")]:
            return f"after publishing {first} alone the table has {self._rows()}"
        self._warehouse.publish(staged, [second], self._job("publish-second"))
        before, published = self._now(), self._rows()
        again = self._stage("two", "0.1")
        self._warehouse.publish(again, [second], self._job("replace"))
        if self._rows() != [(first, "one", "1.5"), (second, "two", "0.1")]:
            return f"after replacing {second} the table has {self._rows()}"
        past = self._warehouse.stage_past(self._table, _SCHEMA, second, before, self._job("stage-past"))
        self._warehouse.publish(past, [second], self._job("roll-back"))
        if self._rows() != published:
            return f"after putting {second} back to what it was at {before:%H:%M:%S} UTC the table has {self._rows()}"
        merged = {"day": first, "name": "one", "cost": "2"}
        self._warehouse.merge_rows(self._table, _SCHEMA, [merged], ("day", "name"), self._job("merge"))
        if self._rows() != [(first, "one", "2"), (second, "one", "1.5")]:
            return f"after merging a row of {first} the table has {self._rows()}"
        return None

    def _stage(self, name: str, cost: str) -> Staged:
        queries = [
            Query(f"SELECT DATE '{day}' AS day, '{name}' AS name, NUMERIC '{cost}' AS cost") for day in self._days
        ]
        return self._warehouse.stage_query(self._table, _SCHEMA, queries, self._job(f"stage-{name}"))

    def _now(self) -> datetime:
        """The warehouse's own clock, at which the table is asked for later."""
        (row,) = self._warehouse.rows(Query("SELECT CURRENT_TIMESTAMP() AS now"), self._job("now"))
        now: datetime = row["now"]
        return now

    def _rows(self) -> list[tuple[date, str, str]]:
        first = f"DATE '{self._days[0]}'"
        query = Query(f"SELECT day, name, cost FROM {self._quoted} WHERE day >= {first} ORDER BY day, name")
        rows = self._warehouse.rows(query, self._job("read"))
        return [(row["day"], row["name"], f"{row['cost'].normalize():f}") for row in rows]

    @property
    def _quoted(self) -> str:
        return replace(self._table, project=self._table.project or self._warehouse.project).quoted

    def _job(self, run_id: str) -> Job:
        labels = {"pipeline": "certify", "asset": "certify"}
        return Job(f"{self._table.dataset}-{run_id}", labels, timeout_seconds=120.0, maximum_bytes_billed=_CAP)
