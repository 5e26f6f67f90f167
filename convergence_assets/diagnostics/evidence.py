"""All that is known of a run, gathered to explain it; lists what could not be queried."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import dagster as dg
import sqlalchemy as sa

from convergence_assets.assets.queries import queries_of
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.assets.window import Window
from convergence_assets.control import incidents, partition_states, publications, runs
from convergence_assets.control.incidents import Incident
from convergence_assets.control.locks import Locks
from convergence_assets.control.remediations import steps_of
from convergence_assets.control.run_requests import requests_over
from convergence_assets.control.runs import IndexedRun
from convergence_assets.control.store import ControlStore
from convergence_assets.control.workers import Workers
from convergence_assets.dagster_internals import automation_states
from convergence_assets.diagnostics.timeline import Happened, happened
from convergence_assets.ledger.log_lines import Line, lines
from convergence_assets.ledger.replay import Replayed, replay
from convergence_assets.process import is_gone
from convergence_assets.redaction import redacted
from convergence_assets.run_launcher.platforms import worker_state
from convergence_assets.run_launcher.worker_state import WorkerState
from convergence_assets.settings import Settings
from convergence_assets.tenancy.description import described
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline, TenantRegistry

CHANGES_BEFORE = timedelta(days=1)
_LONGEST_BEFORE = timedelta(days=7)
_WAREHOUSE_SECONDS = 10.0

T = TypeVar("T")


@dataclass
class Evidence:
    """What was found of a run; `contents` are values of any kind by file name, not redacted yet. `missing` gives the
    reason for each part that could not be queried."""

    run_id: str
    status: str
    parts: tuple[IndexedRun, ...] = ()
    incidents: tuple[Incident, ...] = ()
    changes: tuple[Happened, ...] = ()
    events: tuple[Line, ...] = ()
    worker: WorkerState | None = None
    contents: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def failed_checks(self) -> list[Mapping[str, Any]]:
        """The rows of checks that did not pass."""
        return [row for row in self.contents["checks.json"] if not row["passed"]]


@dataclass(frozen=True)
class Gathering:
    """The sources of evidence."""

    instance: dg.DagsterInstance
    store: ControlStore
    settings: Settings
    registry: TenantRegistry

    def of(self, run_id: str) -> Evidence:
        """The evidence of a run that Dagster knows; raises `ControlError` where the control store fails, and for no
        other failed source."""
        record = self.instance.get_run_record_by_id(run_id)
        assert record is not None, run_id
        run = record.dagster_run
        evidence = Evidence(run_id, run.status.value)
        replayed = self._tried(evidence, "run", lambda: replay(self.instance, run_id, self.registry.tenants))
        replayed = replayed or Replayed((), ())
        evidence.events = tuple(self._tried(evidence, "events", lambda: list(lines(self.instance, run_id))) or ())
        with self.store.read() as connection:
            indexed = runs.parts_of(connection, run_id)
            evidence.parts = tuple(indexed) if _is_current(indexed, replayed) else replayed.parts
            evidence.incidents = tuple(_incidents(connection, run_id, evidence.parts))
            evidence.changes = tuple(self._changes(connection, evidence.parts))
            evidence.contents |= self._of_store(connection, run_id, evidence.parts)
        evidence.contents |= {
            "run.json": {
                "run_id": run_id, "dagster_status": run.status.value, "job": run.job_name, "tags": dict(run.tags),
                "parent_run_id": run.parent_run_id, "parts": [asdict(part) for part in evidence.parts],
                "in_runs_index": bool(indexed),
            },
            "events.json": [asdict(line) for line in evidence.events],
            "ledger_rows.json": [dict(row.values) for row in replayed.rows],
            "checks.json": [dict(row.values) for row in replayed.checks],
            "jobs.json": [dict(row.values) for row in replayed.jobs],
            "incidents.json": [asdict(incident) for incident in evidence.incidents],
            "changes.json": [asdict(change) for change in evidence.changes],
        }  # fmt: skip
        self._tried(evidence, "config", lambda: self._put_config(evidence))
        self._tried(evidence, "compiled SQL", lambda: self._put_sql(evidence))
        self._tried(evidence, "jobs running on the warehouse", lambda: self._put_running(evidence))
        self._tried(evidence, "daemon", lambda: self._put_platform(evidence))
        if not run.is_finished:
            worker = Workers(self.store).find(run_id)
            state = self._tried(evidence, "the state of its worker", lambda: worker_state(self.instance, run, worker))
            evidence.worker = state
            evidence.contents["worker_state.json"] = asdict(state) if state else None
        return evidence

    def _tried(self, evidence: Evidence, what: str, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except Exception as error:  # a broken part is what is being diagnosed
            evidence.missing[what] = redacted(" ".join(f"{type(error).__name__}: {error}".split()))
            return None

    def _changes(self, connection: sa.Connection, parts: Collection[IndexedRun]) -> list[Happened]:
        """From the pipeline's last good run on, at least a day and at most a week before this one."""
        by_change: dict[tuple[datetime, str, str], Happened] = {}
        for part in parts:
            good = runs.runs_page(connection, runs.RunFilter(part.tenant_id, part.pipeline, ["succeeded"]), 50).runs
            before = [r.created_at for r in good if r.created_at < part.created_at]
            since = min(before[0] if before else part.created_at, part.created_at - CHANGES_BEFORE)
            since = max(since, part.created_at - _LONGEST_BEFORE)
            until = part.ended_at or self.store.now()
            for one in happened(connection, since, part.tenant_id):
                if one.moment <= until:
                    by_change[one.moment, one.subject, one.said] = one
        return sorted(by_change.values(), key=lambda one: one.moment)

    def _of_store(self, connection: sa.Connection, run_id: str, parts: Collection[IndexedRun]) -> dict[str, Any]:
        locks = Locks(self.store)
        held_locks = [lock for part in parts for lock in locks.all(part.tenant_id, part.pipeline)]
        steps = steps_of(connection, [run_id]).get(run_id, {})
        worker = Workers(self.store).find(run_id)
        published, outstanding, asked_rows = [], [], []
        for part in parts:
            if part.first is None or part.last is None:
                continue
            days = Window.local(part.first, part.last, "UTC").days
            tables = [step.table for step in _steps(self.registry, part)]
            by_table = publications.between(connection, part.tenant_id, tables, part.first, part.last)
            published += [asdict(p) for p in by_table.values()]
            outstanding += partition_states.outstanding(connection, part.tenant_id, part.pipeline, days)
            asked_rows += requests_over(connection, part.tenant_id, part.pipeline, part.first, part.last)
        return {
            "locks.json": [asdict(lock) | {"free_because": locks.free_because(lock)} for lock in held_locks],
            "remediations.json": [asdict(step) for step in steps.values()],
            "worker.json": asdict(worker) | {"gone": is_gone(worker.owner)} if worker else None,
            "publications.json": published,
            "outstanding.json": [asdict(row) for row in outstanding],
            "requests.json": asked_rows,
        }

    def _put_config(self, evidence: Evidence) -> None:
        rejected = self.registry.rejected
        evidence.contents["config.json"] = {
            part.tenant_id: {
                "version_of_the_run": part.config_version,
                "now": described(self.registry.tenants[part.tenant_id]) if _tenant(self.registry, part) else None,
                "rejected_for": [p.render() for p in rejected[part.tenant_id].problems]
                if part.tenant_id in rejected
                else [],
            }
            for part in evidence.parts
        }

    def _put_sql(self, evidence: Evidence) -> None:
        for part in evidence.parts:
            tenant = _tenant(self.registry, part)
            if tenant is None or part.first is None or part.last is None:
                continue
            window = Window.local(part.first, part.last, tenant.timezone)
            for step in _steps(self.registry, part):
                for query in queries_of(tenant, step, window)[:1]:
                    name = f"sql/{part.tenant_id}.{part.pipeline}.{step.table}.sql"
                    bound = "".join(f"-- @{key} = {value}\n" for key, value in query.parameters.items())
                    evidence.contents[name] = f"{bound}{query.sql}"

    def _put_running(self, evidence: Evidence) -> None:
        with open_warehouse(self.settings, budget_seconds=_WAREHOUSE_SECONDS) as warehouse:
            jobs = [asdict(job) for job in warehouse.running_jobs() if job.labels.get("run_id") == evidence.run_id]
        evidence.contents["jobs_running_now.json"] = jobs

    def _put_platform(self, evidence: Evidence) -> None:
        heartbeats = automation_states.daemon_heartbeats(self.instance)
        evidence.contents["platform.json"] = {
            "warehouse": f"{self.settings.warehouse} ({self.settings.warehouse_reason})",
            "control_store": self.store.shown,
            "asked_at": self.store.now(),
            "daemon_heartbeats": heartbeats,
            "run_launcher": type(self.instance.run_launcher).__name__,
        }


