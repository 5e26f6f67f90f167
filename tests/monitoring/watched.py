"""A control store with a clock that tests move, a tenant's pipelines, and what the follower would say of its runs."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from convergence_assets.control import incidents, runs
from convergence_assets.control.location import control_url
from convergence_assets.control.publications import Publications
from convergence_assets.control.runs import IndexedRun, RunStatus
from convergence_assets.control.store import ControlStore
from convergence_assets.ledger.run_events import ChecksFailed, FailedCheck, Published, RunEnded, RunEvent
from convergence_assets.monitoring.run_alerts import RunAlerts
from convergence_assets.tenancy.tenant import Tenant
from tests.assets.project import Project

DAY = date(2026, 3, 10)


@dataclass
class Watched:
    project: Project
    now: datetime = datetime(2026, 3, 11, 6, tzinfo=UTC)
    tenants: dict[str, Tenant] = field(default_factory=dict)
    url: str | None = None

    def __post_init__(self) -> None:
        settings = replace(self.project.settings, control_url=self.url)
        self.store = ControlStore(control_url(settings, {}), lambda: self.now)
        self.tenants = self.tenants or {"acme": self.project.tenant}
        self.publications = Publications(self.store)

    @classmethod
    def at(cls, home: Path, url: str | None = None) -> "Watched":
        """On SQLite in that folder, or on the store of a URL."""
        return cls(Project.at(home), url=url)

    def later(self, minutes: float) -> datetime:
        self.now += timedelta(minutes=minutes)
        return self.now

    def run(self, run_id: str, first: date | None = DAY, last: date | None = None, **more: Any) -> IndexedRun:
        """A run that began a minute ago, in the index."""
        began = self.now - timedelta(minutes=1)
        usual = IndexedRun(
            run_id=run_id, tenant_id="acme", pipeline="demo_costs", status="running",
            dagster_status="STARTED", trigger="schedule", triggered_by=None, first=first,
            last=last or first, config_version=None, attempt=1, created_at=began, started_at=began,
            ended_at=None, rows_published=0, bytes_billed=0, error_class=None, error_message=None,
            stuck_reason=None, updated_at=self.now,
        )  # fmt: skip
        found = replace(usual, **more)
        with self.store.write() as connection:
            runs.write_runs(connection, [found])
        return found

    def ended(
        self, run: IndexedRun, status: RunStatus, error_class: str | None = None, message: str = "no"
    ) -> RunEnded:
        over = replace(run, status=status, ended_at=self.now, updated_at=self.now)
        with self.store.write() as connection:
            runs.write_runs(connection, [over])
        return RunEnded(over, "lines" if error_class else None, error_class, message if error_class else None)

    def publish(self, run: IndexedRun, *days: date, tables: tuple[str, ...] = ("lines", "totals")) -> list[RunEvent]:
        """As the run's process says so, and the follower after it."""
        found: list[RunEvent] = []
        for table in tables:
            seen = self.publications.newest_version()
            self.publications.record(
                run.tenant_id, run.pipeline, table, dict.fromkeys(days, 1), run_id=run.run_id, read_through=seen
            )
            found.append(Published(replace(run, updated_at=self.now), table, days))
        return found

    def observe(self, *run_events: RunEvent) -> None:
        with self.store.write("ledger") as connection:
            RunAlerts(self.tenants, self.store).observe(connection, run_events)

    def open(self) -> list[tuple[str, str, str | None]]:
        """Kind, severity and partition of what is open."""
        with self.store.read() as connection:
            found = incidents.open_incidents(connection)
        return sorted((i.kind, i.severity, i.partition) for i in found)

    def incidents(self) -> list[incidents.Incident]:
        with self.store.read() as connection:
            return list(incidents.all_incidents(connection))


def checks_failed(
    run: IndexedRun, severity: str, *held_back: date, names: tuple[str, ...] = ("cost_is_possible",)
) -> RunEvent:
    days = tuple(str(day) for day in held_back)
    failed = tuple(FailedCheck(name, "cost", None, 3, (9000, 9001), days) for name in names)
    return ChecksFailed(run, "lines", severity, failed, days if severity == "critical" else ())
