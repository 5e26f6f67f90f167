"""Datasets and tables: made, brought up to date, listed, removed."""

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, cast

from convergence_assets.warehouse.bigquery import tables
from convergence_assets.warehouse.bigquery.connection import Connection
from convergence_assets.warehouse.bigquery.labels import MANAGED, VERSION, of_table, of_version
from convergence_assets.warehouse.errors import NotFound, UpgradeNotEnded
from convergence_assets.warehouse.interface import STAGING_KEPT_DAYS, SchemaChange
from convergence_assets.warehouse.schema import (
    SHARED_PREFIX,
    STAGING_PREFIX,
    Dataset,
    TableRef,
    TableSchema,
    is_version,
    version_number,
)
from convergence_assets.warehouse.schema_diff import added_columns

if TYPE_CHECKING:
    from google.cloud import bigquery

FILES = "__files"
"""The ending of a table beside a staging one, into which files are loaded."""


@dataclass(frozen=True)
class Administration:
    """Every method raises `WarehouseError`."""

    connection: Connection

    def table(self, table: TableRef) -> "bigquery.Table":
        """The table as it is; raises `NotFound`."""
        reference = self.connection.reference(table)
        fetched: bigquery.Table = self.connection.jobs.call(
            lambda retry: self._client.get_table(reference, retry=retry)
        )
        return fetched

    def ensure(self, table: TableRef, schema: TableSchema) -> SchemaChange:
        try:
            existing = self.table(table)
        except NotFound:
            self._refuse_between_versions(table)
            self.create(table, schema, of_table(schema.version), expires=False)
            return SchemaChange(created=True)
        added = added_columns(schema, tables.schema_of(existing, schema), table)
        if changed := tables.reconcile(existing, schema, added):
            self.connection.jobs.call(lambda retry: self._client.update_table(existing, changed, retry=retry))
        return SchemaChange(created=False, added=tuple(c.name for c in added))

    def _refuse_between_versions(self, table: TableRef) -> None:
        """Refuse to make a table that is absent since its switch to another version was interrupted."""
        names = [one.table for one in self.version_tables(Dataset.of(table))]
        if versions := [name for name in names if version_number(name, table.table)]:
            raise UpgradeNotEnded(f"table {table} is absent, and there is {', '.join(versions)}")

    def create(
        self, table: TableRef, schema: TableSchema, labels: Mapping[str, str], *, expires: bool
    ) -> "bigquery.Table":
        """Make the table, and its dataset where there is none."""
        decorators = self.connection.decorators
        declared = tables.table_of(self.connection.reference(table), schema, ingestion_time=decorators, labels=labels)
        create = functools.partial(self._client.create_table, declared, exists_ok=True)
        try:
            created = self.connection.jobs.call(lambda retry: create(retry=retry))
        except NotFound:
            self.make_dataset(Dataset.of(table), expires=expires)
            created = self.connection.jobs.call(lambda retry: create(retry=retry))
        return cast("bigquery.Table", created)

    def ensure_view(self, view: TableRef, sql: str) -> bool:
        """Make the view where there is none; True if it was made."""
        from google.cloud import bigquery

        try:
            self.table(view)
        except NotFound:
            view_table = bigquery.Table(self.connection.reference(view))
            view_table.view_query = sql
            view_table.labels = dict(MANAGED)
            self.make_dataset(Dataset.of(view), expires=False)
            self.connection.jobs.call(lambda retry: self._client.create_table(view_table, exists_ok=True, retry=retry))
            return True
        return False

    def make_dataset(self, dataset: Dataset, *, expires: bool) -> None:
        """Where there is none; tables of one that `expires` go after `STAGING_KEPT_DAYS`."""
        from google.cloud import bigquery

        declared = bigquery.Dataset(self._name(dataset))
        declared.location = self.connection.location
        declared.labels = MANAGED
        if expires:
            declared.default_table_expiration_ms = STAGING_KEPT_DAYS * 86_400_000
        self.connection.jobs.call(lambda retry: self._client.create_dataset(declared, exists_ok=True, retry=retry))

    def dataset(self, dataset: Dataset) -> "bigquery.Dataset":
        """The dataset as it is; raises `NotFound`."""
        fetched: bigquery.Dataset = self.connection.jobs.call(
            lambda retry: self._client.get_dataset(self._name(dataset), retry=retry)
        )
        return fetched

    def has(self, dataset: Dataset) -> bool:
        try:
            self.dataset(dataset)
        except NotFound:
            return False
        return True

    def missing_permissions(self, table: TableRef, permissions: Collection[str]) -> list[str]:
        """Those that the account does not have on a table; raises `NotFound`."""
        reference = self.connection.reference(table)
        answer = self.connection.jobs.call(
            lambda retry: self._client.test_iam_permissions(reference, list(permissions), retry=retry)
        )
        return sorted(set(permissions) - set(answer.get("permissions", ())))

    def labels_of_job(self, job_id: str) -> Mapping[str, str]:
        """What a job is labelled with; raises `NotFound`."""
        location = self.connection.location
        job = self.connection.jobs.call(lambda retry: self._client.get_job(job_id, location=location, retry=retry))
        return dict(job.labels)

    def datasets(self, project: str) -> list[str]:
        """Every dataset's name."""
        listed = self.connection.jobs.call(lambda retry: list(self._client.list_datasets(project, retry=retry)))
        return [item.dataset_id for item in listed]

    def table_names(self, dataset: Dataset) -> list[str]:
        """Every table, also of other makers; raises `NotFound`."""
        return [item.table_id for item in self._listed(dataset)]

    def own_tables(self, dataset: Dataset) -> list[TableRef]:
        """The tables that this platform made."""
        try:
            listed = self._listed(dataset)
        except NotFound:
            return []
        table_ids = [item.table_id for item in listed if MANAGED.items() <= dict(item.labels or {}).items()]
        return [TableRef(dataset.name, name, dataset.project) for name in sorted(table_ids)]

    def version_tables(self, dataset: Dataset) -> list[TableRef]:
        """As `Warehouse.version_tables`."""
        try:
            numbers = {item.table_id: dict(item.labels or {}).get(VERSION, "") for item in self._listed(dataset)}
        except NotFound:
            return []
        names = [name for name, number in numbers.items() if number.isdecimal() and is_version(name, int(number))]
        return [TableRef(dataset.name, name, dataset.project) for name in sorted(names)]

    def has_table(self, table: TableRef) -> bool:
        """Whether there is a table or view of this name."""
        try:
            self.table(table)
        except NotFound:
            return False
        return True

    def mark_version(self, table: TableRef, version: int) -> None:
        """Label a table with its version, also where that is 1."""
        existing = self.table(table)
        existing.labels = {**(existing.labels or {}), **of_version(version)}
        self.connection.jobs.call(lambda retry: self._client.update_table(existing, ["labels"], retry=retry))

    def drop(self, table: TableRef) -> None:
        """Also one that is not there."""
        reference = self.connection.reference(table)
        self.connection.jobs.call(lambda retry: self._client.delete_table(reference, not_found_ok=True, retry=retry))

    def drop_table(self, table: TableRef, *, if_empty: bool) -> bool:
        try:
            existing = self.table(table)
        except NotFound:
            return False
        if if_empty and existing.num_rows:
            return False
        self.drop(table)
        return True

    def drop_dataset(self, dataset: Dataset) -> bool:
        if not self.has(dataset) or self.table_names(dataset):
            return False
        self._delete(dataset, with_tables=False)
        return True

    def staged_runs(self, dataset: Dataset) -> dict[str, datetime]:
        staging = replace(dataset, name=STAGING_PREFIX + dataset.name)
        try:
            listed = self._listed(staging)
        except NotFound:
            return {}
        newest_by_run: dict[str, datetime] = {}
        for item in listed:
            run_id = item.table_id.removesuffix(FILES).rpartition("__")[2].replace("_", "-")
            created: datetime | None = item.created
            if created is not None:
                newest_by_run[run_id] = max(newest_by_run.get(run_id, created), created)
        return newest_by_run

    def drop_staged(self, dataset: Dataset, run_id: str) -> None:
        staging, suffix = replace(dataset, name=STAGING_PREFIX + dataset.name), f"__{run_id.replace('-', '_')}"
        try:
            names = [item.table_id for item in self._listed(staging)]
        except NotFound:
            return
        for name in names:
            if name.removesuffix(FILES).endswith(suffix):
                self.drop(TableRef(staging.name, name, staging.project))

    def drop_staging(self, dataset: Dataset) -> int:
        views = replace(dataset, name=SHARED_PREFIX + dataset.name)
        self._delete(views, with_tables=True)
        staging = replace(dataset, name=STAGING_PREFIX + dataset.name)
        try:
            tables_there = len(self.table_names(staging))
        except NotFound:
            return 0
        self._delete(staging, with_tables=True)
        return tables_there

    @property
    def _client(self) -> "bigquery.Client":
        return self.connection.client

    def _name(self, dataset: Dataset) -> str:
        return f"{dataset.project or self._client.project}.{dataset.name}"

    def _listed(self, dataset: Dataset) -> "list[bigquery.table.TableListItem]":
        name = self._name(dataset)
        listed: list[bigquery.table.TableListItem] = self.connection.jobs.call(
            lambda retry: list(self._client.list_tables(name, retry=retry))
        )
        return listed

    def _delete(self, dataset: Dataset, *, with_tables: bool) -> None:
        delete = functools.partial(self._client.delete_dataset, self._name(dataset), delete_contents=with_tables)
        self.connection.jobs.call(lambda retry: delete(not_found_ok=True, retry=retry))
