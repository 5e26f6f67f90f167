"""The project that is examined: its datasets and tables as they are, each asked for once."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from convergence_assets.assets.schema_mapping import table_schema, target_table
from convergence_assets.assets.warehouse_factory import open_bigquery
from convergence_assets.diagnostics.doctor.examine import Setup
from convergence_assets.ledger.tables import TABLES
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.errors import NotFound
from convergence_assets.warehouse.schema import Dataset, TableRef, TableSchema

if TYPE_CHECKING:
    from google.cloud import bigquery

    from convergence_assets.warehouse.bigquery.adapter import BigQueryWarehouse

RETRY_SECONDS = 5.0
"""How long a refused request is sent again: what is refused for longer is a finding."""


@dataclass(frozen=True)
class ProjectSetup(Setup):
    """A set-up whose warehouse is BigQuery."""

    _datasets: "dict[Dataset, bigquery.Dataset | None]" = field(default_factory=dict, compare=False)
    _tables: "dict[TableRef, bigquery.Table | None]" = field(default_factory=dict, compare=False)

    @cached_property
    def warehouse(self) -> "BigQueryWarehouse":
        """A connection as the platform's own account."""
        return open_bigquery(self.settings, budget_seconds=RETRY_SECONDS)

    @cached_property
    def tenants(self) -> list[Tenant]:
        """Those that are enabled, by name."""
        return [tenant for _, tenant in sorted(self.registry.tenants.items()) if tenant.enabled]

    def shown(self, dataset: Dataset) -> str:
        """As `bq` takes it: `project:dataset`."""
        return f"{dataset.project or self.warehouse.project}:{dataset.name}"

    def dataset(self, dataset: Dataset) -> "bigquery.Dataset | None":
        """The dataset as it is, None where there is none. Raises `WarehouseError`."""
        named = replace(dataset, project=dataset.project or self.warehouse.project)
        if named not in self._datasets:
            try:
                self._datasets[named] = self.warehouse.administration.dataset(named)
            except NotFound:
                self._datasets[named] = None
        return self._datasets[named]

    def table(self, table: TableRef) -> "bigquery.Table | None":
        """The table as it is, None where there is none. Raises `WarehouseError`."""
        named = replace(table, project=table.project or self.warehouse.project)
        if named not in self._tables:
            try:
                self._tables[named] = self.warehouse.administration.table(named)
            except NotFound:
                self._tables[named] = None
        return self._tables[named]

    def tables(self, tenant: Tenant) -> Iterator[tuple[TableRef, TableSchema, "bigquery.Table"]]:
        """The tenant's tables that exist, pipelines' and ledger's, each with what it is declared to be."""
        declared = {step.table: table_schema(step.spec) for pipeline in tenant.pipelines for step in pipeline.steps}
        declared |= {name: table.schema for name, table in TABLES.items()}
        for name, schema in declared.items():
            ref = target_table(tenant, name)
            if (table := self.table(ref)) is not None:
                yield ref, schema, table
