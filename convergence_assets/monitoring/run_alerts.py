"""Turns the follower's run events into alerts, and resolves them by publications."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from convergence_assets.alerting import kinds
from convergence_assets.alerting.alert import Alert, Severity, fingerprint
from convergence_assets.alerting.kinds import AlertKind
from convergence_assets.assets.check_events import examples_shown
from convergence_assets.assets.materialize import QUALITY_FAILED
from convergence_assets.assets.no_data import NO_DATA
from convergence_assets.assets.publish_guard import DAY_NOT_OVER
from convergence_assets.assets.structure import NOT_EMPTY
from convergence_assets.assets.tags import TERMINAL
from convergence_assets.assets.window import days_of
from convergence_assets.control import partition_states, publications, runs
from convergence_assets.control.incidents import Incident, open_incidents, raise_alert, resolve_incident
from convergence_assets.control.remediations import kind_of
from convergence_assets.control.runs import IndexedRun
from convergence_assets.control.store import ControlStore
from convergence_assets.ledger.run_events import ChecksFailed, FailedCheck, Published, QuotaRefused, RunEnded, RunEvent
from convergence_assets.ledger.run_mapping import INTERRUPTED
from convergence_assets.monitoring.no_data import is_late, no_data_alert
from convergence_assets.monitoring.stuck import WITHOUT_ALERT
from convergence_assets.scheduling.requesting import INTERRUPTIONS
from convergence_assets.scheduling.requeueing import requeue_interrupted_days
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.errors import ERROR_CLASSES, NotFound

OF_A_PARTITION = ("run_failed", "run_canceled", "run_stuck", "quality_failed", "quality_degraded", "no_data")
"""Alerts that are resolved when their partition is published as it should be."""
_INTERRUPTIONS_COUNTED = timedelta(days=7)
PATIENCE = 3
"""For this many attempts a failure that may pass by itself is a warning; from then on it is critical."""

# Another run is active, or has taken the request, or the day was requested too early: nobody has to do anything.
_HARMLESS = frozenset({"locked", "duplicate_request", DAY_NOT_OVER})
_PASSING = frozenset({"control_store", "over_limit", "lock_lost"})
"""Classes besides the warehouse's that may pass by themselves."""


