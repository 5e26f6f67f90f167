"""Tables whose declared columns an existing table does not take: which ones, and under which names they are built."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from convergence_assets.assets.schema_mapping import table_schema, target_table
from convergence_assets.control.definitions import definition_contents
from convergence_assets.control.publications import publications_of
from convergence_assets.control.store import ControlStore
from convergence_assets.preview.touched import steps_in_order
from convergence_assets.tenancy.definition import Definition
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline
from convergence_assets.warehouse.errors import SchemaMismatch
from convergence_assets.warehouse.interface import Warehouse
from convergence_assets.warehouse.schema import TableRef
from convergence_assets.warehouse.schema_diff import added_columns


@dataclass(frozen=True)
class TableVersion:
    """A published table and the version that its step declares.

    `days` are those that are published, ascending, and `rows` theirs; `made_by` is the newest definition that is known
    of them. `is_switched`: the table is the new one already, and only the record of that is missing. `problem` says why
    it cannot be upgraded.
    """

    tenant: Tenant
    pipeline: TenantPipeline
    step: Step
    version: int
    days: tuple[date, ...]
    rows: int
    made_by: Definition | None
    is_switched: bool = False
    problem: str | None = None

    @property
    def table(self) -> TableRef:
        return target_table(self.tenant, self.step.table)

    def of_version(self, version: int) -> TableRef:
        """Where the table of a version lies beside the one that is read."""
        return replace(self.table, table=f"{self.table.table}__v{version}")

    @property
    def needs_upgrade(self) -> bool:
        return self.problem is not None or self.step.spec.version > self.version

    @property
    def name(self) -> str:
        return f"tenant {self.tenant.tenant_id}, table {self.step.table}"


def table_versions(store: ControlStore, warehouse: Warehouse, tenant: Tenant) -> Iterator[TableVersion]:
    """The published tables of a tenant, each after those that it reads. Raises `WarehouseError` and `ControlError`."""
    with store.read() as connection:
        published = publications_of(connection, tenant.tenant_id)
        contents = definition_contents(connection, {one.definition for one in published if one.definition})
    for pipeline, step in steps_in_order(tenant):
        of_table = [one for one in published if one.table == step.table and one.day >= pipeline.start_date]
        known = [one for one in of_table if one.definition in contents]
        if not of_table:
            continue
        newest = max(known, key=lambda one: one.version, default=None)
        made_by = Definition.stored(contents[newest.definition or ""]) if newest else None
        days, rows = tuple(sorted(one.day for one in of_table)), sum(one.rows for one in of_table)
        found = TableVersion(tenant, pipeline, step, made_by.number if made_by else 1, days, rows, made_by)
        yield _compared(warehouse, found)


def _compared(warehouse: Warehouse, found: TableVersion) -> TableVersion:
    existing, declared = warehouse.existing_schema(found.table), found.step.spec.version
    if existing is None:
        return replace(found, problem="its days are published and there is no table")
    if declared < found.version:
        return replace(found, problem=f"version {declared} is declared, and version {found.version} is published")
    try:
        added_columns(table_schema(found.step.spec), existing, found.table)
    except SchemaMismatch as error:
        if declared > found.version:
            return found
        return replace(found, problem=f"{error}. Next: `version: {found.version + 1}` in its step, then this again")
    kept, new = found.of_version(found.version), found.of_version(declared)
    is_switched = declared > found.version and bool(
        warehouse.existing_schema(kept) and not warehouse.existing_schema(new)
    )
    return replace(found, is_switched=is_switched)
