"""Builds a table's new version beside the old one, and lets it take its place once their sums agree."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from convergence_assets.assets.materialize import StepRun, stopped_partitions
from convergence_assets.assets.queries import job_of
from convergence_assets.assets.schema_mapping import table_schema
from convergence_assets.assets.shared_views import ensure_shared_views
from convergence_assets.assets.window import Window
from convergence_assets.control import audit
from convergence_assets.control.audit import AuditEntry
from convergence_assets.control.definitions import StoredDefinition
from convergence_assets.control.lock_session import LockSession
from convergence_assets.control.locks import Claim
from convergence_assets.control.publications import Publications
from convergence_assets.preview.relations import is_among
from convergence_assets.preview.tenant_run import currency_column, neighbours
from convergence_assets.settings import Settings
from convergence_assets.tenancy.definition import Definition, definition_of
from convergence_assets.tenant_lifecycle.table_versions import TableVersion
from convergence_assets.warehouse.interface import Job, Warehouse
from convergence_assets.warehouse.schema import Dataset, Query, TableRef, TableSchema

DAYS_AT_ONCE = 30
"""How many days of a new version are made and checked together."""
MOST_NAMED = 5
_AMOUNTS = ("NUMERIC", "BIGNUMERIC")

Sums = Mapping[tuple[date, str], tuple[Decimal | None, ...]]
"""By day and currency."""


class NotUpgraded(Exception):
    """A table was not switched; the message names it, why, and the next step. What was built stays for the next
    time."""


@dataclass(frozen=True)
class Upgrade:
    """The upgrade, or its taking back, of tables; `ended` says whether another run is over, `by` who does it."""

    settings: Settings
    warehouse: Warehouse
    session: LockSession
    ended: Callable[[str], bool]
    by: str

    def apply(self, found: TableVersion, progress: Callable[[int], None] = lambda days: None) -> None:
        """Build what is missing of the new version, compare the sums of each day, and switch. Started again after it
        was ended anywhere, it goes on; `progress` gets the number of days that are made.

        Raises `NotUpgraded`, `WarehouseError`, `Refused` where a run holds one of the days, and `ControlError`.
        """
        if found.problem:
            raise NotUpgraded(f"{found.name}: {found.problem}")
        run_id, number = f"upgrade-{uuid.uuid4().hex}", found.step.spec.version
        definition = definition_of(found.tenant, found.step)
        try:
            if not found.is_switched:
                new = found.of_version(number)
                self._build(found, new, run_id, progress)
                lock = self.session.hold_lock(_claim(found), run_id, self.ended)
                self._agree(found, new, run_id)
                self.session.locks.confirm(lock)
                self.warehouse.switch_table(found.table, new, found.of_version(found.version), _job(found, run_id))
            self._record(found, definition, run_id, f"version {found.version} -> {number}")
        finally:
            self.session.release_run(run_id)
            self.warehouse.drop_staged(Dataset(found.tenant.dataset, found.tenant.project), run_id)

    def roll_back(self, found: TableVersion) -> None:
        """Let the version before take the table's place again; the one that was read is kept under its number.

        Raises `NotUpgraded` where none is kept, `WarehouseError`, `Refused` and `ControlError`.
        """
        before, run_id = found.version - 1, f"upgrade-{uuid.uuid4().hex}"
        former = self.warehouse.existing_schema(found.of_version(before)) if before else None
        if former is None:
            raise NotUpgraded(f"{found.name}: no version before {found.version} is kept")
        try:
            lock = self.session.hold_lock(_claim(found), run_id, self.ended)
            self.session.locks.confirm(lock)
            kept = found.of_version(found.version)
            self.warehouse.switch_table(found.table, found.of_version(before), kept, _job(found, run_id))
            self._record(found, _put_back(found, former, before), run_id, f"version {found.version} -> {before}")
        finally:
            self.session.release_run(run_id)

    def _build(self, found: TableVersion, new: TableRef, run_id: str, progress: Callable[[int], None]) -> None:
        step, schema = found.step, table_schema(found.step.spec)
        self.warehouse.ensure_table(new, schema)
        built = {day for day, _ in self._sums(new, found.days, (), None, _job(found, run_id), schema)}
        progress(len(built))
        missing = [day for day in found.days if day not in built]
        ensure_shared_views(self.settings, found.tenant, step.sources.values())
        for span in neighbours(missing):
            for start in range(0, len(span), DAYS_AT_ONCE):
                self._make(found, new, span[start : start + DAYS_AT_ONCE], run_id)
                progress(len(span[start : start + DAYS_AT_ONCE]))

    def _make(self, found: TableVersion, new: TableRef, days: Sequence[date], run_id: str) -> None:
        columns = ", ".join(f"`{c.name}`" for c in table_schema(found.step.spec).columns)
        own = {found.step.table: f"(SELECT {columns} FROM {new.quoted})"}
        step = replace(found.step, replaced=own if found.step.sql and found.step.table in found.step.sql.tables else {})
        run = StepRun(self.settings, found.tenant, found.pipeline, step)
        window, job = Window.local(days[0], days[-1], found.tenant.timezone), _job(found, run_id)
        staged = run.stage(self.warehouse, window, job, new)
        stopped = stopped_partitions(run.validate(self.warehouse, staged, window, job), window.days)
        if stopped:
            named = "; ".join(f"{day}: {', '.join(names)}" for day, names in list(stopped.items())[:MOST_NAMED])
            raise NotUpgraded(
                f"{found.name}: the new version of {len(stopped)} days is stopped by its checks ({named}). Nothing was "
                "switched. Next: correct the step, its source or its suite, then this again"
            )
        self.warehouse.publish(staged, window.days, job)
        self.warehouse.discard(staged)

    def _agree(self, found: TableVersion, new: TableRef, run_id: str) -> None:
        """Compare the sums of the old and the new table by day and currency. Days that differ are made once more, since
        the old table may have changed meanwhile."""
        differing = self._differing(found, new, run_id)
        if not differing:
            return
        for span in neighbours(differing):
            self._make(found, new, span, run_id)
        if differing := self._differing(found, new, run_id):
            named = ", ".join(map(str, differing[:MOST_NAMED]))
            raise NotUpgraded(
                f"{found.name}: the sums of {len(differing)} days differ between the published table and {new} "
                f"({named}). Nothing was switched. Next: compare the two with `convergence query`; where the new sums "
                "are right, make the days again with the old columns first"
            )

    def _differing(self, found: TableVersion, new: TableRef, run_id: str) -> list[date]:
        schema, existing, job = (
            table_schema(found.step.spec),
            self.warehouse.existing_schema(found.table),
            _job(found, run_id),
        )
        assert existing
        pairs = _pairs(found, existing, schema)
        currency = currency_column(found.step.spec)
        if currency and (existing.column(currency) is None or schema.column(currency) is None):
            currency = None
        old = self._sums(found.table, found.days, [one for one, _ in pairs], currency, job, existing)
        now = self._sums(new, found.days, [one for _, one in pairs], currency, job, schema)
        return sorted({name[0] for name in {*old, *now} if old.get(name) != now.get(name)})

    def _sums(
        self, table: TableRef, days: Sequence[date], columns: Sequence[str], currency: str | None, job: Job,
        schema: TableSchema,
    ) -> Sums:  # fmt: skip
        """The sums of these columns, or the number of rows where there is none."""
        day, kind = f"`{schema.partition_column}`", f"`{currency}`" if currency else "CAST(NULL AS STRING)"
        sums = [f"SUM(`{name}`)" for name in columns] or ["CAST(COUNT(*) AS NUMERIC)"]
        named = ", ".join(f"{expression} AS x_{at}" for at, expression in enumerate(sums))
        sql = (
            f"SELECT {day} AS x_day, {kind} AS x_currency, {named} FROM {table.quoted} "
            f"WHERE {is_among(day, days)} GROUP BY 1, 2"
        )
        return {
            (row["x_day"], row["x_currency"] or ""): tuple(row[f"x_{at}"] for at in range(len(sums)))
            for row in self.warehouse.rows(Query(sql), job)
        }

    def _record(self, found: TableVersion, definition: Definition, run_id: str, outcome: str) -> None:
        schema = self.warehouse.existing_schema(found.table)
        assert schema
        counted = self._sums(found.table, found.days, (), None, _job(found, run_id), schema)
        rows = {day: int(counted.get((day, ""), (Decimal(),))[0] or 0) for day in found.days}
        tenant_id, publications = found.tenant.tenant_id, Publications(self.session.store)
        publications.record(
            tenant_id, found.pipeline.name, found.step.table, rows, run_id=run_id,
            read_through=publications.newest_version(),
            definition=StoredDefinition(definition.version, definition.content),
        )  # fmt: skip
        entry = AuditEntry(self.by, "table.upgrade", f"{outcome}, run {run_id}", tenant_id, found.step.table)
        with self.session.store.write() as connection:
            audit.record_entry(connection, entry, self.session.store.now())


def _pairs(found: TableVersion, old: TableSchema, new: TableSchema) -> list[tuple[str, str]]:
    """The columns whose sums have to agree, old and new: the money of both, and amounts of one name."""
    amounts = [{c.name: c.name for c in s.columns if c.type in _AMOUNTS and c.mode != "REPEATED"} for s in (old, new)]
    pairs = [(name, name) for name in amounts[0] if name in amounts[1]]
    before = found.made_by.money if found.made_by else None
    now = found.step.spec.money.column if found.step.spec.money else None
    if before and now and before != now and before in amounts[0] and now in amounts[1]:
        pairs.append((before, now))
    return pairs


def _put_back(found: TableVersion, former: TableSchema, version: int) -> Definition:
    """What is known of a version that took its place again: its columns. Its days count as made by another SQL."""
    columns = {c.name: f"{c.type} {c.mode}" for c in former.columns}
    now = definition_of(found.tenant, found.step)
    return replace(now, sql="put back", text="put back", columns=columns, number=version)


def _claim(found: TableVersion) -> Claim:
    return Claim(found.tenant.tenant_id, found.pipeline.name, found.days[0], found.days[-1])


def _job(found: TableVersion, run_id: str) -> Job:
    window = f"{found.days[0]}...{found.days[-1]}"
    return job_of(found.tenant, found.pipeline, found.step.table, window, run_id)