class RunAlerts:
    """Raises and resolves incidents from run events, within the follower's transaction."""

    def __init__(self, tenants: Mapping[str, Tenant], store: ControlStore) -> None:
        self._tenants = tenants
        self._store = store

    def observe(self, connection: sa.Connection, run_events: Sequence[RunEvent]) -> None:
        """Each run event is observed once; a condition that has ended by now is resolved in the same transaction, and
        not sent."""
        raised = [
            (alert, run_event.run.updated_at)
            for run_event in run_events
            for alert in self._alerts(connection, run_event)
        ]
        # In one order everywhere, so that no two transactions wait for each other.
        for alert, moment in sorted(raised, key=lambda r: r[0].fingerprint):
            raise_alert(connection, alert, moment)
        for run_event in run_events:
            if isinstance(run_event, RunEnded) and run_event.error_class == INTERRUPTED:
                self._ask_again(connection, run_event.run)
        for name in sorted({(run_event.run.tenant_id, run_event.run.pipeline) for run_event in run_events}):
            self.resolve_published(connection, *name)

    def resolve_published(self, connection: sa.Connection, tenant_id: str, pipeline: str) -> None:
        """Resolve what the publications of a pipeline have fixed."""
        of_pipeline = [
            incident
            for incident in open_incidents(connection, tenant_id=tenant_id)
            if incident.pipeline == pipeline and incident.kind in OF_A_PARTITION
        ]
        for incident in sorted(of_pipeline, key=lambda one: one.fingerprint):
            mended = self._mended(connection, incident)
            if mended:
                resolve_incident(connection, incident.fingerprint, *mended)

    def _ask_again(self, connection: sa.Connection, run: IndexedRun) -> None:
        """The planner requests its own runs again by itself; the days of a person's run have to be published, too."""
        tenant = self._tenants.get(run.tenant_id)
        pipeline = next((p for p in tenant.pipelines if p.name == run.pipeline), None) if tenant else None
        if tenant is None or pipeline is None or run.first is None or run.last is None or run.triggered_by == TERMINAL:
            return
        if self._interruptions(connection, run) <= INTERRUPTIONS:
            requeue_interrupted_days(self._store, connection, tenant, pipeline, run.first, run.last, run.run_id)

    @staticmethod
    def _interruptions(connection: sa.Connection, run: IndexedRun) -> int:
        return runs.ended_by(connection, run, INTERRUPTED, run.created_at - _INTERRUPTIONS_COUNTED)

    def _alerts(self, connection: sa.Connection, run_event: RunEvent) -> Iterable[Alert]:
        match run_event:
            case ChecksFailed():
                return self._quality(connection, run_event)
            case RunEnded():
                return self._ended(connection, run_event)
            case QuotaRefused():
                return [self._quota(run_event)]
            case Published():
                return ()

    def _quota(self, run_event: QuotaRefused) -> Alert:
        """The project's incident and not a tenant's: others are refused next."""
        run, tenant = run_event.run, self._tenants.get(run_event.run.tenant_id)
        project = tenant.project if tenant else None
        happened = f"Table {run.tenant_id}/{run.pipeline}/{run_event.table}, run {run.run_id}: {run_event.message}"
        return kinds.QUOTA_NEAR.alert(happened, run_event.error_class, table=project or "")

    def _ended(self, connection: sa.Connection, run_event: RunEnded) -> Iterable[Alert]:
        run = run_event.run
        if run.status == "succeeded" or run_event.error_class in _HARMLESS:
            return
        if run_event.error_class == INTERRUPTED:
            count = self._interruptions(connection, run)
            if count > INTERRUPTIONS:
                happened = (
                    f"Run {run.run_id} is the {count}th of these days within a week that was ended by what it ran on, "
                    "and that nobody had requested."
                )
                yield _of_run(
                    kinds.RUN_INTERRUPTED, run, happened, INTERRUPTED, done=self._asked_again(connection, run)
                )
            return
        if kind_of(connection, run.run_id) not in (None, *WITHOUT_ALERT):  # its alert reports it already
            return
        if run.status == "canceled":
            happened = f"Run {run.run_id} was asked to end: {run_event.message or 'nobody said why'}."
            yield _of_run(kinds.RUN_CANCELED, run, happened, "canceled", table=run_event.table)
        elif run_event.error_class not in (QUALITY_FAILED, NO_DATA):
            yield self._failed(connection, run_event)

    def _failed(self, connection: sa.Connection, run_event: RunEnded) -> Alert:
        run, error_class = run_event.run, run_event.error_class or "run_failure"
        documented = ERROR_CLASSES.get(error_class)
        attempts = self._attempts(connection, run)
        passing = bool(documented and documented.retryable) or error_class in _PASSING
        # The export of a new tenant may not exist yet: that is a failure once its first day is late.
        awaited = error_class == NotFound.error_class and self._awaits_its_first_day(connection, run)
        patient = awaited or (passing and attempts < PATIENCE)
        severity: Severity = "warning" if patient else "critical"
        where = f", table {run_event.table}" if run_event.table else ""
        remedy = documented.remedy if documented else "Read the run's log from its first error on."
        message = run_event.message or "no message"
        happened = f"Run {run.run_id}{where}, attempt {max(attempts, run.attempt)}: {message}"
        return _of_run(
            kinds.RUN_FAILED, run, happened, error_class,
            severity=severity, anchor=_anchor(error_class), done=self._asked_again(connection, run), remedy=remedy,
        )  # fmt: skip

    def _quality(self, connection: sa.Connection, run_event: ChecksFailed) -> Iterable[Alert]:
        """The alert about days without rows, and for all others what failed."""
        checks = (
            [check for check in run_event.checks if check.name == NOT_EMPTY] if run_event.severity == "critical" else []
        )
        empty = {day for check in checks for day in check.partitions or (run_event.run.partition or "",)}
        others = {day for c in run_event.checks if c.name != NOT_EMPTY for day in c.partitions or run_event.held_back}
        for day in sorted(empty - others):
            yield no_data_alert(
                connection, self._tenants.get(run_event.run.tenant_id), run_event.run, run_event.table, day
            )
        left = tuple(
            day for day in run_event.held_back or (run_event.run.partition or "",) if day not in empty - others
        )
        if left or run_event.severity != "critical":
            yield from _quality(
                replace(run_event, held_back=left if run_event.severity == "critical" else run_event.held_back)
            )

    def _awaits_its_first_day(self, connection: sa.Connection, run: IndexedRun) -> bool:
        tenant = self._tenants.get(run.tenant_id)
        if tenant is None or run.last is None:
            return False
        published = publications.days_by_pipeline(connection, run.tenant_id).get(run.pipeline)
        return not published and not is_late(connection, tenant, run.pipeline, run.last, run.updated_at)

    def _attempts(self, connection: sa.Connection, run: IndexedRun) -> int:
        """The attempts as the planner counts them; for unplanned runs, how often the incident was reported."""
        own_fingerprint = fingerprint("run_failed", run.tenant_id, run.pipeline, run.partition)
        seen = next(
            (
                i.count
                for i in open_incidents(connection, "run_failed", run.tenant_id)
                if i.fingerprint == own_fingerprint
            ),
            0,
        )
        return max([row.attempts for row in self._outstanding(connection, run)] + [seen])

    def _asked_again(self, connection: sa.Connection, run: IndexedRun) -> str:
        unchanged = "What was published before stays."
        rows = self._outstanding(connection, run)
        if any(row.state == "gave_up" for row in rows):
            return f"{unchanged} Its day is not requested again: it failed too often."
        return f"{unchanged} The planner requests the day again, later each time." if rows else unchanged

    @staticmethod
    def _outstanding(connection: sa.Connection, run: IndexedRun) -> list[partition_states.PendingPartition]:
        if run.first is None or run.last is None:
            return []
        return partition_states.outstanding(connection, run.tenant_id, run.pipeline, days_of(run.first, run.last))

    def _mended(self, connection: sa.Connection, incident: Incident) -> tuple[str, datetime] | None:
        """How an incident has ended and when, None where it is open."""
        assert incident.tenant_id
        assert incident.pipeline
        parts = runs.parts_of(connection, incident.run_id) if incident.run_id else []
        since = parts[0].created_at if parts else incident.opened_at
        days = _days(incident.partition)
        if days is None:
            last = runs.latest_run(connection, incident.tenant_id, incident.pipeline)
            if last is None or last.status != "succeeded" or last.created_at <= since:
                return None
            return f"run {last.run_id} succeeded", last.ended_at or last.updated_at
        tables = [incident.table] if incident.table else self._tables(incident.tenant_id, incident.pipeline)
        published = publications.between(connection, incident.tenant_id, tables, days[0], days[1])
        own_counts = incident.kind != "quality_degraded"
        good = [p for p in published.values() if p.published_at > since and (own_counts or p.run_id != incident.run_id)]
        if not tables or len(good) < len(tables) * ((days[1] - days[0]).days + 1):
            return None
        newest = max(good, key=lambda p: p.published_at)
        return f"published by run {newest.run_id}", newest.published_at

    def _tables(self, tenant_id: str, pipeline: str) -> list[str]:
        tenant = self._tenants.get(tenant_id)
        definition = next((p for p in tenant.pipelines if p.name == pipeline), None) if tenant else None
        return [step.table for step in definition.steps] if definition else []