def _is_current(indexed: Collection[IndexedRun], replayed: Replayed) -> bool:
    """Whether the index agrees with Dagster on the run: it knows attempts and stuck reasons, and may lag."""
    now = {(p.tenant_id, p.pipeline): p.dagster_status for p in replayed.parts}
    return bool(indexed) and all(
        now.get((p.tenant_id, p.pipeline), p.dagster_status) == p.dagster_status for p in indexed
    )


def _incidents(connection: sa.Connection, run_id: str, parts: Collection[IndexedRun]) -> list[Incident]:
    """Those of the run, and those of its days from an earlier or later run."""
    days = {(p.tenant_id, p.pipeline, p.partition) for p in parts}
    return [
        incident
        for incident in incidents.all_incidents(connection)
        if incident.run_id == run_id or (incident.tenant_id, incident.pipeline, incident.partition) in days
    ]


def _tenant(registry: TenantRegistry, part: IndexedRun) -> Tenant | None:
    return registry.tenants.get(part.tenant_id)


def _steps(registry: TenantRegistry, part: IndexedRun) -> Collection[Any]:
    tenant = _tenant(registry, part)
    pipeline: TenantPipeline | None = (
        next((p for p in tenant.pipelines if p.name == part.pipeline), None) if tenant else None
    )
    return pipeline.steps if pipeline else ()
