"""Restores a published partition to an earlier moment, as one more publication."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from convergence_assets.assets.queries import job_of
from convergence_assets.assets.schema_mapping import table_schema, target_table
from convergence_assets.control import audit, partition_states, publications
from convergence_assets.control.audit import AuditEntry
from convergence_assets.control.lock_session import LockSession
from convergence_assets.control.locks import Claim
from convergence_assets.control.publications import Publications
from convergence_assets.control.store import ControlStore
from convergence_assets.control.table_versions import last_switch, unfinished_switch
from convergence_assets.scheduling.requesting import PipelineDays
from convergence_assets.scheduling.targets import tables_of
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline
from convergence_assets.warehouse.errors import NotKept, UpgradeNotEnded
from convergence_assets.warehouse.interface import Job, Staged, Warehouse
from convergence_assets.warehouse.schema import Query, version_name
from convergence_assets.warehouse.schema_diff import other_version


class AtWork(Exception):
    """A run was requested for the day and has not ended: it would overwrite what is restored."""


@dataclass(frozen=True)
class Restored:
    """One table's partition of one tenant, to be restored to `as_of` (UTC)."""

    tenant: Tenant
    pipeline: TenantPipeline
    step: Step
    day: date
    as_of: datetime
    run_id: str

    @property
    def readers(self) -> tuple[str, ...]:
        """The tables of the same pipeline that read it, directly or not, in the order of their creation."""
        reached = {self.step.table}
        for step in self.pipeline.steps:
            if step.table not in reached and reached.intersection(step.upstream):
                reached.add(step.table)
        return tuple(step.table for step in self.pipeline.steps if step.table in reached - {self.step.table})

    @property
    def job(self) -> Job:
        return job_of(self.tenant, self.pipeline, self.step.table, str(self.day), self.run_id)

    @property
    def claim(self) -> Claim:
        return Claim(self.tenant.tenant_id, self.pipeline.name, self.day, self.day)

    def refuse_other_version(self, warehouse: Warehouse, store: ControlStore) -> None:
        """Raise `VersionMismatch` or `UpgradeNotEnded` where the table is of another version than its step declares, or
        its switch has not ended, and `NotKept` where the moment lies before the switch to it: the rows had the columns
        of another version."""
        target = target_table(self.tenant, self.step.table)
        declared, existing = self.step.spec.version, warehouse.existing_schema(target)
        if existing is not None and existing.version != declared:
            raise other_version(target, existing.version, declared)
        tenant_id, name = self.tenant.tenant_id, self.step.table
        with store.read() as connection:
            unfinished = unfinished_switch(connection, tenant_id, version_name(name, declared))
            switched = last_switch(connection, tenant_id, name)
        if unfinished:
            raise UpgradeNotEnded(f"the switch of table {target} to version {declared} has not ended")
        if switched is not None and self.as_of <= switched:
            raise NotKept(
                f"table {target} was switched to version {declared} at {switched:%Y-%m-%dT%H:%M:%SZ}, and its rows at "
                f"{self.as_of:%Y-%m-%dT%H:%M:%SZ} are of another one"
            )

    def staged(self, warehouse: Warehouse, store: ControlStore) -> tuple[Staged, int]:
        """Stage the rows as they were; also returns how many are published now. Raises `WarehouseError` and
        `ControlError`."""
        self.refuse_other_version(warehouse, store)
        target = target_table(self.tenant, self.step.table)
        was = warehouse.stage_past(target, table_schema(self.step.spec), self.day, self.as_of, self.job)
        count = f"SELECT COUNT(*) AS n FROM {target.quoted} WHERE `{self.step.spec.partition_column}` = @day"
        now = warehouse.read(Query(count, {"day": self.day}), self.job).to_pylist()
        return was, int(now[0]["n"])

    def publish(
        self,
        warehouse: Warehouse,
        staged: Staged,
        rows_now: int,
        session: LockSession,
        ended: Callable[[str], bool],
        by: str,
    ) -> None:
        """Publish what was staged, under the day's lock, which the run id holds; recorded as a publication and a entry.
        `ended` says whether another run is over.

        Raises `Refused` where a run holds the day, `AtWork` where one was requested, `LockLost`, `WarehouseError` and
        `ControlError`; nothing is published then.
        """
        name = (self.tenant.tenant_id, self.pipeline.name)
        lock = session.hold_lock(self.claim, self.run_id, ended)
        # Once more: it can have been switched since its rows were staged, and not from here on.
        self.refuse_other_version(warehouse, session.store)
        with session.store.read() as connection:
            waiting = partition_states.outstanding(connection, *name, [self.day])
            before = publications.between(connection, name[0], [self.step.table], self.day, self.day)
        if requested := [row for row in waiting if row.state == "requested"]:
            raise AtWork(f"{self.claim}: {requested[0].reason}; its run would write over what is restored")
        published = Publications(session.store)
        # As if it had read what is published now: only later publications make the day due.
        read_through = published.newest_version()
        session.locks.confirm(lock)
        warehouse.publish(staged, [self.day], self.job)
        last = before.get((self.step.table, self.day))
        published.record(
            *name, self.step.table, {self.day: staged.rows},
            run_id=self.run_id, read_through=read_through,
            markers={self.day: last.marker} if last and last.marker else {}, table_version=self.step.spec.version,
        )  # fmt: skip
        outcome = (
            f"as of {self.as_of:%Y-%m-%dT%H:%M:%SZ}: {staged.rows} rows in the place of {rows_now}, run {self.run_id}"
        )
        entry = AuditEntry(by, "table.restore", outcome, name[0], f"{self.step.table}/{self.day}")
        with session.store.write() as connection:
            audit.record_entry(connection, entry, session.store.now())
        warehouse.discard(staged)

    def leave_alone(self, session: LockSession) -> None:
        """Keep the planner from running the day again, though tables that read the restored one are older than it."""
        name = (self.tenant.tenant_id, self.pipeline.name)
        with session.store.write("planner") as connection:
            version = publications.newest_version(connection)
            reason = f"{self.step.table} was restored, and what reads it could not be made of it (run {self.run_id})"
            tables = tables_of(self.tenant, self.pipeline)
            PipelineDays(connection, name, tables, [self.day], session.store.now()).give_up(reason, version)
