"""Builds a table's declared version beside the one that is read; it takes its place once their figures agree."""

import hashlib
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from convergence_assets.assets.schema_mapping import table_schema
from convergence_assets.control.lock_session import LockSession
from convergence_assets.control.locks import Claim, Lock
from convergence_assets.control.published_locations import PublishedLocation, place_of
from convergence_assets.control.table_versions import SWITCHED_BY, forget_version, is_built_day
from convergence_assets.settings import Settings
from convergence_assets.tenancy.description import dataset_of
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline
from convergence_assets.tenant_lifecycle.missing_inputs import RunOutcome, RunTables, make_inputs, missing_inputs
from convergence_assets.tenant_lifecycle.switch_records import end_switch
from convergence_assets.tenant_lifecycle.table_versions import NotUpgraded, TableVersion, table_version
from convergence_assets.tenant_lifecycle.version_building import VersionBuilder
from convergence_assets.tenant_lifecycle.version_figures import (
    Difference,
    differences,
    figures,
    pairs_of,
    rows_by_day,
)
from convergence_assets.warehouse.errors import SchemaMismatch
from convergence_assets.warehouse.interface import Job, Warehouse
from convergence_assets.warehouse.schema import Dataset

DAYS_AT_ONCE = 30
"""How many days of a new version are made and checked together."""
MOST_NAMED = 10
DIGITS = 12
GAP = (
    "BigQuery replaces no table by one of another partition column or clustering: for some seconds there is no table "
    "of that name, and who reads it then gets an error"
)


