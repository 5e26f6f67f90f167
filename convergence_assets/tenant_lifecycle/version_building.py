"""Days of a table's new version: made by its step and its checks, or copied where they can be made no more."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from convergence_assets.assets.late_data import markers
from convergence_assets.assets.materialize import StepRun, stopped_partitions
from convergence_assets.assets.no_data import has_no_data
from convergence_assets.assets.queries import job_of
from convergence_assets.assets.schema_mapping import table_schema
from convergence_assets.assets.shared_views import ensure_shared_views
from convergence_assets.assets.structure import upstream_check
from convergence_assets.assets.window import Window
from convergence_assets.control.definitions import StoredDefinition
from convergence_assets.control.lock_session import LockSession
from convergence_assets.control.locks import Lock
from convergence_assets.control.publications import Publications, Tables
from convergence_assets.control.table_versions import BuiltDay, forget_built, record_built
from convergence_assets.preview.relations import is_among
from convergence_assets.preview.tenant_run import neighbours
from convergence_assets.quality.expectations import CheckOutcome
from convergence_assets.settings import Settings
from convergence_assets.tenancy.definition import definition_of
from convergence_assets.tenancy.tenant import Step
from convergence_assets.tenant_lifecycle.table_versions import NotUpgraded, TableVersion
from convergence_assets.tenant_lifecycle.version_figures import rows_by_day
from convergence_assets.warehouse.interface import Job, Staged, Warehouse
from convergence_assets.warehouse.schema import Query, TableSchema

MOST_NAMED = 5


@dataclass(frozen=True)
class VersionBuilder:
    """Makes days of the declared version of a table, which is there; `notes` gets what a person is to know."""

    settings: Settings
    warehouse: Warehouse
    session: LockSession
    found: TableVersion
    lock: Lock
    notes: list[str]

    @property
    def job(self) -> Job:
        tenant, pipeline, step = self.found.tenant, self.found.pipeline, self.found.step
        return job_of(tenant, pipeline, step.table, "upgrade", self.lock.run_id)

    def make(self, days: Collection[date], lost: Mapping[date, str]) -> None:
        """Make published days, each recorded once it is there: those of one call together are many enough for the
        warehouse and few enough to be made once more. Those in `lost` are copied, for that reason. Raises
        `NotUpgraded`, `LockLost`, `WarehouseError` and `ControlError`."""
        reasons = {**lost, **self.found.unbuildable}
        if copied := {day: reasons[day] for day in days if day in reasons}:
            self.copy(copied)
        ensure_shared_views(self.settings, self.found.tenant, self.found.step.sources.values())
        for span in neighbours([day for day in days if day not in copied]):
            self._make_span(span)

    def _make_span(self, days: Sequence[date]) -> None:
        tenant, step = self.found.tenant, self._step
        run = StepRun(self.settings, tenant, self.found.pipeline, step)
        window = Window.local(days[0], days[-1], tenant.timezone)
        # Before any row is read: what is published or comes in from here on is found to be newer.
        seen = Publications(self.session.store).newest_version()
        marked = markers(self.warehouse, tenant, step, window, self.job)
        staged = run.stage(self.warehouse, window, self.job, self.found.of_version(self.found.declared))
        outcomes = (*run.validate(self.warehouse, staged, window, self.job), self._upstream(run, days))
        stopped = stopped_partitions(outcomes, window.days)
        had = self._rows_that_are_read(days)
        empty = {day for day in days if had.get(day) and not staged.rows_per_partition.get(day)}
        emptied = {day for day in empty if day not in stopped or has_no_data(stopped[day])}
        passed = [day for day in days if day not in stopped and day not in emptied]
        definition = definition_of(tenant, self.found.step)
        stored = StoredDefinition(definition.version, definition.content)
        self._publish(
            staged,
            [
                BuiltDay(
                    day, staged.rows_per_partition.get(day, 0), seen, definition.version, self.found.declared,
                    marked.get(day), stored,
                )
                for day in passed
            ],
        )  # fmt: skip
        if emptied:
            self.copy(dict.fromkeys(sorted(emptied), "without rows in what the step reads now"))
        if failed := {day: names for day, names in stopped.items() if day not in emptied}:
            shown = "; ".join(f"{day}: {', '.join(names)}" for day, names in list(failed.items())[:MOST_NAMED])
            raise NotUpgraded(
                f"{self.found.name}: {len(failed)} days of version {self.found.declared} are stopped by their checks "
                f"({shown}); nothing is switched. Next: correct the step, its source or its suite, then this again"
            )

    @property
    def _step(self) -> Step:
        """The step, reading the new version where it reads its own table."""
        step, new = self.found.step, self.found.of_version(self.found.declared)
        if step.sql is None or step.table not in step.sql.tables:
            return step
        columns = ", ".join(f"`{c.name}`" for c in table_schema(step.spec).columns)
        return replace(step, replaced={**step.replaced, step.table: f"(SELECT {columns} FROM {new.quoted})"})

    def _upstream(self, run: StepRun, days: Sequence[date]) -> CheckOutcome:
        tenant, upstream = self.found.tenant, run.upstream_pipelines
        published = Publications(self.session.store).between(tenant.tenant_id, upstream, days[0], days[-1])
        tables = Tables({self.found.step.table: upstream}, tenant.timezone)
        missing = {day: names for day in days if (names := tables.missing(day, published))}
        return upstream_check(missing, days)

    def _rows_that_are_read(self, days: Sequence[date]) -> dict[date, int]:
        if self.found.schema is None:
            return {}
        return rows_by_day(self.warehouse, self.found.table, self.found.schema, self.job, days)

    def copy(self, days: Mapping[date, str]) -> None:
        """Copy days, each with the reason, from the table that is read, where its columns are enough; raises
        `NotUpgraded` else."""
        found, new = self.found, table_schema(self.found.step.spec)
        assert found.schema is not None
        reasons = "; ".join(f"{_spanned(chosen)} {reason}" for reason, chosen in _by_reason(days).items())
        columns, problem, absent = copied_columns(found, found.schema, new)
        if problem:
            raise NotUpgraded(
                f"{found.name}: {len(days)} days cannot be made any more ({reasons}), and cannot be copied: {problem}. "
                "Nothing is switched. Next: keep the column in the new version as it is, or make the days' rows "
                "available again where that is what they lack"
            )
        nulls = f", with {', '.join(absent)} NULL" if absent else ""
        self.notes.append(f"{found.name}: {len(days)} days are copied as they are{nulls}: {reasons}")
        seen = Publications(self.session.store).newest_version()
        chosen = is_among(f"`{found.schema.partition_column}`", days)
        query = Query(f"SELECT {columns} FROM {found.table.quoted} WHERE {chosen}")
        staged = self.warehouse.stage_query(found.of_version(found.declared), new, [query], self.job)
        by = definition_of(found.tenant, found.step).version
        self._publish(
            staged,
            [
                BuiltDay(
                    day,
                    staged.rows_per_partition.get(day, 0),
                    seen,
                    by,
                    found.declared,
                    publication=found.published[day],
                )
                for day in sorted(days)
                if day in found.published
            ],
            sorted(days),
        )

    def _publish(self, staged: Staged, built: Sequence[BuiltDay], days: Sequence[date] | None = None) -> None:
        """Publish into the new version, then record: no record is left of other rows, and a day without one is made
        once more."""
        chosen = [one.day for one in built] if days is None else days
        if chosen:
            forget_built(self.session, self.lock, staged.target.table, chosen)
            self.session.locks.confirm(self.lock)
            self.warehouse.publish(staged, chosen, self.job)
            record_built(self.session, self.lock, staged.target.table, built)
        self.warehouse.discard(staged)


def copied_columns(found: TableVersion, old: TableSchema, new: TableSchema) -> tuple[str, str | None, tuple[str, ...]]:
    """The new version's columns as they are selected from the former one; why they cannot be; and those of NULL.

    A column that is gone beside one that is new may be the same under another name, which nobody can tell.
    """
    renamed = {(new.partition_column or "").lower(): old.partition_column or ""}
    money, before = found.step.spec.money, found.made_by
    for was, now in (
        ((before.money, money.column), (before.currency, money.currency_column)) if before and money else ()
    ):
        if was and now and old.column(now) is None:
            renamed[now.lower()] = was
    selected, absent, used = [], [], set()
    for column in new.columns:
        source = old.column(renamed.get(column.name.lower(), column.name))
        if source is None:
            if column.mode == "REQUIRED":
                return "", f"column {column.name} is new and REQUIRED", ()
            absent.append(column.name)
            selected.append(
                f"{'CAST([] AS' if column.mode == 'REPEATED' else 'CAST(NULL AS'} {column.spelled}) AS `{column.name}`"
            )
            continue
        if source.spelled != column.spelled:
            return "", f"column {column.name} is {source.spelled} in the former version, and {column.spelled} now", ()
        if column.mode == "REQUIRED" and source.mode != "REQUIRED":
            return "", f"column {column.name} becomes REQUIRED", ()
        used.add(source.name.lower())
        selected.append(f"`{source.name}` AS `{column.name}`")
    gone = [column.name for column in old.columns if column.name.lower() not in used]
    if gone and absent:
        return "", f"{', '.join(gone)} is gone, and may be what {', '.join(absent)} is now", ()
    return ", ".join(selected), None, tuple(absent)


def _by_reason(days: Mapping[date, str]) -> dict[str, list[date]]:
    by_reason: dict[str, list[date]] = {}
    for day, reason in sorted(days.items()):
        by_reason.setdefault(reason, []).append(day)
    return by_reason


def _spanned(days: Sequence[date]) -> str:
    return str(days[0]) if len(days) == 1 else f"{len(days)} of {days[0]}...{days[-1]}"
