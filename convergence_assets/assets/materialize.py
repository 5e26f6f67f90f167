"""One step of one tenant for one run: stage, validate, publish, report."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from convergence_assets.assets.check_events import check_results
from convergence_assets.assets.day_metadata import Totals, day_metadata, money_totals
from convergence_assets.assets.files import source_files
from convergence_assets.assets.late_data import markers
from convergence_assets.assets.no_data import NO_DATA, has_no_data, why_kept, why_no_data, without_source
from convergence_assets.assets.own_tables import refuse_others
from convergence_assets.assets.publish_guard import PublishGuard, guarded
from convergence_assets.assets.queries import job_of, queries_of
from convergence_assets.assets.schema_mapping import (
    expectations,
    file_rules,
    sensitive_columns,
    table_names,
    table_schema,
    target_table,
    window_parameters,
)
from convergence_assets.assets.shared_views import ensure_shared_views
from convergence_assets.assets.source_columns import undeclared
from convergence_assets.assets.statements import statement_metadata
from convergence_assets.assets.structure import NOT_EMPTY, source_check, structural_checks, upstream_check
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.assets.window import Window
from convergence_assets.dagster_internals import run_records
from convergence_assets.pipelines.compile import resolve_tables
from convergence_assets.pipelines.models import FilesStep
from convergence_assets.quality.expectations import CheckOutcome
from convergence_assets.settings import Settings
from convergence_assets.tenancy.definition import definition_of
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline
from convergence_assets.warehouse.errors import WarehouseError
from convergence_assets.warehouse.interface import STAGING_KEPT_DAYS, Job, Staged, Statement, Warehouse, silent
from convergence_assets.warehouse.schema import Query, TableRef

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

RETRIES = 2
RETRY_SECONDS = 5.0
"""Before the first retry of a step; before each further one twice as long."""
QUALITY_FAILED = "quality_failed"
"""The error class of a step that published not all of its partitions, because of their rows."""
_RETRY_NUMBER_TAG = "dagster/retry_number"  # on automatic retries alone: a person's re-execution drops it


@dataclass(frozen=True)
class Report:
    """What one step did: every check's outcome, the partitions published with their rows, those held back, its jobs;
    for every day its staged rows and money; notes on reading its files; and, of those held back, the days that would
    have been emptied."""

    outcomes: tuple[CheckOutcome, ...]
    published: Mapping[date, int]
    stopped: Mapping[date, tuple[str, ...]]
    staging: str
    statements: tuple[Statement, ...]
    staged_rows: Mapping[date, int]
    totals: Totals
    notes: tuple[str, ...]
    kept: tuple[date, ...] = ()


@dataclass(frozen=True)
class StepRun:
    """One step bound to a tenant, its pipeline and the settings of the process."""

    settings: Settings
    tenant: Tenant
    pipeline: TenantPipeline
    step: Step

    @property
    def upstream_pipelines(self) -> dict[str, date]:
        """The tables of other pipelines that the step reads, each with its first day."""
        return self.tenant.read_from_pipelines(self.pipeline, self.step)

    def run(
        self,
        window: Window,
        run_id: str,
        origin: str | None = None,
        guard: PublishGuard | None = None,
    ) -> Report:
        """Stage, validate and publish the window's partitions; raises `WarehouseError` when nothing was published.

        `origin` is the run that `run_id` automatically retries: they share staging tables and jobs. Without a
        `guard` the days are not locked, and nothing is recorded. Whatever its lock raises before publishing stops the
        step with nothing published.
        """
        job = job_of(self.tenant, self.pipeline, self.step.table, str(window), run_id, origin)
        ensure_shared_views(self.settings, self.tenant, self.step.sources.values())
        with open_warehouse(
            self.settings,
            self.tenant.location,
            guard.report_wait if guard else silent,
            service_account=self.tenant.service_account,
        ) as warehouse:
            schema = table_schema(self.step.spec)
            target = target_table(self.tenant, self.step.table)
            change = warehouse.ensure_table(target, schema)
            if guard and (change.created or change.added):
                guard.record_schema(change)
            if guard:
                guard.refuse_unfinished_switch(schema.version)
            seen = markers(warehouse, self.tenant, self.step, window, job)
            staged = self.stage(warehouse, window, job)
            totals = money_totals(warehouse, self.step.spec, staged, job)
            outcomes = self.validate(warehouse, staged, window, job)
            if self.upstream_pipelines:
                outcomes += (upstream_check(guard.missing if guard else {}, window.days),)
            if self.step.sources:
                outcomes += (self._source_check(warehouse, window),)
            staged_rows = {day: staged.rows_per_partition.get(day, 0) for day in window.days}
            emptied = [day for day in guard.days_with_rows() if not staged_rows[day]] if guard else []
            gone = without_source(self.tenant, self.step, emptied, seen)
            unread = [day for day in emptied if guard and day in guard.missing]
            kept = sorted({*unread, *(() if guard is None or guard.may_empty else gone)})
            if self.step.spec.when_empty == "fail":
                kept = []  # its check stops it
            stopped = dict.fromkeys(kept, (NOT_EMPTY,)) | stopped_partitions(outcomes, window.days)
            if guard and (forgotten := [day for day in gone if day in stopped]):
                guard.record_source_gone(forgotten)
            passed = [day for day in window.days if day not in stopped]
            rows = {day: staged_rows[day] for day in passed}
            if passed:
                if guard:
                    guard.confirm_lock()
                warehouse.publish(staged, passed, job)
                if guard:
                    guard.record_published(rows, seen, definition_of(self.tenant, self.step))
            if not stopped:
                warehouse.discard(staged)
            elif guard:
                guard.record_failure()
            statements = tuple(warehouse.statements)
            return Report(
                outcomes, rows, stopped, str(staged.table), statements, staged_rows, totals, staged.notes, tuple(kept)
            )

    def _source_check(self, warehouse: Warehouse, window: Window) -> CheckOutcome:
        try:
            return source_check(undeclared(warehouse, self.tenant, self.step.sources), None, window.days)
        except WarehouseError as error:
            return source_check((), str(error), window.days)

    def stage(self, warehouse: Warehouse, window: Window, job: Job, target: TableRef | None = None) -> Staged:
        """Make the window's rows in a staging table of the job's run, named like `target`, the step's own table where
        not given. Raises `WarehouseError`."""
        schema = table_schema(self.step.spec)
        target = target or target_table(self.tenant, self.step.table)
        if isinstance(self.step.spec, FilesStep):
            with source_files(self.step, window.days, self.tenant.private_hosts) as files:
                return warehouse.stage_files(target, schema, files, job, file_rules(self.step.spec.columns))
        return warehouse.stage_query(target, schema, queries_of(self.tenant, self.step, window), job)

    def validate(self, warehouse: Warehouse, staged: Staged, window: Window, job: Job) -> tuple[CheckOutcome, ...]:
        """The outcomes of the structural checks and of the suite over staged rows. Raises `WarehouseError`."""
        suite = expectations(self.step.suite)
        partition_column = self.step.spec.partition_column
        structural = structural_checks(self.step.spec.when_empty, staged, window.days)
        if not suite:
            return structural
        from convergence_assets.quality.pushdown import Batch
        from convergence_assets.quality.validate import validate_in_warehouse
        from convergence_assets.warehouse.frames import empty_frame, frame_from_arrow

        columns = staged.schema.columns
        declared = {c.name: f"ARRAY<{c.type}>" if c.mode == "REPEATED" else c.type for c in columns}

        def run_query(sql: str) -> "pa.Table":
            named = resolve_tables(sql.replace("{batch}", staged.table.quoted), table_names(self.tenant, self.step))
            values = window_parameters(self.tenant, self.step, window.days, window.start, window.end)
            refuse_others(named, self.tenant, self.step, staged.table)
            return warehouse.read(Query(named, values), job)

        def run_shipped(sql: str) -> "pa.Table":
            return warehouse.read(Query(sql.replace("{batch}", staged.table.quoted)), job)

        def read_frame(names: frozenset[str]) -> "pd.DataFrame":
            return frame_from_arrow(warehouse.read_staged(staged, sorted(names), job), staged.schema.only(names))

        def typed(table: "pa.Table") -> "pd.DataFrame":
            return frame_from_arrow(table, staged.schema.only(table.column_names))

        scalar = {c.name: c.type for c in columns if c.mode != "REPEATED"}
        return structural + validate_in_warehouse(
            Batch(run_query, typed, empty_frame(columns), scalar, run_shipped),
            read_frame,
            suite,
            partition_column=partition_column,
            partitions=[d.isoformat() for d in window.days],
            sensitive=sensitive_columns(self.step.spec),
            columns=declared,
            only_if_exact=staged.rows <= self.pipeline.validate_in_warehouse_above_rows,
        )


def stopped_partitions(outcomes: Sequence[CheckOutcome], days: Sequence[date]) -> dict[date, tuple[str, ...]]:
    """The partitions that may not be published, each with the names of the critical checks that stop it.

    Fails closed: a failed critical check that names no partition stops all of them.
    """
    stopped: dict[date, list[str]] = {}
    for outcome in outcomes:
        if outcome.passed or outcome.severity != "critical":
            continue
        named = [d for d in days if d.isoformat() in outcome.failed_partitions]
        for day in named or days:
            stopped.setdefault(day, []).append(outcome.name)
    return {day: tuple(stopped[day]) for day in sorted(stopped)}


def execute(
    run: StepRun, context: dg.AssetExecutionContext
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    """The body of an asset: yields the materialisation, then one result a check, or fails naming the next step.

    Transient failures are retried. Not by a retry policy: with one, Dagster also retries an interrupted step, and a run
    that somebody ended goes on (dagster 1.13).
    """
    try:
        with run_records.interruptions_shown():
            yield from _execute(run, context)
    except dg.Failure as failure:
        if not failure.allow_retries or context.retry_number >= RETRIES:
            raise
        seconds = RETRY_SECONDS * 2**context.retry_number * random.uniform(0.5, 1.5)
        raise dg.RetryRequested(RETRIES, seconds) from failure


def _execute(
    run: StepRun, context: dg.AssetExecutionContext
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
    partitions_def = context.assets_def.partitions_def
    assert isinstance(partitions_def, dg.TimeWindowPartitionsDefinition)
    window = Window.of(partitions_def, context.partition_keys)
    where = f"tenant {run.tenant.tenant_id}, pipeline {run.pipeline.name}, table {run.step.table}, partition {window}"
    origin = origin_run_id(context.instance, context.run)
    try:
        with guarded(
            run.settings, run.tenant, run.pipeline, run.step.table, run.upstream_pipelines, window.days, context
        ) as guard:
            report = run.run(window, context.run.run_id, origin, guard)
    except WarehouseError as error:
        raise dg.Failure(
            description=f"{where}: {error}. Next: {error.remedy}",
            metadata={"error_class": error.error_class, "runbook": error.anchor},
            allow_retries=error.retryable,
        ) from error
    for note in report.notes:
        context.log.warning(f"{where}: {note}")
    notes = {"files": dg.MetadataValue.md("\n".join(f"- {note}" for note in report.notes))} if report.notes else {}
    metadata = notes | statement_metadata(run.tenant, run.pipeline, run.step, report.statements)
    definition = {
        "definition": dg.MetadataValue.text(definition_of(run.tenant, run.step).version),
        "version": dg.MetadataValue.int(run.step.spec.version),
    }
    by_day = {
        day: day_metadata(day, rows, report.totals, run.step.spec, report.outcomes) | definition
        for day, rows in report.published.items()
    }
    if not report.stopped:
        for day, day_values in by_day.items():
            context.add_asset_metadata(day_values, asset_key=context.asset_key, partition_key=day.isoformat())
        yield dg.MaterializeResult(asset_key=context.asset_key, metadata=metadata)
        yield from check_results(context, report.outcomes, window.days, ())
        return
    for day, day_values in by_day.items():
        context.log_event(dg.AssetMaterialization(context.asset_key, partition=day.isoformat(), metadata=day_values))
    for day, names in report.stopped.items():
        # The asset's page shows it among the days' events; a failed step alone names no day.
        seen = {
            "staged_rows": dg.MetadataValue.int(report.staged_rows[day]),
            "stopped_by": dg.MetadataValue.json(list(names)),
        }
        description = f"not published: {', '.join(names)}"
        context.log_event(dg.AssetObservation(context.asset_key, description, metadata=seen, partition=day.isoformat()))
    yield from check_results(context, report.outcomes, window.days, report.stopped)
    kept = f" {why_kept(run.tenant, run.pipeline, report.kept)}" if report.kept else ""
    if all(map(has_no_data, report.stopped.values())):
        raise dg.Failure(
            description=(
                f"{where}: {why_no_data(run.step, report.stopped)}. What was published before stays as it was. Next: "
                "nothing while the source is on its way, the planner asks again; else see that it is delivered "
                f"there.{kept}"
            ),
            metadata=metadata | {"error_class": dg.MetadataValue.text(NO_DATA), "runbook": "no-data"},
            allow_retries=False,
        )
    reasons = "; ".join(f"{day}: {', '.join(names)}" for day, names in report.stopped.items())
    raise dg.Failure(
        description=(
            f"{where}: not published ({reasons}). The partition published before stays as it was; the staged rows are "
            f"in {report.staging} for {STAGING_KEPT_DAYS} days. Next: read the failed checks' examples, correct the "
            f"source or the threshold, and run the partition again.{kept}"
        ),
        metadata=metadata | {"error_class": dg.MetadataValue.text(QUALITY_FAILED)},
        allow_retries=False,
    )


def origin_run_id(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The run that this one retries, over any number of automatic retries; its own id where it is no retry."""
    while _RETRY_NUMBER_TAG in run.tags and run.parent_run_id:
        parent = instance.get_run_by_id(run.parent_run_id)
        if parent is None:
            return run.parent_run_id
        run = parent
    return run.run_id