@dataclass(frozen=True)
class Upgrade:
    """Upgrades tables of a tenant. `ended` says whether another run is over, `by` who does it, `run` makes days of
    tables, `turn` returns when a run of a pipeline may begin; `accepted` are tables whose days may be lost, and changes
    of figures as `TABLE=DIGEST`; `accept_gap` that a table is absent for some seconds."""

    settings: Settings
    warehouse: Warehouse
    session: LockSession
    tenant: Tenant
    ended: Callable[[str], bool]
    by: str
    run: RunTables
    turn: Callable[[str], None] = lambda pipeline: None
    accepted: Collection[str] = ()
    accept_gap: bool = False
    notes: list[str] = field(default_factory=list)
    """What a person is to know besides, in sentences."""

    def apply(self, found: TableVersion, progress: Callable[[int], None] = lambda days: None) -> str:
        """Build what is missing of the declared version, compare all days, and switch; what was done, in words. Ended
        anywhere, it goes on when it is called again. `progress` gets the number of days that are made.

        Raises `NotUpgraded`, `WarehouseError`, `Refused` where a run is at work, `LockLost` and `ControlError`.
        """
        if found.problem:
            raise NotUpgraded(f"{found.name}: {found.problem}")
        if self.warehouse.engine == "bigquery" and found.leaves_a_gap and not self.accept_gap:
            raise NotUpgraded(f"{found.name}: {GAP}. Nothing is built. Next: this again with --accept-gap")
        run_id = new_run_id()
        lost: Mapping[date, str] = {}
        try:
            if found.unfinished:
                with self.every_day(found, run_id) as lock:
                    outcome = self.recorded(self.looked_up(found), lock)
                found = self.looked_up(found)
                if found.declared == found.read:
                    return outcome
            if found.schema is not None:
                lost = self._inputs_made(found)
                found = self._built(found, run_id, lost, progress)
            with self.every_day(found, run_id) as lock:
                found = self.looked_up(found)
                if found.problem:
                    raise NotUpgraded(f"{found.name}: {found.problem}")
                return self._switched(found, lock, lost, progress)
        finally:
            self.warehouse.drop_staged(Dataset(found.tenant.dataset, found.tenant.project), run_id)

    def looked_up(self, found: TableVersion) -> TableVersion:
        """The same table as it is now."""
        now = table_version(self.session.store, self.warehouse, found.tenant, found.pipeline, found.step)
        if now is None:
            raise NotUpgraded(f"{found.name}: there is no such table any more")
        return now

    @contextmanager
    def every_day(self, found: TableVersion, run_id: str) -> Iterator[Lock]:
        """Keep every run of the pipeline out. Raises `Refused` where one is at work, and `NotUpgraded` where the tenant
        was migrated meanwhile."""
        with self._held(Claim.of_all_days(found.tenant.tenant_id, found.pipeline.name), run_id) as lock:
            yield lock

    @contextmanager
    def _held(self, claim: Claim, run_id: str) -> Iterator[Lock]:
        self.turn(claim.pipeline)
        loaded = PublishedLocation(self.tenant.timezone, dataset_of(self.tenant, self.settings.project))
        try:
            lock = self.session.hold_lock(claim, run_id, self.ended)
            with self.session.store.read() as connection:
                published = place_of(connection, claim.tenant_id)
            if published not in (None, loaded):
                raise NotUpgraded(
                    f"tenant {claim.tenant_id}, pipeline {claim.pipeline}: days are published with {published}, and "
                    f"this command has loaded {loaded}; nothing is switched. Next: this again, with the tenant's files "
                    "as they are now"
                )
            yield lock
        finally:
            self.session.release_run(run_id)

    def _inputs_made(self, found: TableVersion) -> Mapping[date, str]:
        """Make what the declared version reads and days lack; those that can be copied alone, each with the reason."""

        def run(pipeline: TenantPipeline, tables: Collection[str], first: date, last: date) -> RunOutcome:
            self.turn(pipeline.name)
            return self.run(pipeline, tables, first, last)

        return make_inputs(missing_inputs(self.session.store, self.warehouse, found), found, run)

    def _built(
        self, found: TableVersion, run_id: str, lost: Mapping[date, str], progress: Callable[[int], None]
    ) -> TableVersion:
        """Make the declared version's table and its missing days, while days of the one that is read go on."""
        with self._as_one_run(found, run_id) as lock:
            found = self._with_table(self.looked_up(found), lock)
        progress(len(found.published) - len(found.missing))
        for days in chunks(found.missing):
            with self._as_one_run(found, run_id) as lock:
                self._builder(self._still_built(found), lock).make(days, lost)
            progress(len(days))
        return self.looked_up(found)

    def _still_built(self, found: TableVersion) -> TableVersion:
        """The table as it is, since a run, a migration or another upgrade may have been between two chunks."""
        now = self.looked_up(found)
        if now.schema is None or now.read != found.read or now.declared not in now.kept:
            raise NotUpgraded(f"{found.name}: another process has switched it meanwhile. Next: this again")
        return now

    @contextmanager
    def _as_one_run(self, found: TableVersion, run_id: str) -> Iterator[Lock]:
        with self._held(Claim.of_no_day(found.tenant.tenant_id, found.pipeline.name), run_id) as lock:
            yield lock

    def _with_table(self, found: TableVersion, lock: Lock) -> TableVersion:
        """Make the declared version's table; one of which no built day is known, or of other columns, is made anew."""
        new, schema = found.of_version(found.declared), table_schema(found.step.spec)
        self.refuse_foreign(found, found.declared, found.read)
        for number in found.kept:
            if number > found.read and number != found.declared:  # left by a rollback, before another correction
                self.refuse_only_copy(found, number, lock)
                forget_version(self.session, lock, found.of_version(number).table)
                self.warehouse.drop_table(found.of_version(number))
        try:
            if found.built:
                self.warehouse.ensure_table(new, schema)
                return found
        except SchemaMismatch:
            pass
        if found.declared in found.kept:
            self.refuse_only_copy(found, found.declared, lock)
        forget_version(self.session, lock, new.table)
        self.warehouse.drop_table(new)
        self.warehouse.ensure_table(new, schema)
        return self.looked_up(found)

    def refuse_only_copy(self, found: TableVersion, number: int, lock: Lock) -> None:
        """Raise `NotUpgraded` where a version that is to be dropped has rows of days that are not published, as after a
        rollback until they are made again; its rows of days that are only built are elsewhere."""
        if any(map(is_built_day, found.recorded[number].values())) or found.step.table in self.accepted:
            return
        assert found.schema is not None
        kept, job, others = found.of_version(number), self.job(found, lock), set(found.published)
        schema = self.warehouse.existing_schema(kept)
        assert schema is not None
        if number < found.read:  # a day of it that was never recorded was copied
            others |= rows_by_day(self.warehouse, found.table, found.schema, job).keys()
        if only := sorted(rows_by_day(self.warehouse, kept, schema, job).keys() - others):
            raise NotUpgraded(
                f"{found.name}: {kept} has rows of {named(only)}, which are not published now; it is not dropped. "
                f"Next: wait until they are made again (`convergence schedule {found.tenant.tenant_id}`), or give them "
                f"up by this again with --accept-changes {found.step.table}"
            )

    def refuse_foreign(self, found: TableVersion, *numbers: int) -> None:
        """Raise `NotUpgraded` where a table that is no version has the name of one of these: another step made it, or
        a person."""
        for number in numbers:
            if number not in found.kept and self.warehouse.has_table(found.of_version(number)):
                raise NotUpgraded(
                    f"{found.name}: there is a table {found.of_version(number)} that is no version of it, as another "
                    "step or a person made it; nothing is switched. Next: rename or drop that one, then this again"
                )

    def switch(self, found: TableVersion, number: int, lock: Lock) -> TableVersion:
        """Let a version be read instead of the one that is; the table as it is then."""
        self.refuse_foreign(found, number, found.read)
        job, former = self.job(found, lock), found.of_version(found.read)
        self.session.locks.confirm(lock)
        self.warehouse.switch_table(found.table, found.of_version(number), former, job, may_be_absent=self.accept_gap)
        found = self.looked_up(found)
        if found.schema is None or found.read != number:
            raise NotUpgraded(
                f"{found.name}: the warehouse has switched it, and does not say that it is version {number}"
            )
        return found

    def job(self, found: TableVersion, lock: Lock) -> Job:
        """The work on a table as statements are labelled with it."""
        return self._builder(found, lock).job

    def _builder(self, found: TableVersion, lock: Lock) -> VersionBuilder:
        return VersionBuilder(self.settings, self.warehouse, self.session, found, lock, self.notes)

    def _switched(
        self, found: TableVersion, lock: Lock, lost: Mapping[date, str], progress: Callable[[int], None]
    ) -> str:
        """The rest, while no run can publish a day of the table."""
        if found.unfinished or (found.declared == found.read and found.schema is not None):
            return self.recorded(found, lock)  # another process was first
        changes: list[Difference] = []
        if found.schema is not None:
            if found.declared not in found.kept:
                found = self._with_table(found, lock)
            if found.missing:
                self._refuse_missing_inputs(found, lost)
                progress(-len(found.missing))
                for days in chunks(found.missing):
                    self._builder(found, lock).make(days, lost)
                progress(len(found.missing))
                found = self.looked_up(found)
            changes = self._agreed(found, lock)
        accepted = f", {len(changes)} changes of figures accepted" if changes else ""
        kept = f"; version {found.read} is kept as {found.of_version(found.read)}"
        return self.recorded(self.switch(found, found.declared, lock), lock) + kept + accepted

    def _refuse_missing_inputs(self, found: TableVersion, lost: Mapping[date, str]) -> None:
        """Raise `NotUpgraded` where a day was published after what it reads was made: no run can make it now."""
        inputs = missing_inputs(self.session.store, self.warehouse, found)
        if days := sorted(inputs.days - lost.keys()):
            raise NotUpgraded(
                f"{found.name}: {named(days)} were published meanwhile, and not {', '.join(inputs.needed)}; nothing is "
                "switched. Next: this again"
            )

    def recorded(self, found: TableVersion, lock: Lock) -> str:
        """Record the switch that the warehouse has made; what was done, in words."""
        outcome, again = end_switch(self.session, lock, found, self.by)
        if again:
            self.notes.append(f"{found.name}: {named(again)} are requested again")
        # What the warehouse has copied and not renamed.
        if found.read in found.kept:
            self.session.locks.confirm(lock)
            self.warehouse.drop_table(found.of_version(found.read))
        return outcome

    def _agreed(self, found: TableVersion, lock: Lock) -> list[Difference]:
        """The differences between the two versions, all of them accepted; raises `NotUpgraded` else."""
        old, new = found.schema, table_schema(found.step.spec)
        assert old is not None
        job = self.job(found, lock)
        there = rows_by_day(self.warehouse, found.table, old, job)
        for days in chunks(sorted(there.keys() - found.published.keys())):
            self._builder(found, lock).copy(dict.fromkeys(days, "with rows, and not recorded as published"))
        pairs, other = pairs_of(found, old, new), found.of_version(found.declared)
        was, now = pairs.currency or (None, None)
        differing: list[Difference] = []
        for days in chunks(sorted({*there, *rows_by_day(self.warehouse, other, new, job)})):
            before = figures(self.warehouse, found.table, old, [one for one, _ in pairs.amounts], was, job, days)
            after = figures(self.warehouse, other, new, [one for _, one in pairs.amounts], now, job, days)
            differing += differences(pairs, before, after)
        accepted = f"{found.step.table}={_digest([*pairs.doubts, *map(str, differing)])}"
        if (differing or pairs.doubts) and accepted not in self.accepted:
            raise NotUpgraded(_of_differences(found, differing, pairs.doubts, accepted))
        return differing