def _quality(run_event: ChecksFailed) -> Iterable[Alert]:
    """One alert per table and day; `info` is recorded only."""
    run = run_event.run
    if run_event.severity == "critical":
        days: Sequence[str] = run_event.held_back or (run.partition or "",)
        for day in days:
            checks = [
                check for check in run_event.checks if not check.partitions or day in check.partitions
            ] or run_event.checks
            yield _quality_alert(kinds.QUALITY_FAILED, run_event, checks, day)
    elif run_event.severity == "warning":
        named = sorted({day for check in run_event.checks for day in check.partitions})
        for day in named or [run.partition or ""]:
            checks = [check for check in run_event.checks if not check.partitions or day in check.partitions]
            yield _quality_alert(kinds.QUALITY_DEGRADED, run_event, checks, day)


def _quality_alert(kind: AlertKind, run_event: ChecksFailed, checks: Sequence[FailedCheck], day: str) -> Alert:
    cause = ",".join(sorted(check.name for check in checks))
    return _of_run(
        kind, run_event.run, _listed(checks), cause, table=run_event.table, partition=day or None, checks=_named(checks)
    )


def _of_run(
    kind: AlertKind, run: IndexedRun, happened: str, cause: str, *, severity: Severity | None = None,
    table: str | None = None, partition: str | None = "", **words: str,
) -> Alert:  # fmt: skip
    """An alert about a run; `partition` is the run's own, unless one is given."""
    return kind.alert(
        happened, cause, severity=severity, tenant_id=run.tenant_id, pipeline=run.pipeline,
        partition=run.partition if partition == "" else partition, table=table, run_id=run.run_id, **words,
    )  # fmt: skip


def _named(checks: Sequence[FailedCheck]) -> str:
    names = [check.name for check in checks]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _listed(checks: Sequence[FailedCheck]) -> str:
    lines = []
    for check in checks:
        line = f"{check.name}"
        if check.column:
            line += f" (column {check.column})"
        if check.unexpected_count:
            line += f": {check.unexpected_count} unexpected"
        elif check.observed_value is not None:
            line += f": observed {check.observed_value}"
        line += examples_shown(check.examples, check.unexpected_count)
        lines.append(line)
    return "; ".join(lines)


def _anchor(error_class: str) -> str:
    return "run-failed-" + error_class.lower().replace("_", "-") if error_class in ERROR_CLASSES else "run-failed"


def _days(partition: str | None) -> tuple[date, date] | None:
    if not partition:
        return None
    first, _, last = partition.partition("...")
    try:
        return date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        return None
