"""The versions of a tenant's tables: the one that is read, the one that its step declares, and those that are kept."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property

from convergence_assets.assets.schema_mapping import table_schema, target_table
from convergence_assets.control.definitions import definition_contents
from convergence_assets.control.publications import Publication
from convergence_assets.control.store import ControlStore
from convergence_assets.control.table_versions import days_of_table, days_of_version, is_built_day, stands
from convergence_assets.local_days import last_finished_day
from convergence_assets.preview.touched import steps_in_order
from convergence_assets.tenancy.definition import Definition, definition_of
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline
from convergence_assets.warehouse.errors import SchemaMismatch
from convergence_assets.warehouse.interface import Warehouse
from convergence_assets.warehouse.schema import Dataset, TableRef, TableSchema, version_name, version_number
from convergence_assets.warehouse.schema_diff import added_columns


class NotUpgraded(Exception):
    """A table was not switched; the message names it, why, and the next step."""


@dataclass(frozen=True)
class TableVersion:
    """A table that was made, with what is known of its versions.

    `schema` is that of the table that is read (None: it is absent, as a switch was interrupted), `published` its days;
    `recorded` are the days of every other version by its number, and `kept` the numbers of which there is a table.
    `made_by` is the definition of the highest version that made a day of it, the newest such one, where one is known.
    `today` is the tenant's.
    """

    tenant: Tenant
    pipeline: TenantPipeline
    step: Step
    schema: TableSchema | None
    published: Mapping[date, Publication]
    recorded: Mapping[int, Mapping[date, Publication]]
    kept: frozenset[int]
    made_by: Definition | None
    today: date

    @property
    def table(self) -> TableRef:
        """The one that is read."""
        return target_table(self.tenant, self.step.table)

    @property
    def name(self) -> str:
        return f"tenant {self.tenant.tenant_id}, table {self.step.table}"

    @property
    def declared(self) -> int:
        return self.step.spec.version

    @property
    def read(self) -> int:
        """The number of the version that is read, or was, where the table is absent."""
        if self.schema:
            return self.schema.version
        # Its days are the table's still, and not under its own name. `made_by` made no copied day.
        unrecorded = [number for number in self.kept if not self.recorded.get(number)]
        if len(unrecorded) == 1:
            return unrecorded[0]
        return self.made_by.number if self.made_by else 1

    def of_version(self, number: int) -> TableRef:
        """Where the table of a version lies beside the one that is read."""
        return replace(self.table, table=version_name(self.step.table, number))

    @property
    def built(self) -> Mapping[date, Publication]:
        """The days that are built of the declared version."""
        recorded = self.recorded.get(self.declared, {})
        return {day: one for day, one in recorded.items() if is_built_day(one)}

    @property
    def former(self) -> int | None:
        """The number of the version before, where it is kept."""
        return max((number for number in self.kept if number < self.read), default=None)

    @property
    def unfinished(self) -> Mapping[date, Publication]:
        """The days that are to be those of the table, where a switch was interrupted after the warehouse's part."""
        return self.recorded.get(self.schema.version, {}) if self.schema else {}

    @cached_property
    def missing(self) -> list[date]:
        """The published days, ascending, that are not built yet, by another definition, or beside other rows."""
        by = definition_of(self.tenant, self.step).version
        return sorted(day for day, one in self.published.items() if not stands(self.built.get(day), one, by))

    @cached_property
    def unbuildable(self) -> Mapping[date, str]:
        """Why a published day can be copied alone."""
        spec = self.step.spec
        kept_days = [d for d in (spec.partition_expiration_days, self._expiration_days) if d]
        expired = self.today - timedelta(days=min(kept_days)) if kept_days else date.min
        return {
            day: "before start_date" if day < self.pipeline.start_date else "past its expiration"
            for day in self.published
            if day < self.pipeline.start_date or day < expired
        }

    @property
    def leaves_a_gap(self) -> bool:
        """Whether BigQuery cannot replace the table that is read by the declared version: it is laid out otherwise."""
        spec, schema = self.step.spec, self.schema
        declared = (spec.partition_column, *spec.clustering)
        return schema is not None and (schema.partition_column, *schema.clustering) != declared

    @property
    def _expiration_days(self) -> int | None:
        return self.schema.partition_expiration_days if self.schema else None

    @property
    def needs_upgrade(self) -> bool:
        return self.problem is not None or self.schema is None or self.declared > self.read or bool(self.unfinished)

    @cached_property
    def problem(self) -> str | None:
        """Why it cannot be upgraded."""
        if self.schema is None:
            is_whole = not self.missing if self.built else self.declared == self.read
            if self.declared in self.kept and is_whole:
                return None
            return (
                f"it is absent, and there is no whole version {self.declared} beside it. Next: --rollback "
                f"--table {self.step.table}, where the former one is kept"
            )
        if self.unfinished:
            return None
        if self.declared < self.read:
            return (
                f"version {self.declared} is declared, and version {self.read} is read. Next: --rollback --table "
                f"{self.step.table}"
            )
        if self.declared == self.read:
            try:
                added_columns(table_schema(self.step.spec), self.schema, self.table)
            except SchemaMismatch as error:
                return f"{error}. Next: `version: {self.read + 1}` in its step, then this again"
        return None


def table_versions(store: ControlStore, warehouse: Warehouse, tenant: Tenant) -> Iterator[TableVersion]:
    """The tables of a tenant that were made, each after those that it reads. Raises `WarehouseError` and
    `ControlError`."""
    there = warehouse.version_tables(Dataset(tenant.dataset, tenant.project))
    for pipeline, step in steps_in_order(tenant):
        found = table_version(store, warehouse, tenant, pipeline, step, there)
        if found is not None:
            yield found


def table_version(
    store: ControlStore, warehouse: Warehouse, tenant: Tenant, pipeline: TenantPipeline, step: Step,
    there: Sequence[TableRef] | None = None,
) -> TableVersion | None:  # fmt: skip
    """What is known of one table now; None where it was never made. `there` are the versions in its dataset, where they
    were just listed. Raises `WarehouseError` and `ControlError`."""
    table = target_table(tenant, step.table)
    schema = warehouse.existing_schema(table)
    there = warehouse.version_tables(Dataset.of(table)) if there is None else there
    kept = frozenset(number for one in there if (number := version_number(one.table, step.table)))
    if schema is None and not kept:
        return None
    numbers = {*kept, step.spec.version} | ({schema.version} if schema else set())
    with store.read() as connection:
        published = days_of_table(connection, tenant.tenant_id, step.table)
        recorded = {
            number: days_of_version(connection, tenant.tenant_id, version_name(step.table, number))
            for number in numbers
        }
        contents = definition_contents(connection, {one.definition for one in published.values() if one.definition})
    makers = {name: Definition.stored(content) for name, content in contents.items()}
    known = [one for one in published.values() if one.definition in makers]
    newest = max(known, key=lambda one: (makers[one.definition or ""].number, one.version), default=None)
    made_by = makers[newest.definition or ""] if newest else None
    today = last_finished_day(tenant.timezone, store.now()) + timedelta(days=1)
    return TableVersion(tenant, pipeline, step, schema, published, recorded, kept, made_by, today)