def chunks(days: Sequence[date]) -> Iterator[Sequence[date]]:
    """Days as many as are made, or read, together: each statement is within what a run of them may be billed for."""
    return (days[start : start + DAYS_AT_ONCE] for start in range(0, len(days), DAYS_AT_ONCE))


def new_run_id() -> str:
    """The id under which one table is switched."""
    return f"{SWITCHED_BY}{uuid.uuid4().hex}"


def named(days: Sequence[date]) -> str:
    """Days by date, the first of many."""
    more = f" and {len(days) - MOST_NAMED} more days" if len(days) > MOST_NAMED else ""
    return ", ".join(map(str, days[:MOST_NAMED])) + more


def _digest(shown: Sequence[str]) -> str:
    """What tells these changes from others: who has accepted them has accepted no other."""
    return hashlib.sha256("\n".join(shown).encode()).hexdigest()[:DIGITS]


def _of_differences(
    found: TableVersion, differing: Sequence[Difference], doubts: Sequence[str], accepted: str
) -> str:  # fmt: skip
    lines = [
        f"{found.name}: version {found.declared} has other figures than the table that is read; nothing is switched"
    ]
    lines += [f"  {doubt}" for doubt in doubts]
    lines += [f"  {one}" for one in differing[:MOST_NAMED]]
    if len(differing) > MOST_NAMED:
        lines.append(f"  and {len(differing) - MOST_NAMED} more")
    if late := sorted({one.day for one in differing if _source_has_changed(found, one.day)}):
        lines.append(f"  the source has changed since it was published: {named(late)}")
    other = found.of_version(found.declared)
    lines.append(
        f"Next: compare {found.table} with {other} (convergence query) and correct the step; where the new figures are "
        f"right, this again with --accept-changes {accepted}, which accepts these and no others"
    )
    return "\n".join(lines)


def _source_has_changed(found: TableVersion, day: date) -> bool:
    built, published = found.built.get(day), found.published.get(day)
    return bool(built and published and built.marker and published.marker and built.marker != published.marker)
