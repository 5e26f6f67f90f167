"""The touched tables of one tenant, made in a staging of the preview's own and compared; nothing is published."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from convergence_assets.assets.materialize import StepRun, stopped_partitions
from convergence_assets.assets.queries import job_of, queries_of
from convergence_assets.assets.schema_mapping import (
    expectations,
    sensitive_columns,
    shared_views,
    table_schema,
    target_table,
)
from convergence_assets.assets.shared_views import ensure_shared_views
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.assets.window import Window
from convergence_assets.pipelines.models import StepSpec
from convergence_assets.preview.comparison import MOST_EXAMPLES, Comparison
from convergence_assets.preview.published_checks import FailedChecks
from convergence_assets.preview.relations import previewed_relation, with_empty_own_table
from convergence_assets.preview.schema_changes import schema_changes
from convergence_assets.preview.table_preview import Flip, TablePreview
from convergence_assets.preview.touched import TouchedTable
from convergence_assets.quality.expectations import CheckOutcome, Expectation, columns_named
from convergence_assets.settings import Settings
from convergence_assets.tenancy.definition import definition_of
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.errors import BytesCapExceeded, WarehouseError
from convergence_assets.warehouse.interface import Job, Warehouse
from convergence_assets.warehouse.schema import Dataset, Query, TableRef

RUN_PREFIX = "preview-"
"""What the ids begin with under which previews stage; the sensor `staging` removes what a killed one has left."""
_UNIQUE = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")


@dataclass
class BytesBudget:
    """What all statements of a preview may be billed for together; None where there is no limit. `billed` is what those
    of finished tables were."""

    maximum: int | None
    billed: int = 0

    def job(self, job: Job, warehouse: Warehouse, planned: Sequence[Query] = ()) -> Job:
        """The same job, within what the statements of `warehouse` and of finished tables have left. Raises
        `BytesCapExceeded` where nothing is left, or not enough for all that is planned next."""
        if self.maximum is None:
            return job
        left = self.maximum - self.billed - sum(statement.bytes_billed or 0 for statement in warehouse.statements)
        estimate = sum(warehouse.dry_run(query).bytes_processed or 0 for query in planned)
        if left <= 0 or estimate > left:
            raise BytesCapExceeded(
                f"{max(left, 0):,} bytes are left of what --max-gigabytes allows, and it would read {estimate:,} more"
            )
        return replace(job, maximum_bytes_billed=min(left, job.maximum_bytes_billed or left))


@dataclass
class TenantPreview:
    """One tenant's touched tables over `days` by pipeline; `failed_before` are checks that failed at publication."""

    settings: Settings
    tenant: Tenant
    days: Mapping[str, Sequence[date]]
    failed_before: Callable[[TouchedTable, Sequence[date]], FailedChecks]
    budget: BytesBudget
    run_id: str = field(default_factory=lambda: RUN_PREFIX + uuid.uuid4().hex)
    _relations: dict[str, str] = field(default_factory=dict)
    _held_back: dict[str, frozenset[date]] = field(default_factory=dict)

    def run(self, touched: Sequence[TouchedTable], progress: Callable[[], None]) -> list[TablePreview]:
        """Preview these tables, in the order in which they read one another; a table that cannot be made is one with a
        problem, as are those that read it. Whatever is staged is removed in the end."""
        with self._own_staging():
            return [self._previewed(one, progress) for one in touched]

    def _previewed(self, touched: TouchedTable, progress: Callable[[], None]) -> TablePreview:
        days = tuple(sorted(self.days[touched.pipeline.name]))
        preview = TablePreview(self.tenant.tenant_id, touched, days)
        if touched.served:
            preview = replace(preview, schema=schema_changes(touched.served, definition_of(self.tenant, touched.step)))
        try:
            lost = [name for name in touched.reads if name not in self._relations]
            if lost:
                return replace(preview, problem=f"it reads {', '.join(lost)}, which could not be previewed")
            return self._made(preview)
        except WarehouseError as error:
            return replace(preview, problem=f"{error.error_class}: {error}. Next: {error.remedy}")
        finally:
            progress()

    def _made(self, preview: TablePreview) -> TablePreview:
        touched, step = preview.touched, preview.touched.step
        # A run makes no table of a day of which it could not publish what the table reads of the same pipeline.
        beside = {other.table for other in touched.pipeline.steps}
        missing = {day for name in beside.intersection(touched.reads) for day in self._held_back[name]}
        days = [day for day in preview.days if day not in missing]
        if not days:
            self._relations[step.table] = f"(SELECT * FROM {target_table(self.tenant, step.table).quoted})"
            self._held_back[step.table] = frozenset(missing)
            return replace(preview, missing=tuple(sorted(missing)))
        views = shared_views(self.tenant, step.sources.values())
        if views and (touched.served is None or "sources" in touched.parts):
            named = ", ".join(str(view.view) for view in views)
            return replace(preview, problem=f"it reads {named}, which is made when the change of its rows is served")
        ensure_shared_views(self.settings, self.tenant, step.sources.values())
        with open_warehouse(
            self.settings, self.tenant.location, service_account=self.tenant.service_account
        ) as warehouse:
            try:
                return self._compared(replace(preview, missing=tuple(sorted(missing))), days, warehouse)
            finally:
                self.budget.billed += sum(statement.bytes_billed or 0 for statement in warehouse.statements)

    def _compared(self, preview: TablePreview, days: Sequence[date], warehouse: Warehouse) -> TablePreview:
        touched, table = preview.touched, target_table(self.tenant, preview.touched.step.table)
        read = {name: self._relations[name] for name in touched.reads}
        step = with_empty_own_table(self.tenant, replace(touched.step, replaced=read), warehouse)
        run = StepRun(self.settings, self.tenant, touched.pipeline, step)
        published = warehouse.existing_schema(table)
        columns = {c.name: c.spelled for c in published.columns} if published else None
        staged: dict[TableRef, list[date]] = {}
        for number, span in enumerate(neighbours(days)):
            # Each as a run of its own would be: a SELECT of a range reads the days that are not among them, too.
            window = Window.local(span[0], span[-1], self.tenant.timezone)
            own_job = job_of(self.tenant, touched.pipeline, step.table, str(window), self.run_id)
            job = self.budget.job(own_job, warehouse, queries_of(self.tenant, step, window))
            into = replace(table, table=f"{table.table}_span{number}") if number else table
            part = run.stage(warehouse, window, job, into)
            outcomes = run.validate(warehouse, part, window, self.budget.job(own_job, warehouse))
            stopped = stopped_partitions(outcomes, window.days)
            staged[part.table] = [day for day in window.days if day not in stopped]
            comparison = Comparison(
                part, table, columns, declared_key(expectations(step.suite)), currency_column(step.spec),
                touched.served.money if touched.served else None, sensitive_columns(step.spec),
                published.partition_column if published else None,
            )  # fmt: skip
            job = self.budget.job(own_job, warehouse)
            changes = comparison.by_day(warehouse, window.days, job)
            differs = any(one.rows.any for one in changes.values())
            examples = comparison.examples(warehouse, window.days, job) if differs else ()
            preview = replace(
                preview,
                key=comparison.key,
                has_declared_key=bool(comparison.declared_key),
                changes=preview.changes | {day: one for day, one in changes.items() if day not in stopped},
                stopped_changes=preview.stopped_changes | {day: one for day, one in changes.items() if day in stopped},
                existing_amounts=frozenset(filter(comparison.existed, comparison.amounts)),
                examples=tuple(sorted((*preview.examples, *examples), key=lambda e: -e.size)[:MOST_EXAMPLES]),
                flips=preview.flips + _flips(outcomes, self.failed_before(touched, window.days)),
                stopped=preview.stopped | stopped,
            )
        self._relations[step.table] = previewed_relation(table, table_schema(step.spec), staged, columns)
        self._held_back[step.table] = frozenset(preview.days) - {day for passed in staged.values() for day in passed}
        counted = [s.bytes_processed for s in warehouse.statements if s.bytes_processed is not None]
        return replace(preview, bytes_a_day=sum(counted) // len(days) if counted else None)

    @contextmanager
    def _own_staging(self) -> Iterator[None]:
        try:
            yield
        finally:
            with open_warehouse(
                self.settings, self.tenant.location, service_account=self.tenant.service_account
            ) as warehouse:
                warehouse.drop_staged(Dataset(self.tenant.dataset, self.tenant.project), self.run_id)


def declared_key(suite: Sequence[Expectation]) -> tuple[str, ...]:
    """The columns that tell a table's rows apart, by the first of its checks that says so of all rows."""
    for expectation in suite:
        holds_for_all = not expectation.kwargs.get("row_condition") and not expectation.kwargs.get("mostly")
        if expectation.type in _UNIQUE and holds_for_all:
            return columns_named(expectation.kwargs)
    return ()


def currency_column(spec: StepSpec) -> str | None:
    """The column by which amounts are told apart: what `money` names, else the first of text that is called so."""
    if spec.money:
        return spec.money.currency_column
    names = (c.name for c in spec.columns if c.type == "STRING" and c.mode != "REPEATED")
    return next((name for name in names if name.lower().endswith("currency")), None)


def neighbours(days: Sequence[date]) -> list[list[date]]:
    """Ascending days as stretches of neighbours."""
    spans: list[list[date]] = []
    for day in sorted(days):
        if spans and day - spans[-1][-1] == timedelta(days=1):
            spans[-1].append(day)
        else:
            spans.append([day])
    return spans


def _flips(outcomes: Sequence[CheckOutcome], before: FailedChecks) -> tuple[Flip, ...]:
    flips = []
    for outcome in outcomes:
        for passes in (False, True):
            days = [
                date.fromisoformat(key)
                for key, judged in outcome.partitions.items()
                if judged.passed == passes
                and (day := date.fromisoformat(key)) in before
                and (outcome.name in before[day]) == passes
            ]
            if days:
                flips.append(Flip(outcome.name, outcome.severity, passes, tuple(days)))
    return tuple(flips)
